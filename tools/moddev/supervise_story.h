// What happens to the workers of `moddev supervise`, as lines for a person and as JSON for scripts. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "tools/moddev/terminal.h"
#include "tools/supervisor/supervisor.h"

namespace moddev::tools {

/// What it says when it begins.
struct SuperviseFacts {
  std::vector<std::string> command;
  std::uint64_t workers = 0;
  std::int64_t pid = 0;
  std::string endpoint;
  /// How workers are asked whether they are ready.
  std::string readiness;
  std::vector<std::string> listeners;
};

[[nodiscard]] std::string json_line(const SuperviseFacts& facts);
[[nodiscard]] std::string json_line(const supervisor::SupervisorEvent& event);

[[nodiscard]] std::string tell(const Palette& palette, WallTime at, const SuperviseFacts& facts);
[[nodiscard]] std::string tell(const Palette& palette, WallTime at, const supervisor::SupervisorEvent& event);

}  // namespace moddev::tools
