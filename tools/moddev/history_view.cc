#include "tools/moddev/history_view.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "protocol/limits.h"
#include "tools/moddev/refusals.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kChangesShown = 4;
constexpr std::size_t kExecutorsShown = 3;
constexpr std::size_t kRefusalsShown = 4;

WallTime wall_of(std::int64_t ns) {
  return WallTime{Duration(ns)};
}

std::string change_text(const ModuleChange& change) {
  std::string text = printable(change.module.name);
  if (change.change == ChangeKind::kRemoved) return text + " removed";
  return text + " " + std::to_string(change.module.version) + " (" + human_size(change.module.size) + ")";
}

std::string changes_text(const HistoryEntry& entry) {
  std::string text;
  const std::size_t shown = std::min(entry.changes.size(), kChangesShown);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + change_text(entry.changes[i]);
  const std::uint64_t total = std::max<std::uint64_t>(entry.changes_total, entry.changes.size());
  if (total > shown) text += " and " + std::to_string(total - shown) + " more";
  return text;
}

Table::Cell state_cell(const HistoryEntry& entry) {
  if (entry.state == EpochState::kCommitted) return {"live", Colour::kGood};
  if (entry.state == EpochState::kAborted) {
    // Without a refusal: the daemon ended before it was decided, or nobody was left to answer.
    if (entry.failures.empty()) return {"given up", Colour::kNotice};
    return {"refused", Colour::kBad};
  }
  return {"under way", Colour::kNotice};
}

/// "w1, w2 and 10 more in 4.1 ms": who applied it and how long the slowest of them took.
std::string applied_text(const HistoryEntry& entry) {
  if (entry.applied.empty()) return entry.state == EpochState::kCommitted ? "no executors" : "";
  std::set<std::string> names;
  std::int64_t slowest = 0;
  for (const AppliedReport& applied : entry.applied) {
    names.insert(printable(applied.executor.name));
    slowest = std::max(slowest, applied.elapsed_us);
  }
  std::string text;
  std::size_t shown = 0;
  for (const std::string& name : names) {
    if (shown == kExecutorsShown) break;
    text += (shown++ == 0 ? "" : ", ") + name;
  }
  const std::uint64_t total = std::max<std::uint64_t>(entry.applied_total, entry.applied.size());
  if (total > shown) text += " and " + std::to_string(total - shown) + " more";
  return text + " in " + human_duration(std::chrono::microseconds(slowest));
}

std::string failure_lines(const HistoryEntry& entry, const Palette& palette) {
  const std::vector<Refusal> refusals = grouped(entry.failures);
  std::string text;
  const std::size_t shown = std::min(refusals.size(), kRefusalsShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const Refusal& refusal = refusals[i];
    text += "    " + palette.paint(Colour::kBad, who(refusal) + ": " + printable(refusal.module)) + "  " +
            demangled(refusal.error) + "\n";
  }
  if (refusals.size() > shown)
    text += "    and " + std::to_string(refusals.size() - shown) + " more reasons\n";
  if (entry.failures.size() >= limits::kHistoryFailures)
    text += "    these are the first " + std::to_string(limits::kHistoryFailures) + " refusals\n";
  return text;
}

}  // namespace

std::string history_text(const std::vector<HistoryEntry>& entries, const Palette& palette) {
  Table table;
  for (const HistoryEntry& entry : entries) {
    table.add({{"epoch " + std::to_string(entry.epoch)},
               {day_and_time(wall_of(entry.announced_at_ns)), Colour::kDim},
               state_cell(entry),
               {changes_text(entry)},
               {applied_text(entry), Colour::kDim},
               {entry.cause == "change" ? "" : printable(entry.cause), Colour::kNotice}});
  }
  // The reasons go between the lines of the table.
  const std::string lines = table.render(palette, "");
  std::string text;
  std::size_t begin = 0;
  for (const HistoryEntry& entry : entries) {
    const std::size_t end = lines.find('\n', begin) + 1;
    text += lines.substr(begin, end - begin) + failure_lines(entry, palette);
    begin = end;
  }
  return text;
}

std::string diff_text(const Manifest& from, const Manifest& to, const Palette& palette) {
  Table table;
  for (const ModuleChange& change : diff(from, to)) {
    const ModuleEntry* before = from.find(change.module.name);
    const ModuleEntry* after = to.find(change.module.name);
    std::string version;
    std::string size;
    if (before != nullptr) version = std::to_string(before->version), size = human_size(before->size);
    if (after != nullptr && before != nullptr) version += " -> ", size += " -> ";
    if (after != nullptr) version += std::to_string(after->version), size += human_size(after->size);
    const bool same_bytes = before != nullptr && after != nullptr && before->digest == after->digest;
    table.add(
        {{std::string(to_string(change.change)), change.change == ChangeKind::kRemoved ? Colour::kBad
                                                 : change.change == ChangeKind::kAdded ? Colour::kGood
                                                                                       : Colour::kPlain},
         {printable(change.module.name)},
         {std::move(version)},
         {std::move(size), Colour::kDim},
         {same_bytes ? "the same bytes" : "", Colour::kDim}});
  }
  return table.render(palette, "");
}

std::string holds_text(const std::vector<HoldReport>& holds) {
  std::string text;
  for (const HoldReport& hold : holds) {
    text += printable(hold.module) +
            (hold.version == 0 ? " is kept out"
                               : " has the bytes of version " + std::to_string(hold.version) + " again") +
            " until " + printable(hold.path) + " changes: the next rebuild goes live again.\n";
  }
  return text;
}

std::string rollback_text(const RollbackReply& reply) {
  std::string text = "Epoch " + std::to_string(reply.epoch) + " is live: " + printable(reply.cause) + ".\n";
  for (const ModuleChange& change : reply.changes) text += "  " + change_text(change) + "\n";
  return text + holds_text(reply.holds);
}

}  // namespace moddev::tools
