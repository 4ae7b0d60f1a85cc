#include "tools/moddev/stats_view.h"

#include <algorithm>
#include <chrono>
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

}  // namespace

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
             {"refused", Colour::kStrong}});
  for (const ModuleStats& one : stats) {
    const bool loaded = one.last_at_ns != 0;
    table.add({{printable(one.module)},
               {one.version == 0 ? "-" : std::to_string(one.version)},
               {std::to_string(one.loads)},
               {std::to_string(one.executors)},
               {loaded ? human_duration(std::chrono::microseconds(one.median_us)) : "-"},
               {loaded ? human_duration(std::chrono::microseconds(one.slowest_us)) : "-"},
               {loaded ? human_age(now - WallTime(Duration(one.last_at_ns))) : "-"},
               {one.refusals == 0 ? "-" : std::to_string(one.refusals), Colour::kNotice}});
  }
  return table.render(palette, "");
}

}  // namespace moddev::tools
