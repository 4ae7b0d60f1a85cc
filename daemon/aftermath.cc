#include "daemon/aftermath.h"

#include <algorithm>

#include "daemon/limits.h"
#include "daemon/policy.h"

namespace moddev::daemon {

void Aftermath::begin(Epoch epoch, TimePoint now) {
  runners_.clear();
  places_.clear();
  deaths_ = 0;
  due_ = kNever;
  epoch_ = within_ > Duration::zero() ? epoch : 0;
  begun_ = now;
  until_ = now + limits::kAftermath;
}

void Aftermath::add(const ExecutorIdentity& executor, bool newcomer, TimePoint now) {
  const auto [runner, is_new] = runners_.try_emplace(
      executor.id, Runner{executor.name, executor.host, now, newcomer, false, {}, {}, {}});
  if (!is_new) return;
  places_[{executor.name, executor.host}].push_back(executor.id);
  if (!newcomer) return;
  if (auto* former = dead_without_successor(executor); former != nullptr) pair(*former, *runner);
}

void Aftermath::joined(const ExecutorIdentity& executor, TimePoint now) {
  if (watches(now) && dead_without_successor(executor) != nullptr) add(executor, true, now);
}

void Aftermath::runs(const ExecutorIdentity& executor, TimePoint joined, Epoch epoch, TimePoint now) {
  if (watches(now) && epoch == epoch_) add(executor, joined > begun_, now);
}

Aftermath::Runners::value_type* Aftermath::dead_without_successor(const ExecutorIdentity& newcomer) {
  const auto place = places_.find({newcomer.name, newcomer.host});
  if (place == places_.end()) return nullptr;
  std::size_t looks = 0;
  for (const Uuid& id : place->second) {
    if (looks++ == limits::kReplacementsLookedAt) return nullptr;
    auto& one = *runners_.find(id);
    if (one.second.dead && !one.second.replaced_by && id != newcomer.id) return &one;
  }
  return nullptr;
}

Aftermath::Runners::value_type* Aftermath::successor_of(const Runner& dead) {
  std::size_t looks = 0;
  for (const Uuid& id : places_[{dead.name, dead.host}]) {
    auto& one = *runners_.find(id);
    if (!one.second.newcomer || (dead.newcomer && one.second.since <= dead.since)) continue;
    if (looks++ == limits::kReplacementsLookedAt) return nullptr;
    if (!one.second.replaces) return &one;
  }
  return nullptr;
}

void Aftermath::pair(Runners::value_type& former, Runners::value_type& successor) {
  former.second.replaced_by = successor.first;
  successor.second.replaces = former.first;
}

void Aftermath::died(const ExecutorIdentity& executor, TimePoint heard, TimePoint now) {
  const auto found = runners_.find(executor.id);
  if (found == runners_.end() || found->second.dead || heard - found->second.since > within_) return;
  found->second.dead = true;
  found->second.noticed = now;
  ++deaths_;
  due_ = now;
  if (found->second.replaced_by) return;
  if (auto* successor = successor_of(found->second); successor != nullptr) pair(*found, *successor);
}

void Aftermath::lives(const Uuid& executor) {
  const auto runner = runners_.find(executor);
  if (runner == runners_.end() || !runner->second.dead) return;
  runner->second.dead = false;
  --deaths_;
  if (runner->second.replaced_by) runners_.at(*runner->second.replaced_by).replaces.reset();
  runner->second.replaced_by.reset();
}

std::optional<std::string> Aftermath::verdict(TimePoint now) {
  // Asked at every step: thousands of runners are looked at only when there is something to tell.
  if (epoch_ == 0 || now < due_) return std::nullopt;
  due_ = kNever;
  std::size_t executors = 0;
  std::vector<std::string> dead;
  for (const auto& [id, first] : runners_) {
    if (first.replaces) continue;
    ++executors;
    std::size_t deaths = first.dead ? 1 : 0;
    const Runner* last = &first;
    while (last->replaced_by) {
      last = &runners_.at(*last->replaced_by);
      if (last->dead) ++deaths;
    }
    const TimePoint missed_at = last->noticed + limits::kBackAfterDeath;
    if (last->dead && deaths == 1 && now < missed_at) due_ = std::min(due_, missed_at);
    if (deaths < 2 && !(last->dead && now >= missed_at)) continue;
    dead.push_back(first.name.empty() ? "an executor without a name" : first.name);
  }
  if (!blames_content(executors, dead.size(), deaths_)) return std::nullopt;
  std::ranges::sort(dead);
  std::string names;
  for (std::size_t n = 0; n < std::min(dead.size(), limits::kNamesShown); ++n)
    names += (n == 0 ? "" : ", ") + dead[n];
  if (dead.size() > limits::kNamesShown) names += ", ...";
  std::string reason = std::to_string(dead.size()) + " of " + std::to_string(executors) +
                       " executors died right after they had switched to epoch " + std::to_string(epoch_) +
                       " (" + names + ")";
  if (deaths_ > dead.size()) reason += ", and again when they had been started anew";
  end();
  return reason;
}

}  // namespace moddev::daemon
