#include "daemon/aftermath.h"

#include "daemon/limits.h"
#include "daemon/policy.h"

namespace moddev::daemon {

void Aftermath::begin(Epoch epoch, TimePoint now) {
  runners_.clear();
  dead_ = 0;
  epoch_ = within_ > Duration::zero() ? epoch : 0;
  until_ = now + limits::kAftermath;
}

void Aftermath::runs(const Uuid& executor, Epoch epoch, TimePoint now) {
  if (epoch_ == 0 || epoch != epoch_ || now >= until_) return;
  runners_.try_emplace(executor, Runner{now, {}});
}

void Aftermath::died(const Uuid& executor, const std::string& name, TimePoint heard) {
  const auto runner = runners_.find(executor);
  if (runner == runners_.end() || heard - runner->second.since > within_) return;
  if (runner->second.died.empty()) ++dead_;
  runner->second.died = name.empty() ? "an executor without a name" : name;
}

void Aftermath::lives(const Uuid& executor) {
  const auto runner = runners_.find(executor);
  if (runner == runners_.end() || runner->second.died.empty()) return;
  runner->second.died.clear();
  --dead_;
}

std::optional<std::string> Aftermath::verdict() {
  // Asked at every step: thousands of runners are looked at only when there is something to tell.
  if (epoch_ == 0 || !blames_content(runners_.size(), dead_)) return std::nullopt;
  std::size_t named = 0;
  std::string names;
  for (const auto& [id, runner] : runners_) {
    if (runner.died.empty() || named++ >= limits::kNamesShown) continue;
    names += (names.empty() ? "" : ", ") + runner.died;
  }
  if (dead_ > limits::kNamesShown) names += ", ...";
  std::string reason = std::to_string(dead_) + " of " + std::to_string(runners_.size()) +
                       " executors died right after they had switched to epoch " + std::to_string(epoch_) +
                       " (" + names + ")";
  end();
  return reason;
}

}  // namespace moddev::daemon
