// Recording and asking. Opening is in journal_open.cc, the tables are in journal_schema.cc.
#include "daemon/journal.h"

#include <algorithm>
#include <utility>

#include "daemon/journal_schema.h"
#include "daemon/journal_state.h"
#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

std::int64_t to_ns(WallTime t) {
  return t.time_since_epoch().count();
}

Error not_kept(Epoch epoch, Epoch forgotten) {
  std::string text = "epoch " + std::to_string(epoch) + " is not in the history";
  if (epoch != 0 && epoch <= forgotten)
    text += " any more: it goes back to epoch " + std::to_string(forgotten + 1);
  return {ErrorCode::kNotFound, text, 0};
}

}  // namespace

Journal::State::~State() {
  statements.reset();
  // Closing brings everything on the disk, in its order: the mark is there only together with all before it.
  if (running) static_cast<void>(schema::set_meta(db, "clean", kLeftInOrder));
}

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::~Journal() = default;

Journal::Opened Journal::opened() const {
  return state_->opened;
}
const std::string& Journal::notice() const {
  return state_->notice;
}
bool Journal::still_there() const {
  return state_->inode == 0 || inode_of(state_->path) == state_->inode;
}
const std::filesystem::path& Journal::path() const {
  return state_->path;
}
const DaemonId& Journal::id() const {
  return state_->id;
}
Epoch Journal::head() const {
  return state_->head;
}
const Manifest& Journal::committed() const {
  return state_->committed;
}
const LastVersions& Journal::last_versions() const {
  return state_->last_versions;
}
const HoldSet& Journal::holds() const {
  return state_->holds;
}
Epoch Journal::forgotten() const {
  return state_->forgotten;
}

// ------------------------------------------------------------------------------------------- recording

Journal::State::Statements& Journal::State::prepared() {
  if (!statements) {
    statements.emplace();
    statements->insert_epoch = db.prepare(
        "insert into epochs(epoch, base, state, announced_at, decided_at, cause, restores, content_check) "
        "values(?,?,'announced',?,0,?,?,?)");
    statements->insert_change = db.prepare("insert into changes values(?,?,?,?,?,?,?,?,?,?)");
    statements->decide = db.prepare("update epochs set state=?, decided_at=? where epoch=?");
    statements->insert_failure = db.prepare("insert into failures values(?,?,?,?)");
    statements->insert_applied = db.prepare("insert or ignore into applied values(?,?,?,?,?,?,?)");
    statements->write_runs = db.prepare(
        "insert into runs values(?,?,?,?,?,?,?,?,?,?,?) on conflict(module, version, executor) do update set "
        "runs=max(runs, excluded.runs), total_ns=max(total_ns, excluded.total_ns), "
        "longest_ns=max(longest_ns, excluded.longest_ns), last_at=max(last_at, excluded.last_at), "
        "told_at=max(told_at, excluded.told_at)");
    statements->write_audit = db.prepare("insert or replace into audit values(?,?,?,?,?,?,?,?,?,?)");
  }
  return *statements;
}

Status Journal::State::decide(Epoch epoch, EpochState state, WallTime at) {
  return prepared().decide.bind(to_string(state)).bind(to_ns(at)).bind(epoch).run();
}

void Journal::State::take_over(Manifest& manifest, ModuleChange change) {
  if (change.change == ChangeKind::kRemoved) {
    manifest.modules.erase(change.module.name);
    return;
  }
  std::string name = change.module.name;
  manifest.modules.insert_or_assign(std::move(name), std::move(change.module));
}

Status Journal::State::write_holds(Epoch epoch, const HoldSet& set) {
  sqlite::Statement insert = db.prepare("insert into holds values(?,?,?,?,?,?,?,?,?,?,?,?)");
  for (const auto& [name, hold] : set) {
    insert.bind(epoch);
    schema::bind_hold(insert, name, hold);
    MODDEV_TRY(insert.run());
  }
  return {};
}

Status Journal::State::drop_holds(Epoch epoch) {
  return db.prepare("delete from holds where epoch=?").bind(epoch).run();
}

void Journal::State::bound_log() {
  // A failure is no loss: what is in the log is recorded.
  if (db.log_pages() > limits::kJournalLogPages) static_cast<void>(db.checkpoint());
}

Status Journal::record_epoch(const EpochRecord& record) {
  State& s = *state_;
  MODDEV_ASSERT(record.epoch == s.head + 1, "epochs are recorded one after another");
  MODDEV_ASSERT(record.base == s.committed.epoch, "an epoch leads on from the committed one");
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  State::Statements& statements = s.prepared();
  if (s.undecided) {
    MODDEV_TRY(s.decide(s.undecided->epoch, EpochState::kAborted, record.announced_at));
    if (s.undecided->holds) MODDEV_TRY(s.drop_holds(s.undecided->epoch));
  }
  MODDEV_TRY(statements.insert_epoch.bind(record.epoch)
                 .bind(record.base)
                 .bind(to_ns(record.announced_at))
                 .bind(record.cause)
                 .bind(record.restores)
                 .bind(schema::check_of(record))
                 .run());
  for (const ModuleChange& change : record.changes) {
    statements.insert_change.bind(record.epoch);
    schema::bind_change(statements.insert_change, change);
    MODDEV_TRY(statements.insert_change.run());
  }
  if (record.holds) MODDEV_TRY(s.write_holds(record.epoch, *record.holds));
  MODDEV_TRY(transaction.commit());
  s.lock.witness(record.epoch);
  s.head = record.epoch;
  for (const auto& [kind, module] : record.changes) {
    if (kind != ChangeKind::kRemoved) s.last_versions[module.name] = {module.version, module.digest};
  }
  s.undecided = State::Undecided{record.epoch, record.changes, record.holds};
  s.bound_log();
  return {};
}

Status Journal::record_commit(Epoch epoch, WallTime at) {
  State& s = *state_;
  MODDEV_ASSERT(s.undecided && s.undecided->epoch == epoch,
                "only the newest epoch can be committed, and once");
  if (s.undecided->holds) {
    sqlite::Transaction transaction(s.db);
    MODDEV_TRY(transaction.begun());
    MODDEV_TRY(s.decide(epoch, EpochState::kCommitted, at));
    MODDEV_TRY(s.db.prepare("delete from holds where epoch<?").bind(epoch).run());
    MODDEV_TRY(transaction.commit());
    s.holds = std::move(*s.undecided->holds);
  } else {
    MODDEV_TRY(s.decide(epoch, EpochState::kCommitted, at));
  }
  s.committed.epoch = epoch;
  for (ModuleChange& change : s.undecided->changes) State::take_over(s.committed, std::move(change));
  s.undecided.reset();
  return {};
}

Status Journal::record_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures, WallTime at) {
  State& s = *state_;
  MODDEV_ASSERT(s.undecided && s.undecided->epoch == epoch, "only the newest epoch can be aborted, and once");
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(s.decide(epoch, EpochState::kAborted, at));
  for (const auto& failure : failures) {
    MODDEV_TRY(s.prepared()
                   .insert_failure.bind(epoch)
                   .bind(failure.executor)
                   .bind(failure.module)
                   .bind(failure.error)
                   .run());
  }
  if (s.undecided->holds) MODDEV_TRY(s.drop_holds(epoch));
  MODDEV_TRY(transaction.commit());
  s.undecided.reset();
  return {};
}

Status Journal::record_applied(std::span<const AppliedRecord> applied) {
  State& s = *state_;
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  for (const AppliedRecord& one : applied) {
    MODDEV_TRY(s.prepared()
                   .insert_applied.bind(one.epoch)
                   .bind(one.executor.id.to_string())
                   .bind(one.executor.name)
                   .bind(one.executor.host)
                   .bind(one.executor.pid)
                   .bind(to_ns(one.at))
                   .bind(one.elapsed_us)
                   .run());
  }
  MODDEV_TRY(transaction.commit());
  s.bound_log();
  return {};
}

Status Journal::end_holds(const std::vector<std::string>& modules) {
  State& s = *state_;
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  sqlite::Statement remove = s.db.prepare("delete from holds where name=?");
  for (const std::string& module : modules) MODDEV_TRY(remove.bind(module).run());
  MODDEV_TRY(transaction.commit());
  for (const std::string& module : modules) s.holds.erase(module);
  return {};
}

Status Journal::forget(Epoch until, const std::set<Epoch>& keep) {
  State& s = *state_;
  MODDEV_ASSERT(until < s.committed.epoch, "the committed epoch is never forgotten");
  if (until < s.forgotten) return {};
  auto oldest = s.record_of(until + 1, "");
  if (!oldest) return oldest.error();
  std::map<Epoch, std::string> manifests;
  std::set<Epoch> wanted = keep;
  wanted.insert(oldest->base);  // what the retained epochs lead on from
  for (const Epoch one : wanted) {
    if (one > until || one == 0) continue;
    auto kept = manifest(one);
    // What was forgotten before cannot be kept now.
    if (!kept && kept.error().code == ErrorCode::kNotFound && one != oldest->base) continue;
    if (!kept) return kept.error();
    manifests.emplace(one, schema::manifest_text(*kept));
  }
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(s.db.execute("delete from snapshots"));
  sqlite::Statement insert = s.db.prepare("insert into snapshots values(?,?)");
  for (const auto& [one, text] : manifests) MODDEV_TRY(insert.bind(one).bind(text).run());
  for (const char* sql : {"delete from epochs where epoch<=?", "delete from changes where epoch<=?",
                          "delete from failures where epoch<=?", "delete from applied where epoch<=?"}) {
    MODDEV_TRY(s.db.prepare(sql).bind(until).run());
  }
  // Those of the same time: what goes on being run is told again and again, and stays.
  MODDEV_TRY(s.db.execute("delete from runs where told_at < (select min(announced_at) from epochs)"));
  MODDEV_TRY(schema::set_meta(s.db, "forgotten", std::to_string(until)));
  MODDEV_TRY(schema::set_meta(s.db, "base", std::to_string(oldest->base)));
  MODDEV_TRY(schema::set_meta(s.db, "versions", schema::versions_text(s.last_versions)));
  MODDEV_TRY(transaction.commit());
  s.forgotten = until;
  s.base = oldest->base;
  return s.load_runs();
}

Status Journal::tidy() {
  State& s = *state_;
  if (s.db.log_pages() < limits::kJournalTidyPages) return {};
  return s.db.checkpoint();
}

// ---------------------------------------------------------------------------------------------- asking

Result<Manifest> Journal::State::snapshot(Epoch epoch) const {
  sqlite::Statement row = db.prepare("select manifest from snapshots where epoch=?");
  auto found = row.bind(epoch).step();
  if (!found) return found.error();
  if (!*found) return not_kept(epoch, forgotten);
  return schema::read_manifest(row.text(0));
}

Result<std::vector<ModuleChange>> Journal::State::changes_of(Epoch epoch, const std::string& module) const {
  sqlite::Statement rows =
      db.prepare(("select " + std::string(schema::kChangeColumns) +
                  " from changes c where c.epoch=?1 and (?2='' or c.name=?2) order by c.name")
                     .c_str());
  rows.bind(epoch).bind(module);
  std::vector<ModuleChange> changes;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return changes;
    auto change = schema::read_change(rows, 0);
    if (!change) return change.error();
    changes.push_back(std::move(*change));
  }
}

Result<Manifest> Journal::manifest(Epoch epoch) const {
  const State& s = *state_;
  if (epoch == s.committed.epoch) return s.committed;
  if (epoch == 0) return Manifest{};
  auto kept = s.snapshot(epoch);
  if (kept || kept.error().code != ErrorCode::kNotFound) return kept;
  if (epoch <= s.forgotten || epoch > s.head) return not_kept(epoch, s.forgotten);
  Manifest manifest;
  if (s.base != 0) {
    auto base = s.snapshot(s.base);
    if (!base) return base.error();
    manifest = std::move(*base);
  }
  sqlite::Statement rows = s.db.prepare(("select " + std::string(schema::kChangeColumns) +
                                         " from changes c join epochs e on e.epoch=c.epoch where e.epoch<=?1 "
                                         "and (e.state='committed' or e.epoch=?1) "
                                         "order by c.epoch, c.name")
                                            .c_str());
  rows.bind(epoch);
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) break;
    auto change = schema::read_change(rows, 0);
    if (!change) return change.error();
    State::take_over(manifest, std::move(*change));
  }
  manifest.epoch = epoch;
  return manifest;
}

Result<EpochRecord> Journal::State::record_of(Epoch epoch, const std::string& module) const {
  sqlite::Statement row =
      db.prepare(("select " + std::string(schema::kEpochColumns) + " from epochs e where e.epoch=?").c_str());
  auto found = row.bind(epoch).step();
  if (!found) return found.error();
  if (!*found) return not_kept(epoch, forgotten);
  auto record = schema::read_epoch(row);
  if (!record) return record.error();
  auto changes = changes_of(epoch, module);
  if (!changes) return changes.error();
  record->changes = std::move(*changes);
  if (module.empty()) MODDEV_TRY(schema::verify(*record, row.text(schema::kEpochColumnCount - 1)));
  if (record->state != EpochState::kAborted) return record;
  sqlite::Statement failures =
      db.prepare("select executor, module, error from failures where epoch=? order by rowid");
  failures.bind(epoch);
  while (true) {
    auto next = failures.step();
    if (!next) return next.error();
    if (!*next) return record;
    record->failures.push_back({failures.text(0), failures.text(1), failures.text(2)});
  }
}

Result<EpochRecord> Journal::epoch(Epoch epoch) const {
  auto record = state_->record_of(epoch, "");
  if (!record) return record;
  auto content = manifest(epoch);
  if (!content) return content.error();
  record->manifest = std::move(*content);
  return record;
}

Result<std::vector<EpochRecord>> Journal::history(const std::string& module, std::size_t limit,
                                                  Epoch before) const {
  sqlite::Statement rows = state_->db.prepare(
      module.empty()
          ? "select epoch from epochs where ?1='' and (?2=0 or epoch<?2) order by epoch desc limit ?3"
          : "select epoch from changes where name=?1 and (?2=0 or epoch<?2) order by epoch desc limit ?3");
  rows.bind(module).bind(before).bind(static_cast<std::uint64_t>(limit));
  std::vector<EpochRecord> records;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return records;
    auto record = state_->record_of(rows.count(0), module);
    if (!record) return record.error();
    records.push_back(std::move(*record));
  }
}

Result<std::vector<AppliedRecord>> Journal::applied(Epoch epoch, std::size_t limit) const {
  sqlite::Statement rows = state_->db.prepare(
      "select executor, name, host, pid, at, elapsed_us from applied where epoch=? order by at, executor "
      "limit ?");
  rows.bind(epoch).bind(limit == 0 ? std::int64_t{-1} : static_cast<std::int64_t>(limit));
  std::vector<AppliedRecord> records;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return records;
    AppliedRecord record;
    record.epoch = epoch;
    if (auto id = Uuid::parse(rows.text(0))) record.executor.id = *id;
    record.executor.name = rows.text(1);
    record.executor.host = rows.text(2);
    record.executor.pid = rows.number(3);
    record.at = WallTime(Duration(rows.number(4)));
    record.elapsed_us = rows.number(5);
    records.push_back(std::move(record));
  }
}

Result<std::uint64_t> Journal::applied_count(Epoch epoch) const {
  sqlite::Statement row = state_->db.prepare("select count(*) from applied where epoch=?");
  auto found = row.bind(epoch).step();
  if (!found) return found.error();
  return row.count(0);
}

Result<VersionRecord> Journal::State::version_where(const char* sql, const std::string& module,
                                                    Version version, const std::string& what) const {
  sqlite::Statement row =
      db.prepare(("select " + std::string(schema::kChangeColumns) +
                  ", e.epoch, e.state from changes c join epochs e on e.epoch=c.epoch where "
                  "c.name=? and c.change<>'removed' and " +
                  sql)
                     .c_str());
  auto found = row.bind(module).bind(version).step();
  if (!found) return found.error();
  if (!*found) {
    return Error{ErrorCode::kNotFound,
                 what + " of module '" + module + "' was never published or is no longer kept.", 0};
  }
  auto change = schema::read_change(row, 0);
  if (!change) return change.error();
  const auto state = epoch_state_from_string(row.text(schema::kChangeColumnCount + 1));
  if (!state) return schema::corrupt("the state of a version of '" + module + "' is malformed");
  return VersionRecord{row.count(schema::kChangeColumnCount), *state, std::move(change->module)};
}

Result<VersionRecord> Journal::version(const std::string& module, Version version) const {
  return state_->version_where("c.version=? order by e.state='committed' desc, e.epoch limit 1", module,
                               version, "Version " + std::to_string(version));
}

Result<VersionRecord> Journal::version_before(const std::string& module, Version below) const {
  return state_->version_where("c.version<? and e.state='committed' order by c.version desc, e.epoch limit 1",
                               module, below, "A version before " + std::to_string(below));
}

Result<RetainedHistory> Journal::retained() const {
  const State& s = *state_;
  RetainedHistory history;
  history.forgotten = s.forgotten;
  history.head = s.head;
  std::map<Digest, BlobUse> uses;
  Manifest manifest;  // of the committed epoch so far
  if (s.base != 0) {
    auto base = s.snapshot(s.base);
    if (!base) return base.error();
    manifest = std::move(*base);
  }
  for (const auto& [name, module] : manifest.modules) uses[module.digest].size = module.size;
  sqlite::Statement rows =
      s.db.prepare(("select " + std::string(schema::kChangeColumns) +
                    ", e.epoch, e.state from changes c join epochs e on e.epoch=c.epoch order by "
                    "c.epoch, c.name")
                       .c_str());
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) break;
    auto change = schema::read_change(rows, 0);
    if (!change) return change.error();
    const Epoch epoch = rows.count(schema::kChangeColumnCount);
    if (change->change != ChangeKind::kRemoved) uses[change->module.digest].size = change->module.size;
    if (rows.text(schema::kChangeColumnCount + 1) == to_string(EpochState::kCommitted)) {
      if (const ModuleEntry* before = manifest.find(change->module.name)) uses[before->digest].until = epoch;
      State::take_over(manifest, std::move(*change));
    } else {
      uses[change->module.digest].until = epoch;
    }
  }
  for (const auto& [name, module] : s.committed.modules) uses[module.digest].until = kStillUsed;
  for (const auto& [name, hold] : s.holds) {
    if (hold.content) uses[hold.content->digest] = {hold.content->size, kStillUsed};
  }
  for (const auto& [digest, use] : uses) history.blobs.push_back(use);
  auto newest = s.db.prepare("select base from epochs where epoch=?");
  auto found = newest.bind(s.committed.epoch).step();
  if (!found) return found.error();
  if (*found) history.before_committed = newest.count(0);
  return history;
}

Result<std::map<Digest, std::uint64_t>> Journal::referenced() const {
  const State& s = *state_;
  std::map<Digest, std::uint64_t> all;
  sqlite::Statement rows = s.db.prepare("select distinct digest, size from changes");
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) break;
    auto digest = Digest::parse(rows.text(0));
    if (!digest) return digest.error();
    all.emplace(*digest, rows.count(1));
  }
  sqlite::Statement snapshots = s.db.prepare("select manifest from snapshots");
  while (true) {
    auto row = snapshots.step();
    if (!row) return row.error();
    if (!*row) break;
    auto manifest = schema::read_manifest(snapshots.text(0));
    if (!manifest) return manifest.error();
    for (const auto& [name, module] : manifest->modules) all.emplace(module.digest, module.size);
  }
  for (const auto& [name, hold] : s.holds) {
    if (hold.content) all.emplace(hold.content->digest, hold.content->size);
  }
  return all;
}

}  // namespace moddev::daemon
