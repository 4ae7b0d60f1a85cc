// A daemon's status as a person wants to see it: what is live, who runs what, who lags and why, at a glance.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// The epoch of which the history is to tell more: the refused one, or else the newest that is not live (it
/// is being prepared, or was refused and undone). 0: there is none.
[[nodiscard]] Epoch not_live(const StatusReply& status);

enum class StatusOrder : std::uint8_t {
  kByName,
  kNewsFirst,  // what changed last, and executors of which there is something to tell: for the rest is no
               // room
};

struct StatusParts {
  std::string head;
  std::string modules;    // each with an empty line and a title before it
  std::string executors;  // empty when there are none
};

/// Several lines, each with its line break. `pending`: an epoch is being prepared at this moment. `past`:
/// what the history tells of not_live(), if it does: why it was refused, or that it is not decided yet.
[[nodiscard]] StatusParts status_parts(const StatusReply& status, bool pending,
                                       const std::optional<HistoryEntry>& past, StatusOrder order,
                                       const Palette& palette, WallTime now);
/// All of it, by name.
[[nodiscard]] std::string status_text(const StatusReply& status, bool pending,
                                      const std::optional<HistoryEntry>& past, const Palette& palette,
                                      WallTime now);

}  // namespace moddev::tools
