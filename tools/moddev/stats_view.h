// How often each module was loaded and run, by how many, how fast, and how often it was refused: counted from
// the history and the runs that the daemon keeps. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// What was run of one module: by one executor, of one version, or by all of all.
struct RunCounts {
  /// How many have ended, how long all together and the longest one took, and when the last one ended.
  std::uint64_t runs = 0;
  std::uint64_t total_ns = 0;
  std::uint64_t longest_ns = 0;
  std::int64_t last_at_ns = 0;
  [[nodiscard]] std::uint64_t mean_ns() const { return runs == 0 ? 0 : total_ns / runs; }
  friend bool operator==(const RunCounts&, const RunCounts&) = default;
};
struct ExecutorRunCounts {
  ExecutorIdentity executor;
  /// The version of its last run.
  Version version = 0;
  RunCounts counts;
  friend bool operator==(const ExecutorRunCounts&, const ExecutorRunCounts&) = default;
};
struct VersionRunCounts {
  Version version = 0;
  std::uint64_t executors = 0;
  RunCounts counts;
  friend bool operator==(const VersionRunCounts&, const VersionRunCounts&) = default;
};

struct ModuleStats {
  std::string module;
  /// The newest one that went live, 0 when none did or it was removed since.
  Version version = 0;
  /// Epochs that changed it and went live.
  std::uint64_t epochs = 0;
  /// Executors that switched to one of these epochs, each time counted.
  std::uint64_t loads = 0;
  /// Different executors among those that the history names.
  std::uint64_t executors = 0;
  /// Executors that refused it, each time counted.
  std::uint64_t refusals = 0;
  /// From reading the announcement to the switch of the whole epoch, of the loads that the history names; 0
  /// when there are none.
  std::int64_t median_us = 0;
  std::int64_t slowest_us = 0;
  std::int64_t last_at_ns = 0;
  /// Runs, of all versions and executors that the daemon keeps numbers of.
  RunCounts runs{};
  /// Whose last run was the latest, first.
  std::vector<ExecutorRunCounts> by_executor{};
  /// The newest first.
  std::vector<VersionRunCounts> by_version{};
  friend bool operator==(const ModuleStats&, const ModuleStats&) = default;
};

/// By name. `entries` newest first, as the daemon gives them. `module`: only this one; empty: all.
[[nodiscard]] std::vector<ModuleStats> count_loads(const std::vector<HistoryEntry>& entries,
                                                   const std::string& module);

/// Adds the runs, in the order of RunsReply, to the modules that they are of; modules that are not there are
/// added.
void add_runs(std::vector<ModuleStats>& stats, const std::vector<ExecutorRuns>& runs);

/// "250 ns", "12.3 us", "4.1 ms".
[[nodiscard]] std::string run_duration(std::uint64_t ns);
/// A line for each module.
[[nodiscard]] std::string stats_text(const std::vector<ModuleStats>& stats, const Palette& palette,
                                     WallTime now);
/// A line for each executor that ran the module; empty when none did.
[[nodiscard]] std::string executors_text(const ModuleStats& stats, const Palette& palette, WallTime now);
/// {module, version, epochs, loads, executors, refusals, median_us, slowest_us, last_at, runs, run_executors,
/// run_total_ns, run_mean_ns, run_longest_ns, last_run_at, last_run_by: {id, name, host, pid},
/// by_executor: [{id, name, host, pid, version, runs, total_ns, longest_ns, last_at}],
/// by_version: [{version, executors, runs, total_ns, longest_ns, last_at}]}
[[nodiscard]] std::string json_of(const ModuleStats& stats);

}  // namespace moddev::tools
