// What people ask about the past: which epochs touched a module, by what, who applied them, and who ran what.
// Reads the journal, changes nothing.
#pragma once

#include <string>
#include <vector>

#include "daemon/journal.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// The names that the history knows, removed modules too; sorted.
[[nodiscard]] std::vector<std::string> known_modules(const Journal& journal);

/// Errors: as match_name() and Journal::history().
[[nodiscard]] Result<HistoryReply> history_of(const Journal& journal, const HistoryRequest& request);

/// Who ran what, as far as the journal has it. Errors: the same.
[[nodiscard]] Result<RunsReply> runs_of(const Journal& journal, const RunsRequest& request);

/// What is held, for status and for the answer to a rollback.
[[nodiscard]] std::vector<HoldReport> report_holds(const HoldSet& holds);

}  // namespace moddev::daemon
