#include "daemon/runs.h"

#include <algorithm>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

/// What of a report can be true at `wall`.
RunReport sensible(RunReport run, WallTime wall) {
  run.runs = std::min(run.runs, limits::kMostRuns);
  run.total_ns = std::min(run.total_ns, limits::kMostRuns);
  run.longest_ns = std::min(run.longest_ns, run.total_ns);
  run.last_at_ns =
      std::clamp<std::int64_t>(run.last_at_ns, 0, std::max<std::int64_t>(wall.time_since_epoch().count(), 0));
  return run;
}

}  // namespace

void RunLedger::take(const ExecutorIdentity& executor, std::span<const RunReport> told,
                     const LastVersions& published, TimePoint now, WallTime wall) {
  const bool waited = !waiting_.empty();
  for (const RunReport& run : told) {
    const auto known = published.find(run.module);
    if (known == published.end() || run.version == 0 || run.version > known->second.version || run.runs == 0)
      continue;
    merge(executor, sensible(run, wall), wall);
  }
  if (!waited && !waiting_.empty()) due_ = now + limits::kRunsDelay;
}

void RunLedger::merge(const ExecutorIdentity& executor, RunReport run, WallTime told_at) {
  Key key{executor.id, run.module, run.version};
  const auto found = waiting_.find(key);
  if (found != waiting_.end()) {
    RunRecord& record = found->second;
    record.run.runs = std::max(record.run.runs, run.runs);
    record.run.total_ns = std::max(record.run.total_ns, run.total_ns);
    record.run.longest_ns = std::max(record.run.longest_ns, run.longest_ns);
    record.run.last_at_ns = std::max(record.run.last_at_ns, run.last_at_ns);
    record.told_at = std::max(record.told_at, told_at);
    return;
  }
  if (waiting_.size() >= limits::kWaitingRunRecords) return;
  const auto of_one = waiting_of_one_.try_emplace(executor.id, 0).first;
  if (of_one->second >= limits::kWaitingRunsOfOne) return;
  ++of_one->second;
  waiting_.emplace(std::move(key), RunRecord{executor, std::move(run), told_at});
}

std::vector<RunRecord> RunLedger::take_some(std::size_t most) {
  std::vector<RunRecord> records;
  while (records.size() < most && !waiting_.empty()) {
    const auto first = waiting_.begin();
    if (const auto of_one = waiting_of_one_.find(first->first.executor); --of_one->second == 0)
      waiting_of_one_.erase(of_one);
    records.push_back(std::move(first->second));
    waiting_.erase(first);
  }
  return records;
}

void RunLedger::not_written(std::vector<RunRecord> records, TimePoint now) {
  for (RunRecord& record : records) merge(record.executor, std::move(record.run), record.told_at);
  due_ = now + limits::kRunsRetry;
}

}  // namespace moddev::daemon
