// How a switch goes on: from asking to trial, commit and the last one that has applied it, or to its abort.
// Who is a member and what each says is in fleet.cc.
#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/fleet.h"
#include "daemon/limits.h"

namespace moddev::daemon {

using Kind = FleetAction::Kind;

bool Fleet::repeat_due(TimePoint now) {
  if (now < switch_.repeat_at) return false;
  switch_.repeat_interval = std::min(switch_.repeat_interval * 2, options_.repeat_at_most);
  switch_.repeat_at = now + switch_.repeat_interval;
  return true;
}

FleetAction Fleet::action(FleetAction::Kind kind) const {
  FleetAction result;
  result.kind = kind;
  result.epoch = switch_.epoch;
  return result;
}

void Fleet::finish_switch() {
  for (auto& [id, member] : members_) {
    member.vote = Vote::kNone;
    member.awaited = false;
    member.follows = false;
    member.late_ready = false;
    member.canary = false;
    member.refusal.clear();
  }
  switch_ = {};
}

void Fleet::advance_preparing(TimePoint now) {
  if (now >= switch_.deadline) exclude_late(now);
  if (switch_.trial_failed) return abort();
  switch_.tally.refusal_grace_over = now >= switch_.grace_until;
  switch (verdict()) {
    case Verdict::kWait:
      if (switch_.tally.silent > 0 && repeat_due(now)) waiting_.push_back(action(Kind::kRepeatAnnounce));
      return;
    case Verdict::kCommit:
      if (begin_trial(now)) return;
      switch_.phase = Phase::kDecided;
      waiting_.push_back(action(Kind::kCommit));
      return;
    case Verdict::kAbort:
      return abort();
  }
}

Verdict Fleet::verdict() const {
  // What ran before waits for nobody: those that die of what is left would hold it up for their lease.
  if (switch_.known_good) return decide(SyncPolicy::kNone, switch_.tally);
  return switch_.nothing_to_lose ? decide_for_nobody_else(options_.sync, switch_.tally)
                                 : decide(options_.sync, switch_.tally);
}

void Fleet::abort() {
  FleetAction aborted = action(Kind::kAbort);
  aborted.failures = std::move(switch_.failures);
  aborted.refused_by = std::move(switch_.refused_by);
  aborted.died = std::move(switch_.died);
  aborted.on_trial = switch_.phase == Phase::kTrial;
  waiting_.push_back(std::move(aborted));
  finish_switch();
}

std::vector<Fleet::Member*> Fleet::choose_canaries_now(bool& are_missing) {
  std::vector<Member*> chosen;
  are_missing = false;
  if (!options_.canaries.wanted() || switch_.known_good) return chosen;
  std::vector<Member*> voters;
  for (auto& [id, member] : members_) {
    if (member.vote == Vote::kPrepared || member.vote == Vote::kSilent) voters.push_back(&member);
  }
  std::stable_sort(voters.begin(), voters.end(),
                   [](const Member* a, const Member* b) { return a->identity.name < b->identity.name; });
  std::vector<std::string> names;
  names.reserve(voters.size());
  for (const Member* voter : voters) names.push_back(voter->identity.name);
  for (const std::size_t n : choose_canaries(options_.canaries, names)) {
    voters[n]->canary = true;
    chosen.push_back(voters[n]);
  }
  are_missing = canaries_are_missing(options_.canaries, names);
  return chosen;
}

bool Fleet::begin_trial(TimePoint now) {
  FleetAction trial = action(Kind::kTrial);
  bool all_are_ready = true;
  bool are_missing = false;
  for (Member* canary : choose_canaries_now(are_missing)) {
    all_are_ready = all_are_ready && canary->vote == Vote::kPrepared;
    await_switch(*canary, false);
    trial.canaries.push_back(canary->identity.id);
  }
  if (are_missing) waiting_.push_back(action(Kind::kNoCanary));
  if (trial.canaries.empty()) return false;
  switch_.phase = Phase::kTrial;
  // Without unanimity one can be chosen that still prepares: it has the time for that as well.
  switch_.deadline = (all_are_ready ? now : switch_.deadline) + options_.apply_deadline;
  switch_.repeat_interval = options_.repeat_after;
  switch_.repeat_at = now + options_.repeat_after;
  waiting_.push_back(std::move(trial));
  return true;
}

void Fleet::advance_trial(TimePoint now) {
  if (switch_.awaited > 0 && now >= switch_.deadline) exclude_late(now);
  if (switch_.trial_failed) return abort();
  if (switch_.awaited > 0) {
    if (repeat_due(now)) waiting_.push_back(action(Kind::kRepeatTrial));
    return;
  }
  if (switch_.trial_until == kNever) switch_.trial_until = now + options_.canary_time;
  if (now < switch_.trial_until) return;
  if (!canaries_outlived_it()) {
    (void)repeat_due(now);  // nothing to send: when to look again who has died
    return;
  }
  switch_.phase = Phase::kDecided;
  waiting_.push_back(action(Kind::kCommit));
}

bool Fleet::canaries_outlived_it() const {
  return std::none_of(members_.begin(), members_.end(), [&](const auto& named) {
    return named.second.canary && named.second.heard < switch_.trial_until;
  });
}

void Fleet::advance_applying(TimePoint now) {
  if (switch_.awaited > 0 && now >= switch_.deadline) {
    exclude_late(now);
    return settle(now);  // those that follow do so when they can
  }
  if (switch_.awaited > 0) {
    if (repeat_due(now)) waiting_.push_back(action(Kind::kRepeatCommit));
    return;
  }
  settle(now);
}

void Fleet::settle(TimePoint now) {
  FleetAction settled = action(Kind::kSettled);
  settled.applied = switch_.applied;
  settled.excluded = switch_.lost.size();
  settled.elapsed = now - switch_.since;
  waiting_.push_back(std::move(settled));
  finish_switch();
}

TimePoint Fleet::step(TimePoint now, std::vector<FleetAction>& actions) {
  exclude_expired(now);
  exclude_dead(now);
  if (switch_.phase == Phase::kPreparing) advance_preparing(now);
  if (switch_.phase == Phase::kTrial) advance_trial(now);
  if (switch_.phase == Phase::kApplying) advance_applying(now);
  if (auto blame = aftermath_.verdict(now)) {
    FleetAction back = action(Kind::kReturn);
    back.epoch = committed_;
    back.reason = std::move(*blame);
    waiting_.push_back(std::move(back));
  }
  while (!leavers_.empty() && now - leavers_.front().since >= limits::kRememberLeaver) leavers_.pop_front();

  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(actions));
  waiting_.clear();

  TimePoint next = std::min(lease_scan_at_, std::max(now, aftermath_.due()));
  if (switch_.phase == Phase::kPreparing) {
    next = std::min({next, switch_.deadline, switch_.repeat_at});
    // A majority may still be waited for when all reasons for the refusals so far are in.
    if (!switch_.tally.refusal_grace_over) next = std::min(next, switch_.grace_until);
  } else if (switch_.phase == Phase::kApplying) {
    next = std::min({next, switch_.deadline, switch_.repeat_at});
  } else if (switch_.phase == Phase::kTrial) {
    if (switch_.awaited > 0) next = std::min(next, switch_.deadline);
    // Over, and a canary is still to be heard: it says so, or is found dead.
    const bool over = switch_.awaited == 0 && now >= switch_.trial_until;
    next = std::min(next, switch_.awaited > 0 || over ? switch_.repeat_at : switch_.trial_until);
  }
  return next;
}

}  // namespace moddev::daemon
