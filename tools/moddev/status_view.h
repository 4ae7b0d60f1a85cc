// A daemon's status as a person wants to see it: what is live, who runs what, who lags and why, at a glance.
// Pure.
#pragma once

#include <optional>
#include <string>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// The epoch that is not live for all that one can see: the refused one, or else the newest. 0: there is
/// none.
[[nodiscard]] Epoch not_live(const StatusReply& status);

/// Several lines, each with its line break. `pending`: an epoch is being prepared at this moment. `past`:
/// what the history tells of not_live(), if it does: why it was refused, or that it is not decided yet.
[[nodiscard]] std::string status_text(const StatusReply& status, bool pending,
                                      const std::optional<HistoryEntry>& past, const Palette& palette,
                                      WallTime now);

}  // namespace moddev::tools
