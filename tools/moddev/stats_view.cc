#include "tools/moddev/stats_view.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <map>
#include <set>

namespace moddev::tools {
namespace {

struct Counting {
  ModuleStats stats;
  bool newest_seen = false;
  std::set<Uuid> executors;
  std::vector<std::int64_t> elapsed_us;
};

void count_epoch(const HistoryEntry& entry, const ModuleChange& change, Counting& counting) {
  ModuleStats& stats = counting.stats;
  if (!counting.newest_seen) {
    counting.newest_seen = true;
    if (change.change != ChangeKind::kRemoved) stats.version = change.module.version;
  }
  if (change.change == ChangeKind::kRemoved) return;  // nothing is loaded by that
  ++stats.epochs;
  stats.loads += std::max<std::uint64_t>(entry.applied_total, entry.applied.size());
  for (const AppliedReport& applied : entry.applied) {
    counting.executors.insert(applied.executor.id);
    counting.elapsed_us.push_back(applied.elapsed_us);
    stats.last_at_ns = std::max(stats.last_at_ns, applied.at_ns);
  }
}

ModuleStats summed_up(Counting& counting) {
  ModuleStats stats = std::move(counting.stats);
  stats.executors = counting.executors.size();
  std::vector<std::int64_t>& elapsed = counting.elapsed_us;
  if (!elapsed.empty()) {
    const auto middle = elapsed.begin() + static_cast<std::ptrdiff_t>(elapsed.size() / 2);
    std::nth_element(elapsed.begin(), middle, elapsed.end());
    stats.median_us = *middle;
    stats.slowest_us = *std::max_element(elapsed.begin(), elapsed.end());
  }
  return stats;
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max()
                                                           : a + b;
}

void add(RunCounts& counts, const RunReport& run) {
  counts.runs = sum(counts.runs, run.runs);
  counts.total_ns = sum(counts.total_ns, run.total_ns);
  counts.longest_ns = std::max(counts.longest_ns, run.longest_ns);
  counts.last_at_ns = std::max(counts.last_at_ns, run.last_at_ns);
}

struct CountingRuns {
  RunCounts all;
  std::map<Uuid, ExecutorRunCounts> by_executor;
  std::map<Version, VersionRunCounts, std::greater<>> by_version;
};

void count_run(const ExecutorRuns& one, CountingRuns& counting) {
  add(counting.all, one.run);
  ExecutorRunCounts& executor = counting.by_executor[one.executor.id];
  executor.executor = one.executor;
  if (executor.version == 0 || one.run.last_at_ns >= executor.counts.last_at_ns)
    executor.version = one.run.version;
  add(executor.counts, one.run);
  VersionRunCounts& version = counting.by_version[one.run.version];
  version.version = one.run.version;
  ++version.executors;
  add(version.counts, one.run);
}

/// "3 s ago by worker-1"
std::string last_run_text(const ModuleStats& stats, WallTime now) {
  if (stats.by_executor.empty()) return "-";
  return human_age(now - WallTime(Duration(stats.runs.last_at_ns))) + " by " +
         printable(stats.by_executor.front().executor.name);
}

}  // namespace

void add_runs(std::vector<ModuleStats>& stats, const std::vector<ExecutorRuns>& runs) {
  std::map<std::string, CountingRuns> counted_by_name;
  for (const ExecutorRuns& one : runs) count_run(one, counted_by_name[one.run.module]);
  for (auto& [name, counting] : counted_by_name) {
    auto at = std::ranges::lower_bound(stats, name, {}, &ModuleStats::module);
    if (at == stats.end() || at->module != name) {
      ModuleStats fresh;
      fresh.module = name;
      at = stats.insert(at, std::move(fresh));
    }
    at->runs = counting.all;
    for (auto& [id, executor] : counting.by_executor) at->by_executor.push_back(std::move(executor));
    std::ranges::stable_sort(at->by_executor, std::greater<>(),
                             [](const ExecutorRunCounts& one) { return one.counts.last_at_ns; });
    for (const auto& [number, version] : counting.by_version) at->by_version.push_back(version);
  }
}

std::string run_duration(std::uint64_t ns) {
  if (ns < 1'000) return std::to_string(ns) + " ns";
  if (ns >= 1'000'000)
    return human_duration(Duration(
        static_cast<std::int64_t>(std::min<std::uint64_t>(ns, std::numeric_limits<std::int64_t>::max()))));
  char text[32];
  std::snprintf(text, sizeof text, ns < 99'950 ? "%.1f us" : "%.0f us", static_cast<double>(ns) / 1e3);
  return text;
}

std::vector<ModuleStats> count_loads(const std::vector<HistoryEntry>& entries, const std::string& module) {
  std::map<std::string, Counting> counted_by_name;
  for (const HistoryEntry& entry : entries) {
    for (const ExecutorFailure& failure : entry.failures) {
      if (!failure.module.empty()) ++counted_by_name[failure.module].stats.refusals;
    }
    if (entry.state != EpochState::kCommitted) continue;
    for (const ModuleChange& change : entry.changes)
      count_epoch(entry, change, counted_by_name[change.module.name]);
  }
  std::vector<ModuleStats> all;
  for (auto& [name, counting] : counted_by_name) {
    if (!module.empty() && name != module) continue;
    counting.stats.module = name;
    all.push_back(summed_up(counting));
  }
  return all;
}

std::string stats_text(const std::vector<ModuleStats>& stats, const Palette& palette, WallTime now) {
  Table table;
  table.add({{"module", Colour::kStrong},
             {"version", Colour::kStrong},
             {"loads", Colour::kStrong},
             {"executors", Colour::kStrong},
             {"median", Colour::kStrong},
             {"slowest", Colour::kStrong},
             {"last", Colour::kStrong},
             {"refused", Colour::kStrong},
             {"runs", Colour::kStrong},
             {"by", Colour::kStrong},
             {"mean", Colour::kStrong},
             {"longest", Colour::kStrong},
             {"last run", Colour::kStrong}});
  for (const ModuleStats& one : stats) {
    const bool loaded = one.last_at_ns != 0;
    table.add({{printable(one.module)},
               {one.version == 0 ? "-" : std::to_string(one.version)},
               {std::to_string(one.loads)},
               {std::to_string(one.executors)},
               {loaded ? human_duration(std::chrono::microseconds(one.median_us)) : "-"},
               {loaded ? human_duration(std::chrono::microseconds(one.slowest_us)) : "-"},
               {loaded ? human_age(now - WallTime(Duration(one.last_at_ns))) : "-"},
               {one.refusals == 0 ? "-" : std::to_string(one.refusals), Colour::kNotice},
               {std::to_string(one.runs.runs)},
               {std::to_string(one.by_executor.size())},
               {one.runs.runs == 0 ? "-" : run_duration(one.runs.mean_ns())},
               {one.runs.runs == 0 ? "-" : run_duration(one.runs.longest_ns)},
               {last_run_text(one, now)}});
  }
  return table.render(palette, "");
}

std::string executors_text(const ModuleStats& stats, const Palette& palette, WallTime now) {
  if (stats.by_executor.empty()) return "";
  Table table;
  table.add({{"executor", Colour::kStrong},
             {"process", Colour::kStrong},
             {"version", Colour::kStrong},
             {"runs", Colour::kStrong},
             {"mean", Colour::kStrong},
             {"longest", Colour::kStrong},
             {"last run", Colour::kStrong}});
  for (const ExecutorRunCounts& one : stats.by_executor) {
    table.add({{printable(one.executor.name)},
               {printable(one.executor.host) + ":" + std::to_string(one.executor.pid)},
               {std::to_string(one.version)},
               {std::to_string(one.counts.runs)},
               {run_duration(one.counts.mean_ns())},
               {run_duration(one.counts.longest_ns)},
               {human_age(now - WallTime(Duration(one.counts.last_at_ns)))}});
  }
  return table.render(palette, "");
}

}  // namespace moddev::tools
