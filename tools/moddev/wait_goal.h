// Has come what a script waits for? Pure, over what the daemon answered.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/messages.h"

namespace moddev::tools {

struct WaitGoal {
  /// An epoch, or the newest one when 0.
  Epoch epoch = 0;
};

struct WaitOutcome {
  enum class Kind : std::uint8_t {
    kReached,
    kNotYet,
    kRefused,  // and nothing will come of waiting, unless files change again
  };
  Kind kind = Kind::kNotYet;
  /// For a person: what is live, or what is missing still, by name.
  std::string text;
};

/// Reached when every executor that is there runs an epoch that the goal accepts. `pending`: an epoch is
/// being prepared at this moment.
[[nodiscard]] WaitOutcome judge(const StatusReply& status, bool pending, const WaitGoal& goal);

}  // namespace moddev::tools
