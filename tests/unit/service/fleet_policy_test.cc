// The fleet under --sync majority and none, with canaries, and after a switch that kills: one interleaving a
// test.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/fleet.h"
#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

using Kind = FleetAction::Kind;
using Kinds = std::vector<Kind>;
using std::chrono::milliseconds;
using std::chrono::seconds;

Uuid uuid(unsigned n) {
  Uuid id;
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

/// A fleet, a clock, and what the daemon would have to do. Members that are not `dead` renew their lease.
class Fleets {
 public:
  explicit Fleets(FleetOptions options) : fleet(std::move(options)) {}

  void join(unsigned n, Epoch runs = 0) {
    ASSERT_TRUE(fleet.join({{uuid(n), "w" + std::to_string(n), "host", 1}, {}, runs}, committed, now));
    lives.insert(n);
  }
  void ack(unsigned n, AckPhase phase, Epoch of) {
    AckRequest request{uuid(n), of, phase, {}, 0};
    if (phase == AckPhase::kFailed) request.failures = {{"scorer", "undefined symbol"}};
    fleet.ack(request, now);
  }
  void prepared(unsigned n) { ack(n, AckPhase::kPrepared, epoch); }
  void applied(unsigned n) { ack(n, AckPhase::kApplied, epoch); }
  void refuses(unsigned n) { ack(n, AckPhase::kFailed, epoch); }
  void begin(bool known_good = false) { fleet.begin(++epoch, now, now, known_good); }

  /// What came of it, and of `length` more time.
  Kinds run(Duration length = Duration::zero()) {
    Kinds kinds;
    const TimePoint end = now + length;
    for (;;) {
      std::vector<FleetAction> actions;
      TimePoint next = fleet.step(now, actions);
      for (FleetAction& action : actions) {
        if (action.kind == Kind::kCommit) {
          committed = action.epoch;
          fleet.committed(now);
        }
        if (action.kind != Kind::kJoined && action.kind != Kind::kRepeatAnnounce &&
            action.kind != Kind::kRepeatCommit && action.kind != Kind::kRepeatTrial)
          kinds.push_back(action.kind);
        last[action.kind] = std::move(action);
      }
      if (!actions.empty()) continue;
      if (now >= end) return kinds;
      now = std::min({end, std::max(next, now + milliseconds(1)), now + milliseconds(900)});
      for (const unsigned n : lives) (void)fleet.alive({uuid(n), ExecutorState::kLive, 0, {}, 0}, now);
    }
  }
  /// The members 1..count, on an epoch that all have applied.
  void settle_on_one(unsigned count) {
    for (unsigned n = 1; n <= count; ++n) join(n);
    begin();
    for (unsigned n = 1; n <= count; ++n) prepared(n);
    run();
    for (unsigned n = 1; n <= count; ++n) applied(n);
    run();
    ASSERT_FALSE(fleet.busy());
    run(limits::kAftermath);  // what happens now is no news about that epoch
  }
  void die(unsigned n) { lives.erase(n); }

  Fleet fleet;
  TimePoint now{seconds(1000)};
  Epoch epoch = 0;
  Epoch committed = 0;
  std::set<unsigned> lives;
  std::map<Kind, FleetAction> last;
};

FleetOptions with_sync(SyncPolicy policy) {
  FleetOptions options;
  options.sync = policy;
  return options;
}
FleetOptions with_canaries(std::size_t count, std::vector<std::string> names = {}) {
  FleetOptions options;
  options.canaries = {count, std::move(names)};
  return options;
}

// ----------------------------------------------------------------------------- processes that can be seen

TEST(FleetSees, WhoHasDiedIsNotWaitedForUntilItsLeaseEnds) {
  std::set<std::string> running = {"w1", "w2", "w3"};
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(3);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  running.erase("w3");
  f.die(3);
  EXPECT_EQ(f.run(options.repeat_after), (Kinds{Kind::kExcluded, Kind::kCommit}));
  EXPECT_NE(f.last[Kind::kExcluded].reason.find("has ended without a goodbye"), std::string::npos);
}

TEST(FleetSees, WhoDiesBeforeItHasAppliedIsNotWaitedForEither) {
  std::set<std::string> running = {"w1", "w2"};
  FleetOptions options;
  options.return_within = Duration::zero();
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(2);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
  f.applied(1);
  running.erase("w2");
  f.die(2);
  EXPECT_EQ(f.run(options.repeat_after), (Kinds{Kind::kExcluded, Kind::kSettled}));
}

TEST(FleetSees, WhoWasNeverSeenIsWaitedForUntilItsLeaseEnds) {
  FleetOptions options;
  options.still_there = [](const ExecutorIdentity&) { return false; };
  Fleets f(options);
  f.settle_on_one(2);
  f.begin();
  f.prepared(1);
  f.die(2);
  EXPECT_EQ(f.run(options.lease - milliseconds(1)), Kinds{});
  EXPECT_EQ(f.run(milliseconds(1)), (Kinds{Kind::kExcluded, Kind::kCommit}));
}

// ------------------------------------------------------------------------------------------------- majority

TEST(FleetMajority, CommitsWithMoreThanHalfAndTheOthersFollow) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(3);
  f.begin();
  f.prepared(1);
  EXPECT_EQ(f.run(), Kinds{});
  f.prepared(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
  f.applied(1);
  f.applied(2);
  EXPECT_EQ(f.run(), Kinds{}) << "the third may still come";
  EXPECT_TRUE(f.fleet.only_followers_left());
  f.prepared(3);
  f.applied(3);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].applied, 3U);
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 0U);
}

TEST(FleetMajority, WhoRefusedIsToldOfAndGoesOnWithWhatItHas) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(3);
  f.begin();
  f.refuses(3);
  f.prepared(1);
  f.prepared(2);
  EXPECT_EQ(f.run(), (Kinds{Kind::kCommit, Kind::kFailed}));
  EXPECT_EQ(f.last[Kind::kFailed].executor->name, "w3");
  f.applied(1);
  f.applied(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 1U);
  EXPECT_EQ(f.fleet.status(2, f.now)[2].state, ExecutorState::kFailed);
}

TEST(FleetMajority, HalfRefusingIsAnAbort) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(2);
  f.begin();
  f.refuses(1);
  f.prepared(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kAbort});
  EXPECT_EQ(f.last[Kind::kAbort].refused_by, std::vector<Uuid>{uuid(1)});
}

// The end of the time for reasons stayed a deadline when it was over, and the daemon did not rest until the
// last vote. Found by the simulation.
TEST(FleetMajority, WaitingForAMajorityAfterARefusalIsNoSpin) {
  const FleetOptions options = with_sync(SyncPolicy::kMajority);
  Fleets f(options);
  f.settle_on_one(4);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.refuses(3);
  EXPECT_TRUE(f.run(options.refusal_grace).empty());
  std::vector<FleetAction> actions;
  EXPECT_GT(f.fleet.step(f.now, actions), f.now);
  f.prepared(4);
  EXPECT_EQ(f.run(), (Kinds{Kind::kCommit, Kind::kFailed}));
}

TEST(FleetMajority, WaitingOnAfterARefusalIsNoSpinning) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(4);
  f.begin();
  f.refuses(4);
  f.prepared(1);
  f.prepared(2);
  f.run(FleetOptions{}.refusal_grace * 2);
  std::vector<FleetAction> actions;
  EXPECT_GT(f.fleet.step(f.now, actions), f.now);
}

TEST(FleetMajority, AFollowerThatCannotUseItIsToldOf) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(3);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  f.applied(1);
  f.applied(2);
  f.refuses(3);
  EXPECT_EQ(f.run(), (Kinds{Kind::kFailed, Kind::kSettled}));
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 1U);
}

TEST(FleetMajority, SomethingNewerDoesNotWaitForFollowers) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(3);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  EXPECT_FALSE(f.fleet.only_followers_left()) << "two that were ready have not switched yet";
  f.applied(1);
  f.applied(2);
  f.run();
  ASSERT_TRUE(f.fleet.only_followers_left());
  f.fleet.let_followers_go(f.now);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  f.begin();
  for (unsigned n = 1; n <= 3; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
}

TEST(FleetMajority, FollowersAreNeverExcludedForBeingSlow) {
  Fleets f(with_sync(SyncPolicy::kMajority));
  f.settle_on_one(3);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  f.applied(1);
  f.applied(2);
  EXPECT_EQ(f.run(FleetOptions{}.apply_deadline), Kinds{Kind::kSettled});
  EXPECT_EQ(f.fleet.members(), 3U);
}

// ----------------------------------------------------------------------------------------------------- none

TEST(FleetNone, EveryoneSwitchesWhenItIsReady) {
  Fleets f(with_sync(SyncPolicy::kNone));
  f.settle_on_one(2);
  f.begin();
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
  EXPECT_TRUE(f.fleet.only_followers_left());
  f.prepared(1);
  f.applied(1);
  EXPECT_EQ(f.run(), Kinds{});
  f.refuses(2);
  EXPECT_EQ(f.run(), (Kinds{Kind::kFailed, Kind::kSettled}));
  EXPECT_EQ(f.last[Kind::kSettled].applied, 1U);
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 1U);
}

TEST(FleetNone, AFollowerThatDiesOrLeavesIsNotWaitedFor) {
  Fleets f(with_sync(SyncPolicy::kNone));
  f.settle_on_one(2);
  f.begin();
  f.run();
  f.die(1);
  f.fleet.leave(uuid(2), f.now);
  f.lives.erase(2);
  EXPECT_EQ(f.run(FleetOptions{}.lease), (Kinds{Kind::kLeft, Kind::kExcluded, Kind::kSettled}));
}

// ------------------------------------------------------------------------------------------------- canaries

TEST(FleetCanaries, SwitchFirstAndTheOthersFollowAfterATime) {
  Fleets f(with_canaries(1));
  f.settle_on_one(1);
  f.join(2);
  f.join(3);
  f.begin();
  for (unsigned n = 1; n <= 3; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kTrial});
  EXPECT_EQ(f.last[Kind::kTrial].canaries, std::vector<Uuid>{uuid(1)});
  EXPECT_TRUE(f.fleet.deciding());
  f.applied(1);
  EXPECT_EQ(f.run(FleetOptions{}.canary_time - milliseconds(1)), Kinds{});
  EXPECT_EQ(f.run(milliseconds(1)), Kinds{Kind::kCommit});
  f.applied(2);
  f.applied(3);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].applied, 3U);
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 0U);
}

// The others followed when a canary had died, but was not missed yet. Found by the simulation.
TEST(FleetCanaries, IsHeardOnceMoreBeforeTheOthersFollow) {
  const FleetOptions options = with_canaries(1);
  Fleets f(options);
  f.settle_on_one(1);
  f.join(2);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  f.applied(1);
  EXPECT_EQ(f.run(options.canary_time - milliseconds(1)), Kinds{});
  f.die(1);
  EXPECT_EQ(f.run(options.lease - milliseconds(2)), Kinds{});
  std::vector<FleetAction> actions;
  EXPECT_GT(f.fleet.step(f.now, actions), f.now) << "it does not spin";
  EXPECT_EQ(f.run(milliseconds(2)), (Kinds{Kind::kExcluded, Kind::kAbort}));
}

TEST(FleetSees, ACanaryThatDiesAtTheEndOfItsTimeAtOnce) {
  std::set<std::string> running = {"w1", "w2"};
  FleetOptions options = with_canaries(1);
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(1);
  f.join(2);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  f.applied(1);
  EXPECT_EQ(f.run(options.canary_time - milliseconds(1)), Kinds{});
  running.erase("w1");
  f.die(1);
  EXPECT_EQ(f.run(options.repeat_after), (Kinds{Kind::kExcluded, Kind::kAbort}));
}

// Who could not use an epoch on trial had no vote on the next one, although the trial was aborted, and that
// one was committed over a refusal. Found by the simulation.
TEST(FleetCanaries, WhoRefusesWhatIsThenAbortedHasAVoteOnTheNext) {
  Fleets f(with_canaries(1));
  f.settle_on_one(1);
  f.join(2);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kTrial});
  f.join(3, 1);
  f.refuses(3);
  f.refuses(1);
  EXPECT_EQ(f.run(), (Kinds{Kind::kAbort}));
  EXPECT_EQ(f.fleet.status(1, f.now)[2].state, ExecutorState::kLive);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.refuses(3);
  EXPECT_EQ(f.run(), Kinds{Kind::kAbort});
}

TEST(FleetCanaries, WhoRefusesDuringTheTrialIsToldOfWhenItIsCommitted) {
  Fleets f(with_canaries(1));
  f.settle_on_one(1);
  f.join(2);
  f.begin();
  f.prepared(1);
  f.prepared(2);
  f.run();
  f.applied(1);
  f.join(3, 1);
  f.refuses(3);
  EXPECT_EQ(f.run(FleetOptions{}.canary_time), (Kinds{Kind::kCommit, Kind::kFailed}));
  f.applied(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 1U);
}

TEST(FleetCanaries, ADeadCanaryAborts) {
  Fleets f(with_canaries(0, {"w2"}));
  f.settle_on_one(0);
  for (unsigned n = 1; n <= 3; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 3; ++n) f.prepared(n);
  f.run();
  f.applied(2);
  f.die(2);
  EXPECT_EQ(f.run(FleetOptions{}.lease), (Kinds{Kind::kExcluded, Kind::kAbort}));
  const FleetAction& abort = f.last[Kind::kAbort];
  EXPECT_TRUE(abort.on_trial);
  EXPECT_EQ(abort.died, std::vector<Uuid>{uuid(2)});
  ASSERT_EQ(abort.failures.size(), 1U);
  EXPECT_EQ(abort.failures[0].executor, "w2");
  EXPECT_NE(abort.failures[0].error.find("canary"), std::string::npos);
}

TEST(FleetCanaries, OneThatCannotSwitchOrDoesNotAborts) {
  for (const bool refuses : {true, false}) {
    Fleets f(with_canaries(1));
    for (unsigned n = 1; n <= 2; ++n) f.join(n);
    f.begin();
    for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
    f.run();
    if (refuses) f.refuses(1);
    const Kinds kinds = f.run(FleetOptions{}.apply_deadline);
    EXPECT_EQ(kinds, refuses ? Kinds{Kind::kAbort} : (Kinds{Kind::kExcluded, Kind::kAbort}));
    EXPECT_TRUE(f.last[Kind::kAbort].died.empty()) << "it is alive";
  }
}

// It was given the time of a switch, of which loading is no part. Found by the simulation.
TEST(FleetCanaries, OneThatStillPreparesHasTheTimeForIt) {
  FleetOptions options = with_canaries(1);
  options.sync = SyncPolicy::kNone;
  Fleets f(options);
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin();
  EXPECT_EQ(f.run(options.apply_deadline + seconds(5)), Kinds{Kind::kTrial});
  f.prepared(1);
  f.applied(1);
  EXPECT_EQ(f.run(options.canary_time), Kinds{Kind::kCommit});
}

TEST(FleetCanaries, OthersMayComeGoAndDieMeanwhile) {
  Fleets f(with_canaries(1));
  for (unsigned n = 1; n <= 3; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 3; ++n) f.prepared(n);
  f.run();
  f.applied(1);
  f.die(2);
  f.join(4);
  f.prepared(4);
  EXPECT_EQ(f.run(FleetOptions{}.canary_time), (Kinds{Kind::kExcluded, Kind::kCommit}));
  f.applied(3);
  f.applied(4);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].applied, 3U);
}

TEST(FleetCanaries, ACanaryThatSaysGoodbyeIsNoVerdict) {
  Fleets f(with_canaries(1));
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  f.run();
  f.fleet.leave(uuid(1), f.now);
  f.lives.erase(1);
  EXPECT_EQ(f.run(FleetOptions{}.canary_time), (Kinds{Kind::kLeft, Kind::kCommit}));
}

TEST(FleetCanaries, WhereAllWouldBeCanariesThereIsNoTrial) {
  Fleets f(with_canaries(2));
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
}

TEST(FleetCanaries, WhatIsKnownToBeGoodNeedsNoTrial) {
  Fleets f(with_canaries(1));
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin(true);
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
}

TEST(FleetCanaries, ACanaryWhoseAckGotLostIsKnownFromItsSignOfLife) {
  Fleets f(with_canaries(1));
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  f.run();
  EXPECT_TRUE(f.fleet.alive({uuid(1), ExecutorState::kLive, f.epoch, {}, 0}, f.now));
  EXPECT_EQ(f.run(FleetOptions{}.canary_time), Kinds{Kind::kCommit});
}

// --------------------------------------------------------------------------------------------------- return

/// Three that have just switched.
class FleetReturn : public ::testing::Test {
 protected:
  void switch_all(Fleets& f) {
    f.settle_on_one(3);
    f.begin();
    for (unsigned n = 1; n <= 3; ++n) f.prepared(n);
    f.run();
    for (unsigned n = 1; n <= 3; ++n) f.applied(n);
    EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  }
};

TEST_F(FleetReturn, WhenMostDieRightAfterTheSwitch) {
  Fleets f({});
  switch_all(f);
  f.die(1);
  EXPECT_EQ(f.run(seconds(4)), Kinds{Kind::kExcluded}) << "one can be anything";
  f.die(2);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kReturn}));
  EXPECT_EQ(f.last[Kind::kReturn].epoch, 2U);
  EXPECT_NE(f.last[Kind::kReturn].reason.find("2 of 3 executors"), std::string::npos);
  f.die(3);
  EXPECT_EQ(f.run(seconds(4)), Kinds{Kind::kExcluded}) << "told once";
}

TEST_F(FleetReturn, NotWhenTheyDieLater) {
  Fleets f({});
  switch_all(f);
  f.run(FleetOptions{}.return_within + seconds(1));
  f.die(1);
  f.die(2);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded}));
}

TEST_F(FleetReturn, NotWhenTheyLeave) {
  Fleets f({});
  switch_all(f);
  for (unsigned n = 1; n <= 3; ++n) f.fleet.leave(uuid(n), f.now);
  f.lives.clear();
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kLeft, Kind::kLeft, Kind::kLeft}));
}

TEST_F(FleetReturn, NotWhenTheyAreOnlyStopped) {
  FleetOptions options;
  options.still_there = [](const ExecutorIdentity& who) { return who.name != "w1"; };
  Fleets f(options);
  switch_all(f);
  for (unsigned n = 1; n <= 3; ++n) f.die(n);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded, Kind::kExcluded}));
}

TEST_F(FleetReturn, NotWhenOneComesBackAlive) {
  Fleets f({});
  switch_all(f);
  f.die(1);
  f.run(seconds(4));
  f.join(1, 2);
  f.die(2);
  EXPECT_EQ(f.run(seconds(4)), Kinds{Kind::kExcluded});
}

TEST_F(FleetReturn, ARestartedExecutorThatDiesAgainCounts) {
  Fleets f({});
  f.settle_on_one(1);
  f.begin();
  f.prepared(1);
  f.run();
  f.applied(1);
  f.run();
  f.die(1);
  EXPECT_EQ(f.run(seconds(4)), Kinds{Kind::kExcluded});
  f.join(7);  // the supervisor's new one
  f.applied(7);
  f.run(seconds(1));
  f.die(7);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kReturn}));
}

TEST_F(FleetReturn, NotFromWhatIsKnownToBeGoodAndNotLongAfterTheCommit) {
  Fleets f({});
  f.settle_on_one(2);
  f.begin(true);
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  f.run();
  for (unsigned n = 1; n <= 2; ++n) f.applied(n);
  f.run();
  for (unsigned n = 1; n <= 2; ++n) f.die(n);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded}));

  f.begin();
  f.run(limits::kAftermath);
  for (unsigned n = 3; n <= 4; ++n) {
    f.join(n);
    f.applied(n);
  }
  f.run();
  for (unsigned n = 3; n <= 4; ++n) f.die(n);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded}));
}

TEST_F(FleetReturn, CanBeSwitchedOff) {
  FleetOptions options;
  options.return_within = Duration::zero();
  Fleets f(options);
  switch_all(f);
  f.lives.clear();
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded, Kind::kExcluded}));
}

TEST_F(FleetReturn, WhatIsGoneBackToWaitsForNobody) {
  Fleets f({});
  f.settle_on_one(2);
  f.begin(true);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit});
  f.die(1);
  f.prepared(2);
  f.applied(2);
  EXPECT_EQ(f.run(FleetOptions{}.lease), (Kinds{Kind::kExcluded, Kind::kSettled}));
  EXPECT_EQ(f.last[Kind::kSettled].applied, 1U);
}

}  // namespace
}  // namespace moddev::daemon
