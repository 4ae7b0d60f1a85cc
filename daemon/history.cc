#include "daemon/history.h"

#include <algorithm>
#include <utility>

#include "daemon/limits.h"
#include "protocol/name_match.h"

namespace moddev::daemon {
std::vector<std::string> known_modules(const Journal& journal) {
  std::vector<std::string> names;
  names.reserve(journal.last_versions().size());
  for (const auto& [name, last] : journal.last_versions()) names.push_back(name);
  return names;
}

Result<HistoryReply> history_of(const Journal& journal, const HistoryRequest& request) {
  HistoryReply reply;
  reply.daemon = journal.id();
  reply.forgotten = journal.forgotten();
  if (!request.module.empty()) {
    auto name = match_name(request.module, known_modules(journal));
    if (!name) return name.error();
    reply.module = std::move(*name);
  }
  const std::size_t most = request.limit == 0 ? limits::kHistoryEntries
                                              : std::min<std::size_t>(request.limit, limits::kHistoryEntries);
  auto records = journal.history(reply.module, most + 1, request.before);
  if (!records) return records.error();
  if (records->size() > most) {
    reply.more = true;
    records->pop_back();
  }
  for (EpochRecord& record : *records) {
    HistoryEntry entry;
    entry.epoch = record.epoch;
    entry.base = record.base;
    entry.state = record.state;
    entry.announced_at_ns = record.announced_at.time_since_epoch().count();
    entry.decided_at_ns = record.decided_at.time_since_epoch().count();
    entry.cause = std::move(record.cause);
    entry.changes_total = record.changes.size();
    if (record.changes.size() > limits::kHistoryChanges) record.changes.resize(limits::kHistoryChanges);
    entry.changes = std::move(record.changes);
    if (record.failures.size() > limits::kHistoryFailures) record.failures.resize(limits::kHistoryFailures);
    entry.failures = std::move(record.failures);
    auto applied = journal.applied(record.epoch, limits::kHistoryApplied);
    auto count = journal.applied_count(record.epoch);
    if (!applied) return applied.error();
    if (!count) return count.error();
    entry.applied_total = *count;
    for (const AppliedRecord& one : *applied) {
      entry.applied.push_back({one.executor, one.at.time_since_epoch().count(), one.elapsed_us});
    }
    reply.entries.push_back(std::move(entry));
  }
  return reply;
}

Result<RunsReply> runs_of(const Journal& journal, const RunsRequest& request) {
  RunsReply reply;
  reply.daemon = journal.id();
  if (!request.module.empty()) {
    auto name = match_name(request.module, known_modules(journal));
    if (!name) return name.error();
    reply.module = std::move(*name);
  }
  const std::uint64_t skip = std::min(request.skip, limits::kRunRecords + limits::kRunRecordsSlack);
  auto records = journal.runs(reply.module, limits::kRunsPerReply + 1, skip);
  if (!records) return records.error();
  if (records->size() > limits::kRunsPerReply) {
    records->pop_back();
    reply.next = skip + records->size();
  }
  for (RunRecord& record : *records)
    reply.runs.push_back({std::move(record.executor), std::move(record.run)});
  return reply;
}

std::vector<HoldReport> report_holds(const HoldSet& holds) {
  std::vector<HoldReport> reports;
  for (const auto& [name, hold] : holds)
    reports.push_back({name, hold.content ? hold.version : 0, hold.path});
  return reports;
}

}  // namespace moddev::daemon
