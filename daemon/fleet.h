// Who is a member, what each runs, and the two-phase switch of all to one epoch. A pure state machine over
// values: it gets joins, acks and time, and returns what is to be sent and recorded; it knows neither sockets
// nor the journal.
//
//   begin(E) -> announce -> every voter prepared -> kCommit (record, then publish, then committed())
//                                                     -> applied acks -> kSettled
//                        -> one failed           -> kAbort  (record, then publish)
//                        -> deadline or lease    -> those silent are excluded, and the rest decides
// With canaries there is a trial before kCommit: kTrial (publish to them only) -> all applied, and alive for
// canary_time, and heard after it -> kCommit; one dies, refuses or does not switch -> kAbort. With --sync
// majority or none the commit comes earlier, and those that were not ready then follow when they are. Voters
// are the members at begin(), but for those that could not use the committed epoch: they have nothing to
// lose, and must not veto for ever. Where there are no others they are asked all the same, and one that is
// ready is enough. A member that is excluded is fenced: it counts again only after it has joined anew.
// daemon/DESIGN.md, "The fleet", walks through the interleavings.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/aftermath.h"
#include "daemon/policy.h"
#include "protocol/clock.h"
#include "protocol/limits.h"
#include "protocol/messages.h"

namespace moddev::daemon {

struct FleetOptions {
  SyncPolicy sync = SyncPolicy::kAll;
  /// How long members may take to prepare before they are excluded.
  Duration prepare_deadline = std::chrono::seconds(30);
  /// How long they may take to switch after the commit. Switching is one store; so long means that it is
  /// stuck.
  Duration apply_deadline = std::chrono::seconds(10);
  Duration lease = moddev::limits::kLease;
  /// First repetition of an announcement or commit for those who did not ack; doubles each time up to the
  /// heartbeat.
  Duration repeat_after = std::chrono::milliseconds(100);
  Duration repeat_at_most = moddev::limits::kHeartbeatInterval;
  /// After the first refusal, how long the reasons of the others are waited for.
  Duration refusal_grace = std::chrono::milliseconds(50);
  /// Who switches first, and for how long they must live with it before the others follow.
  CanaryChoice canaries{};
  Duration canary_time = std::chrono::seconds(10);
  /// An executor that dies so shortly after it switched speaks against the content: see kReturn. Zero: never.
  Duration return_within = std::chrono::seconds(5);
  /// Whether an executor is a living process that can be seen from here; null: nobody can be seen. Asked when
  /// one joins; when a switch waits for one that was seen then, at each repetition; when one that was seen is
  /// silent; and when a lease ran out.
  std::function<bool(const ExecutorIdentity&)> still_there{};
};

/// What a switch asks of executors, for the reasons of those that fall silent over it.
struct SwitchSubject {
  std::string module;  // the one that changes; empty when several do
  std::string task;    // "load scorer 3", to follow "after it was asked to"
};

/// What the fleet wants done, in order.
struct FleetAction {
  enum class Kind : std::uint8_t {
    kRepeatAnnounce,  // publish the pending announcement again, without inline bytes and with its old seq
    kNoCanary,        // nobody has the name of a canary: `epoch` goes to everyone at once. With the commit
    kTrial,           // `canaries` shall switch, the others wait. Given once
    kRepeatTrial,     // publish that again
    kCommit,          // decided: record, then publish, then call committed(). Given once
    kRepeatCommit,    // publish the commit again
    kAbort,           // somebody refused, or nobody is left: record, then publish
    kSettled,         // every member has applied the committed epoch or is excluded: tell the person
    kExcluded,        // `executor` did not answer in time or its lease ran out
    kJoined,
    kLeft,
    kFailed,  // `executor` cannot use the committed `epoch`: `failures` say why. It goes on with what it has
    kNote,    // a person should know `reason` of `executor`. Once, for as long as it is so
    kReturn,  // executors died of the committed `epoch`, `reason` says which: go back to the one before
  };
  Kind kind = Kind::kSettled;
  Epoch epoch = 0;
  std::vector<ExecutorFailure> failures;     // kAbort, kFailed
  std::vector<Uuid> refused_by;              // kAbort: who refused; silence is no refusal
  std::vector<Uuid> canaries;                // kTrial
  bool on_trial = false;                     // kAbort: canaries run the epoch already, or died of it
  std::vector<Uuid> died;                    // kAbort: canaries that fell silent in the trial
  std::optional<ExecutorIdentity> executor;  // kExcluded, kJoined, kLeft, kFailed, kNote
  Epoch runs = 0;                            // kExcluded, kFailed: what the executor runs
  bool dead = false;                         // kExcluded: as far as can be seen, and not only stopped
  TimePoint last_word{};                     // kExcluded: when it was heard last
  std::uint64_t applied = 0;                 // kSettled
  std::uint64_t excluded = 0;                // kSettled: died, silent past a deadline, or failed to switch
  Duration elapsed{};                        // kSettled: since begin()'s `since`
  std::string reason;                        // kExcluded, kNote, kReturn
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);

  /// Starts the switch to `epoch`. Must not be busy(). `since`: when the change was noticed on disk. With no
  /// live members it commits at the next step().
  /// `known_good`: its content ran before, so that it is committed at once, as with SyncPolicy::kNone, and
  /// there is no trial and no return from it.
  void begin(Epoch epoch, TimePoint since, TimePoint now, bool known_good = false,
             SwitchSubject subject = {});
  /// The commit that kCommit asked for is recorded and published. Until then the decision stands, however
  /// long recording takes, and no member is asked for anything.
  void committed(TimePoint now);
  /// Before anything else: a former daemon committed `epoch` at `at`, and who dies of it may still be to
  /// come.
  void was_committed(Epoch epoch, TimePoint at);
  /// Between begin() and committed() or kAbort.
  [[nodiscard]] bool deciding() const;
  /// Between begin() and kSettled or kAbort.
  [[nodiscard]] bool busy() const;
  /// Whether only those are waited for that were not ready when the others switched.
  [[nodiscard]] bool only_followers_left() const;
  /// Then something newer need not wait for them: kSettled comes with the next step().
  void let_followers_go(TimePoint now);

  /// `committed` is the newest committed epoch. A joiner does not vote in a switch under way. Returns false
  /// when limits::kExecutors members are there already.
  bool join(const JoinRequest& request, Epoch committed, TimePoint now);
  /// Returns whether it is a member; a stranger's ack counts for nothing.
  bool ack(const AckRequest& ack, TimePoint now);
  /// Returns whether it is a member.
  bool alive(const AliveRequest& request, TimePoint now);
  void leave(const Uuid& executor, TimePoint now);

  /// The daemon could not listen for so long (stopped, swapped out, a sleeping machine): nobody's silence in
  /// that time is held against them.
  void was_deaf(Duration length, TimePoint now);

  /// Does what is due, appends to `actions`, returns the next deadline.
  TimePoint step(TimePoint now, std::vector<FleetAction>& actions);

  /// Live members.
  [[nodiscard]] std::size_t members() const { return members_.size(); }
  [[nodiscard]] bool is_member(const Uuid& executor) const { return members_.contains(executor); }
  /// A member whose refusal counts for all: it can use what is committed.
  [[nodiscard]] bool may_veto(const Uuid& executor) const {
    const auto member = members_.find(executor);
    return member != members_.end() && in_good_standing(member->second);
  }
  /// Whether there is a member that is none of these.
  [[nodiscard]] bool has_others_than(const std::vector<Uuid>& executors) const;
  /// Whether a member runs this epoch, as far as it told.
  [[nodiscard]] bool anyone_runs(Epoch epoch) const;
  /// Whether it is to run this epoch before it is decided.
  [[nodiscard]] bool tries(const Uuid& executor, Epoch epoch) const;
  /// How long the member took to prepare this epoch, if it told: without the time that it waited for others.
  [[nodiscard]] std::optional<std::int64_t> prepared_in_us(const Uuid& executor, Epoch epoch) const;
  /// Null when it is no member.
  [[nodiscard]] const ExecutorIdentity* identity(const Uuid& executor) const;
  /// Members by name, then those that were lost lately.
  [[nodiscard]] std::vector<ExecutorStatus> status(Epoch committed, TimePoint now) const;

 private:
  /// How a member stands to the switch under way.
  enum class Vote : std::uint8_t { kNone, kSilent, kPrepared, kFailed };
  struct Member {
    ExecutorIdentity identity;
    TimePoint heard{};      // for its lease: later than it was where the daemon was deaf
    TimePoint last_word{};  // as it was
    TimePoint joined{};
    bool seen = false;  // as a living process when it joined: when it is not seen any more, it is dead
    Epoch epoch = 0;    // what it runs, as far as it told
    ExecutorState state = ExecutorState::kJoining;
    Vote vote = Vote::kNone;
    bool awaited = false;                // for the applied ack of the switch under way
    bool follows = false;                // awaited, but was not ready at the commit
    bool canary = false;                 // of the switch under way, from its begin
    std::vector<ModuleFailure> refusal;  // with Vote::kFailed
    Epoch prepared_epoch = 0;            // the newest, and how long that took
    std::int64_t prepared_in_us = 0;
    bool late_ready = false;  // has prepared the switch under way without a vote in it
    Epoch failed_epoch = 0;   // the newest epoch that it could not use, until it applies one
    Epoch late_for = 0;       // the committed epoch that it did not do in time, until it does
    std::string detail;
    std::vector<PinReport> pins;
    std::uint64_t retired_bytes = 0;
    std::vector<std::string> notes;
  };
  struct Leaver {
    ExecutorStatus status;
    TimePoint since{};
    bool seen = false;   // as a living process
    Epoch late_for = 0;  // what it did not do in time
  };
  enum class Phase : std::uint8_t { kIdle, kPreparing, kTrial, kDecided, kApplying };
  struct Switch {
    Phase phase = Phase::kIdle;
    bool known_good = false;
    SwitchSubject subject;
    bool nothing_to_lose = false;    // nobody is asked but those that cannot use the committed epoch
    TimePoint trial_until = kNever;  // when all canaries have switched and nothing has happened
    bool trial_failed = false;
    Epoch epoch = 0;
    TimePoint since{};
    TimePoint deadline{};
    TimePoint repeat_at{};
    Duration repeat_interval{};
    TimePoint grace_until = kNever;
    Tally tally;
    std::size_t awaited = 0;
    std::size_t followers = 0;  // of those awaited
    std::uint64_t applied = 0;
    std::vector<ExecutorFailure> failures;
    std::vector<Uuid> refused_by;
    std::vector<Uuid> died;  // canaries in the trial
    /// Excluded or failed in this switch, and not back on the epoch since.
    std::set<Uuid> lost;
  };
  using Members = std::map<Uuid, Member>;

  static void hear(Member& member, TimePoint now) { member.heard = member.last_word = now; }
  void take_prepared(Member& member);
  void take_failed(Member& member, const AckRequest& ack, TimePoint now);
  void take_applied(Member& member, Epoch epoch, TimePoint now);
  void report_unusable(Member& member, Epoch epoch, const std::vector<ModuleFailure>& failures);
  void stop_awaiting(Member& member);
  void await_switch(Member& member, bool follows);
  /// Takes the member out of every count of the switch.
  void withdraw(Member& member, bool goodbye);
  /// Why a member is excluded: it is dead, as far as can be seen; it is silent, and its process is there; or
  /// it speaks, and does not do in time what it is asked for.
  enum class Loss : std::uint8_t { kDead, kSilent, kLate };
  Members::iterator exclude(Members::iterator member, Loss loss, std::string reason, TimePoint now);
  /// One that was seen as a process, which is not there any more.
  Members::iterator exclude_ended(Members::iterator member, TimePoint now);
  /// " after it was asked to load scorer 3", where that is known.
  [[nodiscard]] std::string after_being_asked() const;
  [[nodiscard]] static bool in_good_standing(const Member& member) {
    return member.failed_epoch == 0 && member.late_for == 0;
  }
  void remember(const Member& member, ExecutorState state, std::string detail, TimePoint now);
  /// Those whose lease is over, or who are silent and can be seen to have ended.
  void exclude_expired(TimePoint now);
  /// Those that are waited for and have died: their leases need not be waited for.
  void exclude_dead(TimePoint now);
  void exclude_former_of(const ExecutorIdentity& newcomer, TimePoint now);
  /// Those of whom it can be seen that they have ended, among those that `concerns`.
  template <typename Concerns>
  void exclude_ended_among(Concerns concerns, TimePoint now);
  /// Whether the switch waits for this member now.
  [[nodiscard]] bool waits_for(const Member& member) const;
  void exclude_late(TimePoint now);
  void advance_preparing(TimePoint now);
  /// Marks and returns them: of those that are asked. `are_missing`: names are wanted that nobody has.
  std::vector<Member*> choose_canaries_now(bool& are_missing);
  /// Whether there are canaries: then they are told to switch.
  bool begin_trial(TimePoint now);
  void advance_trial(TimePoint now);
  /// Whether each was heard after the trial: one that died late has not been missed yet.
  [[nodiscard]] bool canaries_outlived_it() const;
  void advance_applying(TimePoint now);
  void settle(TimePoint now);
  void abort();
  [[nodiscard]] Verdict verdict() const;
  /// Whether a repetition is due; sets the next one.
  bool repeat_due(TimePoint now);
  void finish_switch();
  FleetAction action(FleetAction::Kind kind) const;

  FleetOptions options_;
  Members members_;
  std::deque<Leaver> leavers_;
  Switch switch_;
  Aftermath aftermath_;
  TimePoint last_death_ = TimePoint::min();
  Epoch committed_ = 0;  // the newest that was heard of
  /// No lease ends before this, and nobody looks dead.
  TimePoint lease_scan_at_ = kNever;
  /// What is wanted and not yet handed out by step().
  std::vector<FleetAction> waiting_;
};

}  // namespace moddev::daemon
