// What people ask about the past: which epochs touched a module, by what, and who applied them; and module
// names that are given in part. Reads the journal, changes nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/journal.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// The one of `names` (sorted) that `part` means: itself, else the only one that begins with it, else the
/// only one that contains it. Errors: kConflict, naming those that fit; kNotFound, naming some that there
/// are.
[[nodiscard]] Result<std::string> resolve_module_name(std::string_view part,
                                                      const std::vector<std::string>& names);

/// The names that the history knows, removed modules too; sorted.
[[nodiscard]] std::vector<std::string> known_modules(const Journal& journal);

/// Errors: as resolve_module_name() and Journal::history().
[[nodiscard]] Result<HistoryReply> history_of(const Journal& journal, const HistoryRequest& request);

/// What is held, for status and for the answer to a rollback.
[[nodiscard]] std::vector<HoldReport> report_holds(const HoldSet& holds);

}  // namespace moddev::daemon
