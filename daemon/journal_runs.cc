// The runs in the journal: a table of its own, which only people read, written behind everything else, and
// bounded. What is taken in is runs.h's.
#include <set>

#include "daemon/journal_schema.h"
#include "daemon/journal_state.h"
#include "daemon/limits.h"

namespace moddev::daemon {

Status Journal::State::load_runs() {
  sqlite::Statement row = db.prepare("select count(*) from runs");
  auto found = row.step();
  if (!found) return found.error();
  run_records = row.count(0);
  return {};
}

Result<std::uint64_t> Journal::State::forget_runs_of(const std::string& executor) {
  sqlite::Statement row = db.prepare("select count(*) from runs where executor=?");
  auto found = row.bind(executor).step();
  if (!found) return found.error();
  const std::uint64_t count = row.count(0);
  if (count <= limits::kRunRecordsOfOne) return std::uint64_t{0};
  const std::uint64_t surplus = count - limits::kRunRecordsOfOne;
  MODDEV_TRY(
      db.prepare("delete from runs where (module, version, executor) in (select module, version, executor "
                 "from runs where executor=? order by told_at limit ?)")
          .bind(executor)
          .bind(surplus)
          .run());
  return surplus;
}

Status Journal::record_runs(std::span<const RunRecord> records) {
  State& s = *state_;
  std::uint64_t count = s.run_records;
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  std::set<std::string> executors;
  sqlite::Statement known =
      s.db.prepare("select count(*) from runs where module=? and version=? and executor=?");
  for (const RunRecord& one : records) {
    const std::string id = one.executor.id.to_string();
    auto row = known.bind(one.run.module).bind(one.run.version).bind(id).step();
    if (!row) return row.error();
    if (known.count(0) == 0) {
      ++count;
      executors.insert(id);
    }
    if (auto end = known.step(); !end) return end.error();
    MODDEV_TRY(s.prepared()
                   .write_runs.bind(one.run.module)
                   .bind(one.run.version)
                   .bind(id)
                   .bind(one.executor.name)
                   .bind(one.executor.host)
                   .bind(one.executor.pid)
                   .bind(one.run.runs)
                   .bind(one.run.total_ns)
                   .bind(one.run.longest_ns)
                   .bind(one.run.last_at_ns)
                   .bind(std::int64_t{one.told_at.time_since_epoch().count()})
                   .run());
  }
  for (const std::string& executor : executors) {
    auto forgotten = s.forget_runs_of(executor);
    if (!forgotten) return forgotten.error();
    count -= *forgotten;
  }
  if (count > limits::kRunRecords + limits::kRunRecordsSlack) {
    MODDEV_TRY(
        s.db.prepare(
                "delete from runs where (module, version, executor) in (select module, version, executor "
                "from runs order by told_at limit ?)")
            .bind(count - limits::kRunRecords)
            .run());
    count = limits::kRunRecords;
  }
  MODDEV_TRY(transaction.commit());
  s.run_records = count;
  s.bound_log();
  return {};
}

Result<std::vector<RunRecord>> Journal::runs(const std::string& module, std::size_t limit,
                                             std::uint64_t skip) const {
  sqlite::Statement rows = state_->db.prepare(
      ("select module, version, executor, name, host, pid, runs, total_ns, longest_ns, last_at, told_at from "
       "runs where " +
       std::string(module.empty() ? "?=''" : "module=?") +
       " order by module, version, executor limit ? offset ?")
          .c_str());
  rows.bind(module).bind(static_cast<std::uint64_t>(limit)).bind(skip);
  std::vector<RunRecord> records;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return records;
    RunRecord record;
    record.run.module = rows.text(0);
    record.run.version = rows.count(1);
    if (auto id = Uuid::parse(rows.text(2))) record.executor.id = *id;
    record.executor.name = rows.text(3);
    record.executor.host = rows.text(4);
    record.executor.pid = rows.number(5);
    record.run.runs = rows.count(6);
    record.run.total_ns = rows.count(7);
    record.run.longest_ns = rows.count(8);
    record.run.last_at_ns = rows.number(9);
    record.told_at = WallTime(Duration(rows.number(10)));
    records.push_back(std::move(record));
  }
}

}  // namespace moddev::daemon
