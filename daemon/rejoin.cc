#include "daemon/rejoin.h"

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {

Rejoin::Rejoin(const std::vector<ExecutorIdentity>& ran,
               const std::function<bool(const ExecutorIdentity&)>& still_there, const std::string& host) {
  const auto place_of = [](const ExecutorIdentity& one) { return std::pair(one.name, one.host); };
  std::set<std::pair<std::string, std::string>> seen_places;
  for (const ExecutorIdentity& one : ran) {
    const bool seen = still_there && still_there(one);
    expected_.push_back({one, seen, still_there && !seen && one.host == host});
    if (expected_.back().seen) seen_places.insert(place_of(one));
  }
  std::erase_if(expected_, [&](const Expected& one) {
    return !one.seen && seen_places.contains(place_of(one.executor));
  });
}

void Rejoin::begin(TimePoint now, Duration patience) {
  begun_ = true;
  begin_ = now;
  patience_ = patience;
}

void Rejoin::joined(const ExecutorIdentity& executor) {
  auto place = std::ranges::find(expected_, executor.id,
                                 [](const Expected& one) -> const Uuid& { return one.executor.id; });
  if (place == expected_.end()) {
    place = std::ranges::find_if(expected_, [&](const Expected& one) {
      return !one.seen && one.executor.name == executor.name && one.executor.host == executor.host;
    });
  }
  if (place != expected_.end()) expected_.erase(place);
}

void Rejoin::was_deaf(Duration length) {
  if (begun_) begin_ += length;
}

TimePoint Rejoin::until() const {
  const bool all_ended = std::ranges::all_of(expected_, &Expected::probably_ended);
  return begin_ + (all_ended ? std::min<Duration>(patience_, limits::kRejoinHere) : patience_);
}

std::vector<ExecutorIdentity> Rejoin::missing() const {
  std::vector<ExecutorIdentity> all;
  all.reserve(expected_.size());
  for (const Expected& one : expected_) all.push_back(one.executor);
  return all;
}

std::string Rejoin::take_missing() {
  std::ranges::sort(expected_, {},
                    [](const Expected& one) -> const std::string& { return one.executor.name; });
  std::string names;
  for (std::size_t i = 0; i < std::min(expected_.size(), limits::kNamesShown); ++i) {
    const std::string& name = expected_[i].executor.name;
    names += (i == 0 ? "" : ", ") + (name.empty() ? "an executor without a name" : name);
  }
  if (expected_.size() > limits::kNamesShown)
    names += " and " + std::to_string(expected_.size() - limits::kNamesShown) + " more";
  expected_.clear();
  return names;
}

}  // namespace moddev::daemon
