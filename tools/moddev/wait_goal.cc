#include "tools/moddev/wait_goal.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "tools/moddev/epoch_fate.h"
#include "tools/moddev/refusals.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kLaggardsShown = 4;
constexpr std::size_t kHoldsShown = 4;
constexpr const char* kNextStep = " A change of the files makes the next epoch.";
/// As daemon/fleet.cc begins the detail of an executor that failed.
constexpr std::string_view kCannotUse = "cannot use epoch ";

using Kind = WaitOutcome::Kind;

std::string epoch_text(Epoch epoch) {
  return "epoch " + std::to_string(epoch);
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string laggard(const ExecutorStatus& executor) {
  std::string text = printable(executor.identity.name) + " (" + std::string(to_string(executor.state));
  if (executor.epoch > 0) text += ", " + epoch_text(executor.epoch);
  text += ")";
  return executor.detail.empty() ? text : text + ": " + demangled(executor.detail);
}

/// Whether it has said that it cannot use `epoch`. What it says of an older one means nothing: the next was
/// committed since, and it comes to that.
bool cannot_use(const ExecutorStatus& executor, Epoch epoch) {
  return executor.state == ExecutorState::kFailed &&
         executor.detail.starts_with(std::string(kCannotUse) + std::to_string(epoch) + ":");
}

const HistoryEntry* entry_of(const std::vector<HistoryEntry>& history, Epoch epoch) {
  const auto entry = std::find_if(history.begin(), history.end(),
                                  [&](const HistoryEntry& one) { return one.epoch == epoch; });
  return entry == history.end() ? nullptr : &*entry;
}

WaitOutcome refused(const StatusReply& status, const std::vector<HistoryEntry>& history, Epoch epoch) {
  const HistoryEntry* entry = entry_of(history, epoch);
  const std::string why = entry != nullptr && entry->state == EpochState::kAborted
                              ? entry->failures.empty() ? "Nobody was left to use it." : refusals_text(*entry)
                              : "";
  return {Kind::kRefused, capital(epoch_text(epoch)) + " was refused, and " +
                              epoch_text(status.committed_epoch) +
                              (status.committed_epoch < epoch ? " stays live." : " is live without it.") +
                              (why.empty() ? "" : " " + why) + kNextStep};
}

/// Up to kLaggardsShown of them.
class Names {
 public:
  void add(std::string name) {
    if (count_++ < kLaggardsShown) text_ += (text_.empty() ? "" : "; ") + std::move(name);
  }
  [[nodiscard]] std::string text() const {
    return count_ <= kLaggardsShown ? text_
                                    : text_ + "; and " + std::to_string(count_ - kLaggardsShown) + " more";
  }

 private:
  std::string text_;
  std::size_t count_ = 0;
};

WaitOutcome being_prepared(const StatusReply& status, Epoch epoch) {
  Names names;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state == ExecutorState::kPreparing) names.add(printable(executor.identity.name));
  }
  const std::string by = names.text();
  return {Kind::kNotYet, epoch_text(epoch) + " is being prepared" + (by.empty() ? "" : " by " + by)};
}

/// The end of the waiting for one epoch, where the history tells that there is one.
WaitOutcome fate(const StatusReply& status, bool pending, const std::vector<HistoryEntry>& history,
                 Epoch epoch) {
  const EpochFate became = fate_of(history, epoch);
  switch (became.kind) {
    case EpochFate::Kind::kRefused:
      return refused(status, history, epoch);
    case EpochFate::Kind::kGivenUp:
      if (status.refused == epoch && !pending) return refused(status, history, epoch);
      return {Kind::kNotYet, epoch_text(epoch) + " was not decided, and what it changed comes again"};
    case EpochFate::Kind::kTakenBack:
      return {Kind::kRefused,
              capital(epoch_text(epoch)) + " was taken back by " + epoch_text(became.by.epoch) + ": " +
                  printable(became.by.cause) + ". What had changed stays out until its files change; " +
                  "`moddev rollback --to " + std::to_string(epoch) + "` brings it back as it is."};
    case EpochFate::Kind::kUnderWay:
      return being_prepared(status, epoch);
    case EpochFate::Kind::kUnknown:
    case EpochFate::Kind::kIn:
      break;
  }
  return {Kind::kReached, ""};
}

/// The same for the newest epoch.
WaitOutcome fate_of_newest(const StatusReply& status, bool pending,
                           const std::vector<HistoryEntry>& history) {
  if (pending) return being_prepared(status, status.epoch);
  if (status.refused != 0) return refused(status, history, status.refused);
  // Announced after the look at what is pending? An aborted one that is not refused (any more) was undone:
  // the files hold what is live.
  const HistoryEntry* head =
      status.epoch > status.committed_epoch ? entry_of(history, status.epoch) : nullptr;
  if (head != nullptr && head->state != EpochState::kAborted) return being_prepared(status, status.epoch);
  if (status.committed_epoch == 0) return {Kind::kNotYet, "nothing is published yet"};
  const HistoryEntry* live = entry_of(history, status.committed_epoch);
  // Without a hold the files are back as well.
  if (live != nullptr && is_return(live->cause) && !status.holds.empty()) {
    return {Kind::kRefused, capital(epoch_text(status.committed_epoch)) + " is live, a " +
                                printable(live->cause) + "." + kNextStep};
  }
  return {Kind::kReached, ""};
}

/// An epoch that the goal accepts, whatever becomes of a newer one.
bool runs(const ExecutorStatus& executor, Epoch wanted) {
  const bool at_work = executor.state == ExecutorState::kLive ||
                       executor.state == ExecutorState::kPreparing ||
                       executor.state == ExecutorState::kFailed;
  return at_work && executor.epoch >= wanted;
}

/// Who does not run it yet; empty when everyone does.
std::string behind(const StatusReply& status, Epoch wanted) {
  Names names;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state != ExecutorState::kGone && !runs(executor, wanted)) names.add(laggard(executor));
  }
  return names.text();
}

/// Who will not run it either, as long as nothing else is published; empty when nobody is known to be so.
std::string unable(const StatusReply& status, Epoch wanted) {
  Names names;
  for (const ExecutorStatus& executor : status.executors) {
    if (cannot_use(executor, status.committed_epoch) && !runs(executor, wanted)) names.add(laggard(executor));
  }
  return names.text();
}

/// Where everyone runs what is wanted: ".. is live in 3 executors".
std::string live_in(const StatusReply& status, Epoch wanted) {
  std::uint64_t there = 0;
  bool all_newest = true;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state == ExecutorState::kGone) continue;
    ++there;
    all_newest = all_newest && executor.epoch >= status.committed_epoch;
  }
  const std::string what =
      all_newest ? epoch_text(status.committed_epoch) : epoch_text(wanted) + " or a newer one";
  return what + (there == 0 ? " is live, and no executor is there to run it"
                            : " is live in " + counted(there, "executor"));
}

/// What a rollback keeps from following the directory.
std::string held(const StatusReply& status) {
  std::string text;
  std::size_t count = 0;
  for (const HoldReport& hold : status.holds) {
    if (count++ == kHoldsShown) {
      return text + "; and " + std::to_string(status.holds.size() - kHoldsShown) + " more modules are held";
    }
    text += "; " + printable(hold.module) +
            (hold.version == 0 ? " is kept out" : " is held at version " + std::to_string(hold.version)) +
            " until " + printable(hold.path) + " changes";
  }
  return text;
}

}  // namespace

Epoch oldest_needed(const StatusReply& status, const WaitGoal& goal) {
  if (goal.epoch != 0) return goal.epoch <= status.epoch ? goal.epoch : 0;
  return status.refused != 0 ? std::min(status.refused, status.committed_epoch) : status.committed_epoch;
}

WaitOutcome judge(const StatusReply& status, bool pending, const std::vector<HistoryEntry>& history,
                  const WaitGoal& goal) {
  const bool newest = goal.epoch == 0;
  WaitOutcome end =
      newest ? fate_of_newest(status, pending, history) : fate(status, pending, history, goal.epoch);
  if (end.kind != Kind::kReached) return end;
  const Epoch wanted = newest ? status.committed_epoch : goal.epoch;
  if (status.committed_epoch < wanted) {
    if (status.epoch < wanted) return {Kind::kNotYet, epoch_text(wanted) + " is not published yet"};
    // It is told of as not refused: committed after the status was told.
    if (pending || entry_of(history, wanted) != nullptr) return being_prepared(status, wanted);
    return refused(status, history, wanted);
  }
  // What is being prepared may be the cure.
  if (const std::string who = pending ? "" : unable(status, wanted); !who.empty()) {
    return {Kind::kRefused, capital(epoch_text(status.committed_epoch)) + " is live, but not in " + who +
                                (who.ends_with('.') ? "" : ".") +
                                " It is tried again there from time to time; a change of the files makes the "
                                "next epoch."};
  }
  if (const std::string who = behind(status, wanted); !who.empty())
    return {Kind::kNotYet, epoch_text(wanted) + " is not live in " + who};
  return {Kind::kReached, live_in(status, wanted) + (newest ? held(status) : "")};
}

}  // namespace moddev::tools
