// Epochs that are held by their number: what is here is held at once, what is older is loaded beside the live
// epoch, what is newer is waited for. It never changes what is live, and gives way to every epoch that may
// become so.
#include <algorithm>
#include <utility>

#include "client/src/session_state.h"

namespace moddev {

void Session::pin_epoch(Epoch epoch, TimePoint deadline, std::function<void(Result<Pin>)> done) {
  State& s = *state_;
  if (epoch == 0) {
    return done(Error{ErrorCode::kInvalidArgument,
                      "Epoch 0 is before the first and holds nothing; take the number from a pin.", 0});
  }
  if (s.phase == State::Phase::kLeaving) {
    return done(Error{ErrorCode::kUnavailable, "The client is leaving the fleet.", 0});
  }
  if (Pin pin = s.hold(epoch)) return done(std::move(pin));
  if (s.waiting_pins.size() >= client::limits::kWaitingPins) {
    return done(Error{ErrorCode::kLimit,
                      std::to_string(client::limits::kWaitingPins) +
                          " pins wait for their epochs here already (kWaitingPins).",
                      0});
  }
  s.waiting_pins.push_back({epoch, deadline, std::move(done)});
}

Pin Session::State::hold(Epoch epoch) {
  // In the daemon's new history the same number is another epoch.
  if (daemon_known && daemon.repo != live_repo) return {};
  return views.pin_epoch(epoch, first_serial);
}

bool Session::State::serve_waiting_pins() {
  if (waiting_pins.empty()) return false;
  for (WaitingPin& waiting : waiting_pins) {
    if (Pin pin = hold(waiting.epoch)) {
      std::exchange(waiting.done, nullptr)(std::move(pin));
    } else if (now >= waiting.deadline) {
      std::exchange(waiting.done, nullptr)(why_not_yet(waiting.epoch));
    }
  }
  std::erase_if(waiting_pins, [](const WaitingPin& waiting) { return !waiting.done; });
  const auto wants = [this](Epoch epoch) {
    return std::any_of(waiting_pins.begin(), waiting_pins.end(),
                       [&](const WaitingPin& waiting) { return waiting.epoch == epoch; });
  };
  if (beside && !wants(beside->epoch)) discard(beside);
  if (beside || !member()) return false;
  const auto older = std::find_if(waiting_pins.begin(), waiting_pins.end(),
                                  [this](const WaitingPin& waiting) { return waiting.epoch < have(); });
  if (older == waiting_pins.end()) return false;
  if (views_beside.size() >= client::limits::kEpochsBeside) {
    refuse_pins(older->epoch,
                {ErrorCode::kLimit,
                 "Epoch " + std::to_string(older->epoch) + " cannot be loaded beside the live one: " +
                     std::to_string(client::limits::kEpochsBeside) +
                     " others are held already (kEpochsBeside). Drop their pins first.",
                 0});
    return true;
  }
  client::EpochInWork& work = beside.emplace();
  work.repo = daemon.repo;
  work.epoch = older->epoch;
  work.stage = Stage::kNeedsManifest;
  work.since = now;
  work.attempt = ++attempts;
  return true;
}

Error Session::State::why_not_yet(Epoch epoch) const {
  std::string why = "Epoch " + std::to_string(epoch) + " is not here in time: ";
  if (!member()) {
    why += status.problem.empty() ? "the daemon at " + options.endpoint + " is not reached." : status.problem;
  } else if (epoch > have()) {
    why += "epoch " + std::to_string(have()) + " is live here, and epoch " + std::to_string(committed_epoch) +
           " is the newest that is committed.";
  } else {
    why += "it is still being fetched and loaded.";
  }
  return {ErrorCode::kTimeout, std::move(why), 0};
}

void Session::State::refuse_pins(Epoch epoch, const Error& why) {
  if (beside && beside->epoch == epoch) discard(beside);
  for (WaitingPin& waiting : waiting_pins) {
    if (waiting.epoch == epoch) std::exchange(waiting.done, nullptr)(why);
  }
  std::erase_if(waiting_pins, [](const WaitingPin& waiting) { return !waiting.done; });
}

void Session::State::refuse_all_pins(const Error& why) {
  discard(beside);
  for (WaitingPin& waiting : std::exchange(waiting_pins, {})) waiting.done(why);
}

void Session::State::keep_beside() {
  const std::shared_ptr<const View> view = std::move(beside->view);
  beside.reset();
  const auto live = views.current();
  for (const auto& [name, module] : view->modules()) {
    const auto there = live->modules().find(name);
    if (there == live->modules().end() || there->second != module) retired_bytes += module->retired_bytes();
  }
  views_beside.push_back(view.get());
  views.keep(view, now);
  ++former_views;
  collect_delay = client::limits::kCollectFirst;
  collect_at = now + collect_delay;
  serve_waiting_pins();  // before anyone looks whether it is still held
}

}  // namespace moddev
