// Has come what a script waits for? Pure, over what the daemon answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
    kRefused,  // refused or taken back, or somebody cannot use it: nothing will come of waiting, unless
               // files change again
  };
  Kind kind = Kind::kNotYet;
  /// For a person: what is live, or what is missing still, by name; whole sentences with kRefused.
  std::string text;
};

/// What judge() needs of the history: from the newest epoch down to this one. 0: nothing.
[[nodiscard]] Epoch oldest_needed(const StatusReply& status, const WaitGoal& goal);

/// Reached when every executor that is there runs an epoch that the goal accepts: of an epoch, itself or one
/// that builds on it; else the newest, when that is what the directory holds or a person wished. While
/// nothing is pending and nothing refused the directory is as what is committed, whatever was refused and
/// undone before. `pending`: an epoch is being prepared at this moment. `history`: newest first; where it
/// does not tell of an epoch (it is forgotten, or a daemon does not say), every newer one passes for one that
/// builds on it.
[[nodiscard]] WaitOutcome judge(const StatusReply& status, bool pending,
                                const std::vector<HistoryEntry>& history, const WaitGoal& goal);

}  // namespace moddev::tools
