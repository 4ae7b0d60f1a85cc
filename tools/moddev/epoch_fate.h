// What became of an epoch, as the history tells it: is what it brought a part of what is live? Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/messages.h"

namespace moddev::tools {

struct EpochFate {
  enum class Kind : std::uint8_t {
    kUnknown,    // the history that was given does not tell of it
    kUnderWay,   // not decided yet
    kGivenUp,    // aborted, and nobody refused it: the daemon ended, or nobody was left. It comes again
    kIn,         // committed, and what was committed since builds on it
    kRefused,    // aborted, and nobody has brought the same bytes since
    kTakenBack,  // a return or a rollback that was committed since goes back to what was before
  };
  Kind kind = Kind::kUnknown;
  /// kRefused, kGivenUp: the epoch itself; kTakenBack: the return or rollback.
  HistoryEntry by{};
};

/// `newest_first`: without gaps, down to `epoch` or further.
[[nodiscard]] EpochFate fate_of(const std::vector<HistoryEntry>& newest_first, Epoch epoch);

/// Whether an epoch with this cause was the daemon's way back because executors died.
[[nodiscard]] bool is_return(std::string_view cause);

}  // namespace moddev::tools
