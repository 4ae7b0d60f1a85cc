#include "daemon/fleet.h"

#include <algorithm>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

using Kind = FleetAction::Kind;

std::string in_seconds(Duration d) {
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(d).count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

/// What an executor said about the modules that it cannot use, each with the executor's name.
std::vector<ExecutorFailure> failures_of(const std::string& executor,
                                         const std::vector<ModuleFailure>& told) {
  std::vector<ExecutorFailure> failures;
  failures.reserve(std::max<std::size_t>(told.size(), 1));
  for (const ModuleFailure& failure : told) failures.push_back({executor, failure.module, failure.error});
  if (failures.empty()) failures.push_back({executor, "", "refused without giving a reason"});
  return failures;
}

std::string describe(const std::vector<ExecutorFailure>& failures) {
  std::string text;
  if (!failures.front().module.empty()) text = failures.front().module + ": ";
  text += failures.front().error;
  if (failures.size() > 1) text += " (and " + std::to_string(failures.size() - 1) + " more)";
  return text;
}

void append_bounded(std::vector<ExecutorFailure>& all, std::vector<ExecutorFailure> more) {
  for (ExecutorFailure& failure : more) {
    if (all.size() >= limits::kFailuresPerEpoch) return;
    all.push_back(std::move(failure));
  }
}

}  // namespace

Fleet::Fleet(FleetOptions options) : options_(std::move(options)), aftermath_(options_.return_within) {}

template <typename Concerns>
void Fleet::exclude_ended_among(Concerns concerns, TimePoint now) {
  for (auto member = members_.begin(); member != members_.end();) {
    const bool ended =
        member->second.seen && concerns(member->second) && !options_.still_there(member->second.identity);
    member = ended ? exclude_ended(member, now) : std::next(member);
  }
}

void Fleet::begin(Epoch epoch, TimePoint since, TimePoint now, bool known_good, SwitchSubject subject) {
  MODDEV_ASSERT(!busy(), "a switch is begun while another one is under way");
  // The dead of what is committed would be blamed on what comes.
  if (last_death_ != TimePoint::min() && now - last_death_ < limits::kTurbulence)
    exclude_ended_among([](const Member&) { return true; }, now);
  switch_ = {};
  switch_.phase = Phase::kPreparing;
  switch_.epoch = epoch;
  switch_.known_good = known_good;
  switch_.subject = std::move(subject);
  switch_.nothing_to_lose = std::none_of(members_.begin(), members_.end(),
                                         [](const auto& named) { return in_good_standing(named.second); });
  aftermath_.end();  // who dies from now on may die of the new one
  switch_.since = since;
  switch_.deadline = now + options_.prepare_deadline;
  switch_.repeat_interval = options_.repeat_after;
  switch_.repeat_at = now + options_.repeat_after;
  for (auto& [id, member] : members_) {
    const bool votes = in_good_standing(member) || switch_.nothing_to_lose;
    member.vote = votes ? Vote::kSilent : Vote::kNone;
    member.awaited = false;
    member.late_ready = false;
    member.canary = false;
    if (votes) ++switch_.tally.silent;
  }
  // So that one that is lost before the trial is not passed over: the others would switch untried.
  bool are_missing = false;
  (void)choose_canaries_now(are_missing);
}

void Fleet::committed(TimePoint now) {
  MODDEV_ASSERT(switch_.phase == Phase::kDecided, "a commit that the fleet did not ask for");
  switch_.phase = Phase::kApplying;
  committed_ = std::max(committed_, switch_.epoch);
  switch_.deadline = now + options_.apply_deadline;
  switch_.repeat_interval = options_.repeat_after;
  switch_.repeat_at = now + options_.repeat_after;
  if (!switch_.known_good) aftermath_.begin(switch_.epoch, now);
  for (auto& [id, member] : members_) {
    stop_awaiting(member);
    if (member.canary && member.epoch == switch_.epoch) {
      ++switch_.applied;
      member.state = ExecutorState::kLive;
      aftermath_.runs(member.identity, member.joined, switch_.epoch, now);
    } else if (member.vote == Vote::kPrepared || member.late_ready) {
      await_switch(member, false);
    } else if (member.vote == Vote::kSilent) {
      await_switch(member, true);
    } else if (member.vote == Vote::kFailed) {
      switch_.lost.insert(id);
      report_unusable(member, switch_.epoch, member.refusal);
    }
  }
}

void Fleet::was_committed(Epoch epoch, TimePoint at) {
  committed_ = std::max(committed_, epoch);
  aftermath_.begin(epoch, at);
}

void Fleet::await_switch(Member& member, bool follows) {
  member.awaited = true;
  member.follows = follows;
  ++switch_.awaited;
  if (follows) ++switch_.followers;
}

void Fleet::stop_awaiting(Member& member) {
  if (!member.awaited) return;
  --switch_.awaited;
  if (member.follows) --switch_.followers;
  member.awaited = false;
  member.follows = false;
}

bool Fleet::only_followers_left() const {
  return switch_.phase == Phase::kApplying && switch_.awaited == switch_.followers;
}

void Fleet::let_followers_go(TimePoint now) {
  MODDEV_ASSERT(only_followers_left(), "somebody is left behind who was ready");
  settle(now);
}

bool Fleet::deciding() const {
  return switch_.phase != Phase::kIdle && switch_.phase != Phase::kApplying;
}

bool Fleet::busy() const {
  return switch_.phase != Phase::kIdle;
}

/// Who starts again under the same name tells of its former end.
void Fleet::exclude_former_of(const ExecutorIdentity& newcomer, TimePoint now) {
  std::vector<Members::iterator> namesakes;
  for (auto member = members_.begin(); member != members_.end(); ++member) {
    const ExecutorIdentity& who = member->second.identity;
    if (member->second.seen && who.name == newcomer.name && who.host == newcomer.host)
      namesakes.push_back(member);
  }
  const auto end =
      namesakes.begin() + static_cast<std::ptrdiff_t>(std::min(namesakes.size(), limits::kNamesakesLookedAt));
  std::partial_sort(namesakes.begin(), end, namesakes.end(),
                    [](const auto& a, const auto& b) { return a->second.last_word < b->second.last_word; });
  for (auto one = namesakes.begin(); one != end; ++one) {
    if (!options_.still_there((*one)->second.identity)) exclude_ended(*one, now);
  }
}

bool Fleet::join(const JoinRequest& request, Epoch committed, TimePoint now) {
  committed_ = std::max(committed_, committed);
  auto member = members_.find(request.executor.id);
  if (member == members_.end()) {
    if (members_.size() >= limits::kExecutors) return false;
    exclude_former_of(request.executor, now);
    aftermath_.joined(request.executor, now);
    member = members_.emplace(request.executor.id, Member{}).first;
    member->second.joined = now;
    lease_scan_at_ = std::min(lease_scan_at_, now + options_.lease);
    std::erase_if(leavers_, [&](const Leaver& former) {
      if (former.status.identity.id != request.executor.id) return false;
      // What is stuck would hold up every switch until its deadline.
      if (former.late_for != 0 && former.late_for <= committed_) {
        member->second.late_for = former.late_for;
        member->second.detail = former.status.detail;
      }
      return true;
    });
    FleetAction joined = action(Kind::kJoined);
    joined.executor = request.executor;
    waiting_.push_back(std::move(joined));
  }
  // One that joins again keeps its vote and what it has prepared: it is the same process, which only lost
  // track.
  member->second.identity = request.executor;
  hear(member->second, now);
  // A number of a process says nothing where it was never seen: it may be that of another container.
  member->second.seen = options_.still_there && options_.still_there(request.executor);
  if (member->second.seen) lease_scan_at_ = std::min<TimePoint>(lease_scan_at_, now + limits::kLooksDead);
  member->second.state = ExecutorState::kJoining;
  aftermath_.lives(request.executor.id);
  if (request.epoch > 0) take_applied(member->second, request.epoch, now);
  return true;
}

bool Fleet::ack(const AckRequest& ack, TimePoint now) {
  const auto found = members_.find(ack.executor);
  if (found == members_.end()) return false;
  Member& member = found->second;
  hear(member, now);
  switch (ack.phase) {
    case AckPhase::kPrepared:
      // A repetition tells of a longer time.
      if (std::exchange(member.prepared_epoch, ack.epoch) != ack.epoch)
        member.prepared_in_us = ack.elapsed_us;
      if (ack.epoch == switch_.epoch) take_prepared(member);
      break;
    case AckPhase::kFailed:
      take_failed(member, ack, now);
      break;
    case AckPhase::kApplied:
      take_applied(member, ack.epoch, now);
      break;
    case AckPhase::kDrained:
      break;
  }
  return true;
}

void Fleet::take_prepared(Member& member) {
  if (!deciding()) return;
  if (member.vote == Vote::kSilent) {
    member.vote = Vote::kPrepared;
    --switch_.tally.silent;
    ++switch_.tally.prepared;
  } else if (member.vote == Vote::kNone) {
    member.late_ready = true;
  }
}

void Fleet::take_failed(Member& member, const AckRequest& ack, TimePoint now) {
  const bool of_the_switch = busy() && ack.epoch == switch_.epoch;
  if (!of_the_switch) {
    // The committed epoch, which this member learnt from a snapshot. Anything else is a late word about an
    // epoch that is over.
    if (ack.epoch == committed_ && ack.epoch > member.epoch) report_unusable(member, ack.epoch, ack.failures);
    return;
  }
  if (switch_.phase == Phase::kTrial && member.canary) {
    append_bounded(switch_.failures, failures_of(member.identity.name, ack.failures));
    switch_.refused_by.push_back(member.identity.id);
    switch_.trial_failed = true;
    return;
  }
  if (switch_.phase == Phase::kTrial) {
    // It is not asked any more, and nothing is decided: told of when the epoch is committed. An epoch that is
    // aborted takes nobody's vote on the next one.
    stop_awaiting(member);
    member.late_ready = false;
    if (member.vote == Vote::kPrepared) --switch_.tally.prepared;
    if (member.vote == Vote::kSilent) --switch_.tally.silent;
    member.vote = Vote::kFailed;
    member.refusal = ack.failures;
    return;
  }
  if (switch_.phase != Phase::kPreparing) {
    // The decision stands. The member stays on what it has, and everyone is told.
    if (member.vote == Vote::kPrepared || member.awaited) switch_.lost.insert(member.identity.id);
    stop_awaiting(member);
    member.late_ready = false;
    member.vote = Vote::kNone;
    report_unusable(member, ack.epoch, ack.failures);
    return;
  }
  member.late_ready = false;
  if (member.vote == Vote::kNone || member.vote == Vote::kFailed) return;
  if (member.vote == Vote::kPrepared) --switch_.tally.prepared;
  if (member.vote == Vote::kSilent) --switch_.tally.silent;
  member.vote = Vote::kFailed;
  member.refusal = ack.failures;
  ++switch_.tally.failed;
  append_bounded(switch_.failures, failures_of(member.identity.name, ack.failures));
  switch_.refused_by.push_back(member.identity.id);
  switch_.grace_until = std::min(switch_.grace_until, now + options_.refusal_grace);
}

void Fleet::report_unusable(Member& member, Epoch epoch, const std::vector<ModuleFailure>& failures) {
  if (member.failed_epoch == epoch) return;
  member.failed_epoch = epoch;
  FleetAction failed = action(Kind::kFailed);
  failed.epoch = epoch;
  failed.executor = member.identity;
  failed.runs = member.epoch;
  failed.failures = failures_of(member.identity.name, failures);
  member.detail = "cannot use epoch " + std::to_string(epoch) + ": " + describe(failed.failures);
  waiting_.push_back(std::move(failed));
}

void Fleet::take_applied(Member& member, Epoch epoch, TimePoint now) {
  // Nobody but a canary can run what was not committed, so a higher number is another history's.
  const bool on_trial = switch_.phase == Phase::kTrial && member.canary && epoch == switch_.epoch;
  if (epoch > committed_ && !on_trial) return;
  aftermath_.runs(member.identity, member.joined, epoch, now);
  member.epoch = std::max(member.epoch, epoch);
  if (member.failed_epoch != 0 && epoch >= member.failed_epoch) {
    member.failed_epoch = 0;
    member.detail.clear();
  }
  if (member.late_for != 0 && epoch >= member.late_for) {
    member.late_for = 0;
    member.detail.clear();
  }
  if (member.epoch == committed_) member.state = ExecutorState::kLive;
  if (on_trial) stop_awaiting(member);
  if (member.awaited && switch_.phase == Phase::kApplying && epoch == switch_.epoch) {
    stop_awaiting(member);
    ++switch_.applied;
    switch_.lost.erase(member.identity.id);
  }
}

bool Fleet::alive(const AliveRequest& request, TimePoint now) {
  const auto found = members_.find(request.executor);
  if (found == members_.end()) return false;
  Member& member = found->second;
  hear(member, now);
  member.pins = request.pins;
  member.retired_bytes = request.retired_bytes;
  for (const std::string& note : request.notes) {
    if (std::find(member.notes.begin(), member.notes.end(), note) != member.notes.end()) continue;
    FleetAction told = action(Kind::kNote);
    told.executor = member.identity;
    told.reason = note;
    waiting_.push_back(std::move(told));
  }
  member.notes = request.notes;
  if (request.epoch > 0) take_applied(member, request.epoch, now);  // an ack may have been lost
  member.state = request.state;
  return true;
}

void Fleet::leave(const Uuid& executor, TimePoint now) {
  const auto member = members_.find(executor);
  if (member == members_.end()) return;
  withdraw(member->second, true);
  remember(member->second, ExecutorState::kGone, "left", now);
  FleetAction left = action(Kind::kLeft);
  left.executor = member->second.identity;
  waiting_.push_back(std::move(left));
  members_.erase(member);
}

void Fleet::withdraw(Member& member, bool goodbye) {
  const bool counted =
      member.awaited || (deciding() && (member.vote == Vote::kSilent || member.vote == Vote::kPrepared));
  if (deciding() && member.vote == Vote::kSilent) --switch_.tally.silent;
  if (deciding() && member.vote == Vote::kPrepared) --switch_.tally.prepared;
  // A refusal that was given stays given, whatever becomes of who gave it.
  if (counted) ++(goodbye ? switch_.tally.left : switch_.tally.excluded);
  if (counted && !goodbye) switch_.lost.insert(member.identity.id);
  stop_awaiting(member);
  member.late_ready = false;
  member.vote = Vote::kNone;
}

Fleet::Members::iterator Fleet::exclude(Members::iterator member, Loss loss, std::string reason,
                                        TimePoint now) {
  if (loss == Loss::kDead) {
    aftermath_.died(member->second.identity, member->second.heard, now);
    last_death_ = now;
  }
  if (switch_.phase == Phase::kPreparing && member->second.vote != Vote::kNone) reason += after_being_asked();
  if (switch_.phase == Phase::kPreparing &&
      (member->second.vote == Vote::kSilent || member->second.vote == Vote::kPrepared)) {
    append_bounded(switch_.failures, {{member->second.identity.name, switch_.subject.module, reason}});
    if (member->second.canary) {
      switch_.trial_failed = true;
      switch_.died.push_back(member->first);
    }
  }
  if (switch_.phase == Phase::kTrial && member->second.canary) {
    const bool switched = member->second.epoch == switch_.epoch;
    append_bounded(switch_.failures,
                   {{member->second.identity.name, switch_.subject.module,
                     reason + (switched ? ", after it had switched as a canary" : ", as a canary")}});
    switch_.trial_failed = true;
    if (loss != Loss::kLate) switch_.died.push_back(member->first);
  }
  withdraw(member->second, false);
  remember(member->second, loss == Loss::kDead ? ExecutorState::kGone : ExecutorState::kFenced, reason, now);
  if (loss == Loss::kLate) leavers_.back().late_for = switch_.epoch;
  FleetAction excluded = action(Kind::kExcluded);
  excluded.executor = member->second.identity;
  excluded.runs = member->second.epoch;
  excluded.dead = loss == Loss::kDead;
  excluded.last_word = member->second.last_word;
  excluded.reason = std::move(reason);
  waiting_.push_back(std::move(excluded));
  return members_.erase(member);
}

std::string Fleet::after_being_asked() const {
  return switch_.subject.task.empty() ? "" : " after it was asked to " + switch_.subject.task;
}

void Fleet::remember(const Member& member, ExecutorState state, std::string detail, TimePoint now) {
  if (leavers_.size() >= limits::kRememberedLeavers) leavers_.pop_front();
  leavers_.push_back({{member.identity, state, member.epoch, {}, 0, std::move(detail)}, now, member.seen, 0});
}

Fleet::Members::iterator Fleet::exclude_ended(Members::iterator member, TimePoint now) {
  return exclude(
      member, Loss::kDead,
      "its process " + std::to_string(member->second.identity.pid) + " has ended without a goodbye", now);
}

void Fleet::exclude_expired(TimePoint now) {
  if (now < lease_scan_at_) return;
  lease_scan_at_ = kNever;
  for (auto member = members_.begin(); member != members_.end();) {
    const TimePoint look = member->second.heard + limits::kLooksDead;
    const TimePoint end = member->second.heard + options_.lease;
    if (member->second.seen && now >= look && now < end && !options_.still_there(member->second.identity)) {
      member = exclude_ended(member, now);
    } else if (now >= end) {
      const ExecutorIdentity& who = member->second.identity;
      const bool there = options_.still_there && options_.still_there(who);
      std::string reason = "was not heard for " + in_seconds(now - member->second.heard);
      if (there) reason += "; its process " + std::to_string(who.pid) + " is there, stopped or stuck";
      member = exclude(member, there ? Loss::kSilent : Loss::kDead, std::move(reason), now);
    } else {
      lease_scan_at_ = std::min(lease_scan_at_, member->second.seen && now < look ? look : end);
      ++member;
    }
  }
}

bool Fleet::waits_for(const Member& member) const {
  if (switch_.phase == Phase::kPreparing) return member.vote == Vote::kSilent;
  if (switch_.phase == Phase::kTrial && member.canary && member.heard < switch_.trial_until) return true;
  return member.awaited;
}

void Fleet::exclude_dead(TimePoint now) {
  if (switch_.phase == Phase::kIdle || switch_.phase == Phase::kDecided || now < switch_.repeat_at) return;
  exclude_ended_among([this](const Member& member) { return waits_for(member); }, now);
}

void Fleet::exclude_late(TimePoint now) {
  const bool preparing = switch_.phase == Phase::kPreparing;
  const std::string what = preparing ? "did not prepare epoch " + std::to_string(switch_.epoch) + " within " +
                                           in_seconds(options_.prepare_deadline)
                                     : "did not switch to epoch " + std::to_string(switch_.epoch) +
                                           " within " + in_seconds(options_.apply_deadline);
  for (auto member = members_.begin(); member != members_.end();) {
    const bool late =
        preparing ? member->second.vote == Vote::kSilent : member->second.awaited && !member->second.follows;
    member = late ? exclude(member, Loss::kLate, what, now) : std::next(member);
  }
}

void Fleet::was_deaf(Duration length, TimePoint now) {
  for (auto& [id, member] : members_) member.heard = std::min(now, member.heard + length);
  if (switch_.phase == Phase::kIdle || switch_.phase == Phase::kDecided) return;
  switch_.deadline += length;
  if (switch_.trial_until != kNever) switch_.trial_until += length;
}

bool Fleet::has_others_than(const std::vector<Uuid>& executors) const {
  // No pairwise search: thousands may have refused.
  const auto here = static_cast<std::size_t>(
      std::count_if(executors.begin(), executors.end(), [&](const Uuid& id) { return is_member(id); }));
  return members_.size() > here;
}

bool Fleet::anyone_runs(Epoch epoch) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const auto& named) { return named.second.epoch == epoch; });
}

bool Fleet::tries(const Uuid& executor, Epoch epoch) const {
  const auto member = members_.find(executor);
  return member != members_.end() && member->second.canary && switch_.phase == Phase::kTrial &&
         switch_.epoch == epoch;
}

std::optional<std::int64_t> Fleet::prepared_in_us(const Uuid& executor, Epoch epoch) const {
  const auto member = members_.find(executor);
  if (member == members_.end() || member->second.prepared_epoch != epoch) return std::nullopt;
  return member->second.prepared_in_us;
}

const ExecutorIdentity* Fleet::identity(const Uuid& executor) const {
  const auto member = members_.find(executor);
  return member == members_.end() ? nullptr : &member->second.identity;
}

std::vector<ExecutorStatus> Fleet::status(Epoch committed, TimePoint /*now*/) const {
  std::vector<ExecutorStatus> all;
  all.reserve(members_.size() + leavers_.size());
  for (const auto& [id, member] : members_) {
    ExecutorStatus status{member.identity, member.state,         member.epoch,
                          member.pins,     member.retired_bytes, member.detail};
    if (switch_.phase == Phase::kTrial && member.canary) {
      status.detail = "is a canary of epoch " + std::to_string(switch_.epoch);
    } else if (deciding() && member.vote == Vote::kSilent) {
      status.state = ExecutorState::kPreparing;
      status.detail = "prepares epoch " + std::to_string(switch_.epoch);
    } else if (member.failed_epoch != 0) {
      status.state = ExecutorState::kFailed;
    } else if (member.epoch == committed) {
      status.state = ExecutorState::kLive;
    } else if (member.epoch > 0) {
      status.state = ExecutorState::kStale;
      status.detail = "runs epoch " + std::to_string(member.epoch) + ", the newest is " +
                      std::to_string(committed) + (member.late_for == 0 ? "" : ": " + member.detail) +
                      (member.notes.empty() ? "" : ". " + member.notes.front());
    }
    all.push_back(std::move(status));
  }
  std::stable_sort(all.begin(), all.end(), [](const ExecutorStatus& a, const ExecutorStatus& b) {
    return a.identity.name < b.identity.name;
  });
  for (const Leaver& leaver : leavers_) {
    all.push_back(leaver.status);
    if (leaver.status.state != ExecutorState::kFenced || !leaver.seen ||
        options_.still_there(leaver.status.identity))
      continue;
    all.back().state = ExecutorState::kGone;
    all.back().detail += "; now it has ended";
  }
  return all;
}

}  // namespace moddev::daemon
