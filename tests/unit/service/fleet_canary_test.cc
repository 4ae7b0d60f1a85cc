// The fleet with canaries, and after a switch that kills: one interleaving a test.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/service/fleets.h"

namespace moddev::daemon {
namespace {

using namespace fleets;  // NOLINT(google-build-using-namespace)

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
  f.begin_trial();
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
  f.begin_trial();
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
  f.begin_trial();
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
  f.begin_trial();
  f.applied(1);
  f.join(3, 1);
  f.refuses(3);
  EXPECT_EQ(f.run(FleetOptions{}.canary_time), (Kinds{Kind::kCommit, Kind::kFailed}));
  f.applied(2);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  EXPECT_EQ(f.last[Kind::kSettled].excluded, 1U);
}

// The others switched at once, untried.
TEST(FleetCanaries, OneThatDiesWhileItPreparesAborts) {
  for (const unsigned count : {0U, 1U}) {
    Fleets f(count == 0 ? with_canaries(0, {"w1"}) : with_canaries(1));
    f.settle_on_one(0);
    for (unsigned n = 1; n <= 3; ++n) f.join(n);
    f.begin();
    f.prepared(2);
    f.prepared(3);
    f.die(1);
    EXPECT_EQ(f.run(FleetOptions{}.lease), (Kinds{Kind::kExcluded, Kind::kAbort})) << count;
    EXPECT_EQ(f.last[Kind::kAbort].died, std::vector<Uuid>{uuid(1)});
    EXPECT_FALSE(f.last[Kind::kAbort].on_trial);
    EXPECT_NE(f.last[Kind::kAbort].failures.at(0).error.find("was not heard"), std::string::npos);
  }
}

TEST(FleetCanaries, OneThatHangsWhileItPreparesAborts) {
  Fleets f(with_canaries(0, {"w1"}));
  f.settle_on_one(0);
  for (unsigned n = 1; n <= 3; ++n) f.join(n);
  f.begin();
  f.prepared(2);
  f.prepared(3);
  EXPECT_EQ(f.run(FleetOptions{}.prepare_deadline), (Kinds{Kind::kExcluded, Kind::kAbort}));
  EXPECT_EQ(f.last[Kind::kAbort].died, std::vector<Uuid>{uuid(1)});
}

TEST(FleetCanaries, WhereOneLeavesWhileItPreparesAnotherTriesIt) {
  Fleets f(with_canaries(1));
  f.settle_on_one(0);
  for (unsigned n = 1; n <= 3; ++n) f.join(n);
  f.begin();
  f.prepared(2);
  f.prepared(3);
  f.fleet.leave(uuid(1), f.now);
  f.lives.erase(1);
  EXPECT_EQ(f.run(), (Kinds{Kind::kLeft, Kind::kTrial}));
  EXPECT_EQ(f.last[Kind::kTrial].canaries, std::vector<Uuid>{uuid(2)});
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

// A name with a slip in it, or an executor that is down: the change went to everyone with no word about it.
TEST(FleetCanaries, OneThatNobodyIsNamedIsTold) {
  Fleets f(with_canaries(0, {"w9"}));
  f.begin();
  EXPECT_EQ(f.run(), (Kinds{Kind::kCommit, Kind::kSettled})) << "nobody is there";
  for (unsigned n = 1; n <= 2; ++n) f.join(n);
  f.begin();
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), (Kinds{Kind::kNoCanary, Kind::kCommit}));
  EXPECT_EQ(f.last[Kind::kNoCanary].epoch, f.epoch);
  for (unsigned n = 1; n <= 2; ++n) f.applied(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kSettled});
  f.begin(true);
  for (unsigned n = 1; n <= 2; ++n) f.prepared(n);
  EXPECT_EQ(f.run(), Kinds{Kind::kCommit}) << "what ran before needs none";
}

TEST(FleetCanaries, WhereAllHaveTheNameNobodyIsMissed) {
  Fleets f(with_canaries(0, {"w1"}));
  f.join(1);
  f.begin();
  f.prepared(1);
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

// Those that were started again in place of the dead were counted as living ones: it took several rounds.
TEST_F(FleetReturn, WhoIsStartedAgainAtOnceIsNoFurtherExecutor) {
  Fleets f({});
  switch_all(f);
  f.run(milliseconds(200));
  for (unsigned n = 1; n <= 3; ++n) f.die(n);
  f.run(milliseconds(200));
  for (unsigned n = 1; n <= 3; ++n) {
    f.join(10 + n, "w" + std::to_string(n));
    f.applied(10 + n);
  }
  f.run(milliseconds(200));
  for (unsigned n = 1; n <= 3; ++n) f.die(10 + n);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded, Kind::kExcluded, Kind::kExcluded,
                                      Kind::kExcluded, Kind::kExcluded, Kind::kReturn}));
  EXPECT_NE(f.last[Kind::kReturn].reason.find("3 of 3 executors died"), std::string::npos);
}
TEST_F(FleetReturn, OneThatDiesAgainAndAgainIsOne) {
  Fleets f({});
  switch_all(f);
  unsigned next = 10;
  f.die(1);
  f.run(milliseconds(200));
  for (int round = 0; round < 4; ++round) {
    f.join(++next, "w1");
    f.applied(next);
    f.run(milliseconds(200));
    f.die(next);
    f.run(milliseconds(200));
  }
  for (const Kind kind : f.run(seconds(4))) EXPECT_EQ(kind, Kind::kExcluded);
}
TEST_F(FleetReturn, OneThatComesBackIsNotReplaced) {
  Fleets f({});
  switch_all(f);
  f.run(milliseconds(200));
  f.die(1);
  f.run(milliseconds(200));
  f.join(11, "w1");
  f.applied(11);
  f.run(seconds(3));
  f.join(1, 2);  // it was only cut off: there are four
  f.die(2);
  f.die(3);
  EXPECT_EQ(f.run(seconds(4)), (Kinds{Kind::kExcluded, Kind::kExcluded})) << "two of four are no majority";
}
ExecutorIdentity process(unsigned n, const std::string& name) {
  Uuid id;
  id.bytes[14] = static_cast<std::uint8_t>(n >> 8);
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return {id, name, "host", 1};
}

class AftermathTest : public ::testing::Test {
 protected:
  AftermathTest() { aftermath.begin(7, now); }
  void runs(unsigned n, const std::string& name, Duration joined_ago = Duration::zero()) {
    aftermath.runs(process(n, name), now - joined_ago, 7, now);
  }
  void dies(unsigned n, const std::string& name) { aftermath.died(process(n, name), now, now); }
  void pass(Duration d) { now += d; }
  [[nodiscard]] std::string verdict() { return aftermath.verdict(now).value_or(""); }
  static constexpr Duration kBefore = seconds(100);

  TimePoint now{seconds(1000)};
  Aftermath aftermath{seconds(5)};
};

// A developer restarted his programs right after a change, and the change was taken back.
TEST_F(AftermathTest, ARestartIsNoSign) {
  for (unsigned n = 1; n <= 3; ++n) runs(n, "w" + std::to_string(n), kBefore);
  pass(seconds(1));
  for (unsigned n = 1; n <= 3; ++n) dies(n, "w" + std::to_string(n));
  pass(limits::kBackAfterDeath / 2);
  for (unsigned n = 1; n <= 3; ++n) aftermath.joined(process(10 + n, "w" + std::to_string(n)), now);
  pass(seconds(20));
  EXPECT_EQ(verdict(), "");
}

// A supervisor starts the new one before it ends the old one; all have one name.
TEST_F(AftermathTest, ACycleIsNoSign) {
  for (unsigned n = 1; n <= 3; ++n) runs(n, "server", kBefore);
  for (unsigned n = 1; n <= 3; ++n) {
    pass(milliseconds(300));
    runs(10 + n, "server");
    pass(milliseconds(300));
    dies(n, "server");
    EXPECT_EQ(verdict(), "");
  }
  pass(seconds(20));
  EXPECT_EQ(verdict(), "");
}

TEST_F(AftermathTest, WhoIsNotBackInTimeIsMissed) {
  for (unsigned n = 1; n <= 3; ++n) runs(n, "w" + std::to_string(n), kBefore);
  dies(1, "w1");
  dies(2, "w2");
  EXPECT_EQ(verdict(), "");
  EXPECT_EQ(aftermath.due(), now + limits::kBackAfterDeath);
  pass(limits::kBackAfterDeath);
  EXPECT_EQ(verdict(), "2 of 3 executors died right after they had switched to epoch 7 (w1, w2)");
  EXPECT_EQ(aftermath.due(), kNever);
}

TEST_F(AftermathTest, ThoseThatDieASecondTimeAreNotWaitedFor) {
  for (unsigned n = 1; n <= 3; ++n) runs(n, "server", kBefore);
  pass(milliseconds(100));
  for (unsigned n = 1; n <= 3; ++n) dies(n, "server");
  for (unsigned n = 11; n <= 13; ++n) runs(n, "server");
  pass(milliseconds(100));
  for (unsigned n = 11; n <= 13; ++n) dies(n, "server");
  EXPECT_EQ(
      verdict(),
      "3 of 3 executors died right after they had switched to epoch 7 (server, server, server), and again "
      "when they had been started anew");
}

TEST_F(AftermathTest, BeyondTheLimitReplacementsCountAsFurtherExecutors) {
  constexpr unsigned kCount = limits::kReplacementsLookedAt + 44;
  for (unsigned n = 0; n < kCount; ++n) runs(n, "w", kBefore);
  pass(seconds(1));
  for (unsigned n = 0; n < kCount; ++n) runs(kCount + n, "w");
  for (unsigned n = 0; n < kCount; ++n) dies(n, "w");
  for (unsigned n = 0; n < kCount; ++n) dies(kCount + n, "w");
  EXPECT_EQ(verdict().substr(0, 27), "256 of 344 executors died r");
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
