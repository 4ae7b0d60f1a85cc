// A daemon's status as a person wants to see it: what is live, who runs what, who lags and why, at a glance.
// Pure.
#pragma once

#include <string>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// Several lines, each with its line break. `pending`: an epoch is being prepared at this moment; without it
/// a head above the committed epoch was refused.
[[nodiscard]] std::string status_text(const StatusReply& status, bool pending, const Palette& palette,
                                      WallTime now);

}  // namespace moddev::tools
