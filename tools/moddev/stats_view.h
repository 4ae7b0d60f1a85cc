// How often each module was loaded, by how many, how fast, and how often it was refused: counted from the
// history that the daemon keeps. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

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
  friend bool operator==(const ModuleStats&, const ModuleStats&) = default;
};

/// By name. `entries` newest first, as the daemon gives them. `module`: only this one; empty: all.
[[nodiscard]] std::vector<ModuleStats> count_loads(const std::vector<HistoryEntry>& entries,
                                                   const std::string& module);

[[nodiscard]] std::string stats_text(const std::vector<ModuleStats>& stats, const Palette& palette,
                                     WallTime now);
/// {module, version, epochs, loads, executors, refusals, median_us, slowest_us, last_at}
[[nodiscard]] std::string json_of(const ModuleStats& stats);

}  // namespace moddev::tools
