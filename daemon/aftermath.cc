#include "daemon/aftermath.h"

#include <algorithm>

#include "daemon/limits.h"
#include "daemon/policy.h"

namespace moddev::daemon {

void Aftermath::begin(Epoch epoch, TimePoint now) {
  runners_.clear();
  places_.clear();
  deaths_ = replacements_ = dead_replacements_ = 0;
  epoch_ = within_ > Duration::zero() ? epoch : 0;
  until_ = now + limits::kAftermath;
}

void Aftermath::runs(const ExecutorIdentity& executor, Epoch epoch, TimePoint now) {
  if (epoch_ == 0 || epoch != epoch_ || now >= until_) return;
  const auto [runner, is_new] =
      runners_.try_emplace(executor.id, Runner{executor.name, executor.host, now, false, {}});
  if (is_new) places_[{executor.name, executor.host}].emplace_back(now, executor.id);
}

void Aftermath::died(const ExecutorIdentity& executor, TimePoint heard) {
  const auto found = runners_.find(executor.id);
  if (found == runners_.end() || found->second.dead || heard - found->second.since > within_) return;
  Runner& runner = found->second;
  runner.dead = true;
  ++deaths_;
  if (runner.replaces) ++dead_replacements_;
  const auto& same_place = places_[{runner.name, runner.host}];
  auto later = std::ranges::upper_bound(same_place, heard, {}, [](const auto& one) { return one.first; });
  for (std::size_t looks = 0; later != same_place.end() && looks < limits::kReplacementsLookedAt;
       ++later, ++looks) {
    Runner& other = runners_.at(later->second);
    if (other.replaces) continue;
    other.replaces = executor.id;
    ++replacements_;
    if (other.dead) ++dead_replacements_;
    return;
  }
}

void Aftermath::lives(const Uuid& executor) {
  const auto runner = runners_.find(executor);
  if (runner == runners_.end() || !runner->second.dead) return;
  runner->second.dead = false;
  --deaths_;
  if (runner->second.replaces) --dead_replacements_;
  for (auto& [id, other] : runners_) {
    if (other.replaces != executor) continue;
    other.replaces.reset();
    --replacements_;
    if (other.dead) --dead_replacements_;
  }
}

std::optional<std::string> Aftermath::verdict() {
  // Asked at every step: thousands of runners are looked at only when there is something to tell.
  const std::size_t executors = runners_.size() - replacements_;
  const std::size_t dead = deaths_ - dead_replacements_;
  if (epoch_ == 0 || !blames_content(executors, dead, deaths_)) return std::nullopt;
  std::vector<std::string> dead_names;
  for (const auto& [id, runner] : runners_) {
    if (runner.dead && !runner.replaces)
      dead_names.push_back(runner.name.empty() ? "an executor without a name" : runner.name);
  }
  std::ranges::sort(dead_names);
  std::string names;
  for (std::size_t n = 0; n < std::min(dead_names.size(), limits::kNamesShown); ++n)
    names += (n == 0 ? "" : ", ") + dead_names[n];
  if (dead > limits::kNamesShown) names += ", ...";
  std::string reason = std::to_string(dead) + " of " + std::to_string(executors) +
                       " executors died right after " + "they had switched to epoch " +
                       std::to_string(epoch_) + " (" + names + ")";
  if (deaths_ > dead) reason += ", and again when they had been started anew";
  end();
  return reason;
}

}  // namespace moddev::daemon
