#include "tools/moddev/wait_goal.h"

#include <algorithm>

#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kLaggardsShown = 4;

using Kind = WaitOutcome::Kind;

std::string laggard(const ExecutorStatus& executor) {
  std::string text = printable(executor.identity.name) + " (" + std::string(to_string(executor.state));
  if (executor.epoch > 0) text += ", epoch " + std::to_string(executor.epoch);
  text += ")";
  return executor.detail.empty() ? text : text + ": " + printable(executor.detail);
}

}  // namespace

WaitOutcome judge(const StatusReply& status, bool pending, const WaitGoal& goal) {
  const Epoch wanted = goal.epoch == 0 ? status.epoch : goal.epoch;
  const std::string wanted_text = "epoch " + std::to_string(wanted);
  const std::string live_text = "epoch " + std::to_string(status.committed_epoch);
  if (status.committed_epoch < wanted) {
    if (pending) return {Kind::kNotYet, wanted_text + " is being prepared"};
    if (status.epoch < wanted) return {Kind::kNotYet, wanted_text + " is not published yet"};
    return {Kind::kRefused, wanted_text + " was refused, and " + live_text + " stays live"};
  }
  std::string behind;
  std::size_t count = 0;
  std::uint64_t there = 0;
  for (const ExecutorStatus& executor : status.executors) {
    if (executor.state == ExecutorState::kGone) continue;
    ++there;
    const bool runs_it = executor.epoch >= (goal.epoch == 0 ? status.committed_epoch : wanted);
    if (runs_it && (executor.state == ExecutorState::kLive || executor.state == ExecutorState::kPreparing))
      continue;
    if (count++ < kLaggardsShown) behind += (behind.empty() ? "" : "; ") + laggard(executor);
  }
  if (count > kLaggardsShown) behind += "; and " + std::to_string(count - kLaggardsShown) + " more";
  if (count > 0) return {Kind::kNotYet, wanted_text + " is not live in " + behind};
  if (goal.epoch == 0 && pending)
    return {Kind::kNotYet, "epoch " + std::to_string(status.epoch) + " is being prepared"};
  return {Kind::kReached, live_text + " is live in " + counted(there, "executor")};
}

}  // namespace moddev::tools
