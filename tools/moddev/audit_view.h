// Who did what, for people and for scripts, and since when. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/audit.h"
#include "protocol/clock.h"
#include "protocol/result.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// One line each, in the order given.
[[nodiscard]] std::string audit_text(const std::vector<daemon::AuditEntry>& entries, const Palette& palette);
/// One object.
[[nodiscard]] std::string json_of(const daemon::AuditEntry& entry);

/// "90s", "10m", "2h", "7d": so long before `now`; "2026-11-26" or "2026-11-26T12:31[:07]": in the time zone
/// of the user, with a Z behind it in UTC. Errors: kInvalidArgument.
[[nodiscard]] Result<WallTime> parse_since(std::string_view text, WallTime now);

/// Whether an entry is about `who`: the one that was proven, or an executor's name; '*' stands for any part.
/// Empty: everybody.
[[nodiscard]] bool is_about(const daemon::AuditEntry& entry, std::string_view who);

}  // namespace moddev::tools
