// What was changed when, and what differs, for people and for scripts. Pure.
#pragma once

#include <string>
#include <vector>

#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// Epochs, newest first, one line each; the reasons of a refusal below it.
[[nodiscard]] std::string history_text(const std::vector<HistoryEntry>& entries, const Palette& palette);
/// One object.
[[nodiscard]] std::string json_of(const HistoryEntry& entry);

/// One line for each module that differs.
[[nodiscard]] std::string diff_text(const Manifest& from, const Manifest& to, const Palette& palette);
[[nodiscard]] std::string json_of_diff(const Manifest& from, const Manifest& to);

/// One line for each module that does not follow its file, and what ends that.
[[nodiscard]] std::string holds_text(const std::vector<HoldReport>& holds);
[[nodiscard]] std::string rollback_text(const RollbackReply& reply);
[[nodiscard]] std::string json_of(const RollbackReply& reply);

}  // namespace moddev::tools
