// The two-phase switch, one interleaving a test. fleet_model_test.cc tries the ones that nobody thought of.
#include "daemon/fleet.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

using Kind = FleetAction::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

Uuid uuid(unsigned n) {
  Uuid id;
  for (std::size_t i = 0; i < sizeof n; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

/// A fleet, a clock, and what the daemon would have to do.
class FleetTest : public testing::Test {
 protected:
  void join(unsigned n, Epoch runs = 0) {
    ASSERT_TRUE(
        fleet.join({{uuid(n), "worker-" + std::to_string(n), "host", static_cast<std::int64_t>(n)}, {}, runs},
                   committed, now));
  }
  bool ack(unsigned n, Epoch epoch, AckPhase phase, std::vector<ModuleFailure> failures = {}) {
    return fleet.ack({uuid(n), epoch, phase, std::move(failures), 0}, now);
  }
  void prepared(unsigned n, Epoch epoch) { ack(n, epoch, AckPhase::kPrepared); }
  void applied(unsigned n, Epoch epoch) { ack(n, epoch, AckPhase::kApplied); }
  void refuses(unsigned n, Epoch epoch, const std::string& why) {
    ack(n, epoch, AckPhase::kFailed, {{"scorer", why}});
  }
  bool alive(unsigned n, Epoch epoch = 0) {
    return fleet.alive({uuid(n), ExecutorState::kLive, epoch, {}, 0}, now);
  }
  void begin(Epoch epoch) { fleet.begin(epoch, now, now); }

  /// One step; commits are recorded and published at once.
  std::vector<FleetAction> step() {
    std::vector<FleetAction> all;
    std::vector<FleetAction> actions;
    do {
      actions.clear();
      next = fleet.step(now, actions);
      for (const FleetAction& action : actions) {
        if (action.kind == Kind::kCommit && record_commits) commit(action.epoch);
        all.push_back(action);
      }
    } while (!actions.empty());
    return all;
  }
  void commit(Epoch epoch) {
    committed = epoch;
    fleet.committed(now);
  }
  std::vector<Kind> kinds() {
    std::vector<Kind> result;
    for (const FleetAction& action : step()) result.push_back(action.kind);
    return result;
  }
  /// The members 1..count, all on epoch 1, nothing under way.
  void a_fleet_of(unsigned count) {
    for (unsigned n = 1; n <= count; ++n) join(n);
    begin(1);
    for (unsigned n = 1; n <= count; ++n) prepared(n, 1);
    step();
    for (unsigned n = 1; n <= count; ++n) applied(n, 1);
    step();
    ASSERT_FALSE(fleet.busy());
  }
  ExecutorStatus status_of(unsigned n) {
    for (const ExecutorStatus& status : fleet.status(committed, now)) {
      if (status.identity.id == uuid(n)) return status;
    }
    return {};
  }
  void pass(Duration d) { now += d; }

  Fleet fleet{FleetOptions{}};
  TimePoint now{seconds(1000)};
  TimePoint next = kNever;
  Epoch committed = 0;
  bool record_commits = true;
};

TEST_F(FleetTest, NobodyThereCommitsAtOnce) {
  begin(1);
  EXPECT_TRUE(fleet.deciding());
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].kind, Kind::kCommit);
  EXPECT_EQ(actions[1].kind, Kind::kSettled);
  EXPECT_EQ(actions[1].applied, 0U);
  EXPECT_FALSE(fleet.busy());
}

TEST_F(FleetTest, CommitsOnlyWhenEveryoneIsPrepared) {
  for (unsigned n = 1; n <= 3; ++n) join(n);
  step();
  begin(1);
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  prepared(1, 1);
  prepared(2, 1);
  prepared(2, 1);  // a repetition does not count twice
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  prepared(3, 1);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
  applied(1, 1);
  applied(1, 1);
  applied(2, 1);
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  pass(milliseconds(5));
  applied(3, 1);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].kind, Kind::kSettled);
  EXPECT_EQ(actions[0].applied, 3U);
  EXPECT_EQ(actions[0].excluded, 0U);
  EXPECT_EQ(actions[0].elapsed, milliseconds(5));
}

TEST_F(FleetTest, OneRefusalAbortsForAllWithItsReason) {
  a_fleet_of(3);
  begin(2);
  prepared(1, 2);
  refuses(2, 2, "undefined symbol: f");
  prepared(3, 2);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].kind, Kind::kAbort);
  EXPECT_EQ(actions[0].failures,
            (std::vector<ExecutorFailure>{{"worker-2", "scorer", "undefined symbol: f"}}));
  EXPECT_EQ(actions[0].refused_by, std::vector<Uuid>{uuid(2)});
  EXPECT_FALSE(fleet.busy());
  EXPECT_EQ(status_of(1).epoch, 1U);
  EXPECT_EQ(status_of(1).state, ExecutorState::kLive);
}

TEST_F(FleetTest, ReasonsOfOthersAreCollectedForAMoment) {
  a_fleet_of(3);
  begin(2);
  refuses(1, 2, "one");
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  pass(milliseconds(10));
  refuses(2, 2, "two");
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  EXPECT_LE(next, now + milliseconds(40));
  pass(milliseconds(40));
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].failures.size(), 2U);
}

TEST_F(FleetTest, ARefusalWithoutReasonStillNamesTheExecutor) {
  a_fleet_of(1);
  begin(2);
  ack(1, 2, AckPhase::kFailed);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  ASSERT_EQ(actions[0].failures.size(), 1U);
  EXPECT_EQ(actions[0].failures[0].executor, "worker-1");
}

TEST_F(FleetTest, FailuresOfOneEpochAreBounded) {
  a_fleet_of(2);
  begin(2);
  ack(1, 2, AckPhase::kFailed, std::vector<ModuleFailure>(limits::kFailuresPerEpoch - 1, {"m", "e"}));
  ack(2, 2, AckPhase::kFailed, std::vector<ModuleFailure>(5, {"m", "e"}));
  EXPECT_EQ(step().at(0).failures.size(), limits::kFailuresPerEpoch);
}

TEST_F(FleetTest, MembersAreBounded) {
  for (unsigned n = 1; n <= limits::kExecutors; ++n) join(n);
  EXPECT_FALSE(fleet.join({{uuid(1'000'000), "one too many", "h", 1}, {}, 0}, committed, now));
  EXPECT_TRUE(fleet.join({{uuid(5), "again", "h", 1}, {}, 0}, committed, now));
  EXPECT_EQ(fleet.members(), limits::kExecutors);
}

TEST_F(FleetTest, ARefusalStaysGivenWhenItsGiverDiesOrLeaves) {
  for (const bool dies : {true, false}) {
    SCOPED_TRACE(dies);
    const Epoch base = committed;
    if (base == 0) a_fleet_of(3);
    if (base != 0) {
      join(1, committed);
      step();
    }
    const Epoch epoch = 10 + base;
    begin(epoch);
    prepared(2, epoch);
    refuses(1, epoch, "no");
    if (dies) {
      pass(seconds(3));
      alive(2, 1);
      alive(3, 1);
    } else {
      fleet.leave(uuid(1), now);
    }
    prepared(3, epoch);
    bool aborted = false;
    for (const FleetAction& action : step()) {
      EXPECT_NE(action.kind, Kind::kCommit);
      aborted |= action.kind == Kind::kAbort;
    }
    EXPECT_TRUE(aborted);
  }
}

TEST_F(FleetTest, OneThatRefusesAfterBeingReadyStillRefuses) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  refuses(1, 2, "changed my mind");
  prepared(1, 2);  // an old ack that was under way
  prepared(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kAbort});
}

TEST_F(FleetTest, ADeadMemberIsExcludedByItsLeaseAndTheRestDecides) {
  a_fleet_of(3);
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  pass(milliseconds(2999));
  alive(1, 1);
  alive(2, 1);
  for (const Kind kind : kinds()) EXPECT_EQ(kind, Kind::kRepeatAnnounce);
  pass(milliseconds(1));
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].kind, Kind::kExcluded);
  EXPECT_EQ(actions[0].executor->name, "worker-3");
  EXPECT_EQ(actions[0].reason, "was not heard for 3.0 s");
  EXPECT_EQ(actions[1].kind, Kind::kCommit);
  applied(1, 2);
  applied(2, 2);
  const auto settled = step();
  ASSERT_EQ(settled.size(), 1U);
  EXPECT_EQ(settled[0].applied, 2U);
  EXPECT_EQ(settled[0].excluded, 1U);
  EXPECT_EQ(status_of(3).state, ExecutorState::kGone);
}

TEST_F(FleetTest, ALivingMemberThatDoesNotPrepareInTimeIsFenced) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  for (int i = 0; i < 30; ++i) {
    alive(1, 1);
    alive(2, 1);
    for (const Kind kind : kinds()) EXPECT_EQ(kind, Kind::kRepeatAnnounce);
    pass(seconds(1));
  }
  alive(1, 1);
  alive(2, 1);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kExcluded, Kind::kCommit}));
  EXPECT_FALSE(alive(2, 1));  // fenced until it joins anew
  EXPECT_FALSE(ack(2, 2, AckPhase::kPrepared));
  EXPECT_EQ(status_of(2).state, ExecutorState::kFenced);
  EXPECT_EQ(status_of(2).detail, "did not prepare epoch 2 within 30.0 s");
  join(2, 1);
  EXPECT_TRUE(alive(2, 1));
  EXPECT_EQ(status_of(2).state, ExecutorState::kStale);
  applied(2, 2);
  EXPECT_EQ(status_of(2).state, ExecutorState::kLive);
}

TEST_F(FleetTest, AllDyingOverAnEpochAbortsIt) {
  a_fleet_of(2);
  begin(2);
  pass(seconds(3));
  const auto actions = step();
  ASSERT_EQ(actions.size(), 3U);
  EXPECT_EQ(actions[2].kind, Kind::kAbort);
  ASSERT_EQ(actions[2].failures.size(), 2U);
  EXPECT_EQ(actions[2].failures[0].error, "was not heard for 3.0 s");
  EXPECT_TRUE(actions[2].refused_by.empty()) << "they may come back, and are asked again then";
}

TEST_F(FleetTest, AllSayingGoodbyeHurtsNobody) {
  a_fleet_of(2);
  begin(2);
  fleet.leave(uuid(1), now);
  fleet.leave(uuid(2), now);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kLeft, Kind::kLeft, Kind::kCommit, Kind::kSettled}));
}

TEST_F(FleetTest, AReadyMemberThatDiesDoesNotHoldUpTheOthers) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  pass(milliseconds(1500));
  alive(2, 1);
  pass(milliseconds(1500));
  prepared(2, 2);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kExcluded, Kind::kCommit}));
}

TEST_F(FleetTest, DyingBetweenCommitAndAppliedIsCountedAsExcluded) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  step();
  applied(1, 2);
  pass(milliseconds(2900));
  alive(1, 2);
  pass(milliseconds(100));
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].kind, Kind::kExcluded);
  EXPECT_EQ(actions[1].kind, Kind::kSettled);
  EXPECT_EQ(actions[1].applied, 1U);
  EXPECT_EQ(actions[1].excluded, 1U);
}

TEST_F(FleetTest, OneThatNeverSwitchesIsFencedAfterTheDeadline) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  step();
  applied(1, 2);
  for (int i = 0; i < 10; ++i) {
    alive(1, 2);
    alive(2, 1);
    for (const Kind kind : kinds()) EXPECT_EQ(kind, Kind::kRepeatCommit);
    pass(seconds(1));
  }
  alive(1, 2);
  alive(2, 1);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kExcluded, Kind::kSettled}));
  EXPECT_EQ(status_of(2).state, ExecutorState::kFenced);
}

TEST_F(FleetTest, LeavingBetweenCommitAndAppliedIsNoExclusion) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  step();
  applied(1, 2);
  fleet.leave(uuid(2), now);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[1].kind, Kind::kSettled);
  EXPECT_EQ(actions[1].excluded, 0U);
}

TEST_F(FleetTest, AnAliveRepairsALostAppliedAck) {
  a_fleet_of(1);
  begin(2);
  prepared(1, 2);
  step();
  alive(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kSettled});
}

TEST_F(FleetTest, AJoinThatTellsTheNewEpochRepairsALostAppliedAck) {
  a_fleet_of(1);
  begin(2);
  prepared(1, 2);
  step();
  join(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kSettled});
}

TEST_F(FleetTest, AJoinerDuringASwitchHasNoVote) {
  a_fleet_of(1);
  begin(2);
  join(2, 0);
  prepared(1, 2);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kJoined, Kind::kCommit}));
  applied(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kSettled});  // not waited for
}

TEST_F(FleetTest, AJoinerThatIsReadyIsIncludedInTheCommit) {
  a_fleet_of(1);
  begin(2);
  join(2, 0);
  prepared(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kJoined});
  prepared(1, 2);
  step();
  applied(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  applied(2, 2);
  EXPECT_EQ(step().at(0).applied, 2U);
}

TEST_F(FleetTest, AJoinerCannotVetoTheSwitchUnderWay) {
  a_fleet_of(1);
  begin(2);
  join(2, 0);
  refuses(2, 2, "not for me");
  prepared(1, 2);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kJoined, Kind::kCommit}));
}

TEST_F(FleetTest, OneThatJoinsAgainDuringTheSwitchKeepsItsVote) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  join(1, 1);
  prepared(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
}

TEST_F(FleetTest, AFencedMemberThatComesBackDuringTheSwitchDoesNotVoteInIt) {
  a_fleet_of(2);
  begin(2);
  pass(milliseconds(2900));
  alive(1, 1);
  pass(milliseconds(100));
  EXPECT_EQ(kinds().back(), Kind::kRepeatAnnounce);  // 2 was excluded, 1 is still asked
  join(2, 1);
  prepared(1, 2);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kJoined, Kind::kCommit}));
}

TEST_F(FleetTest, OneThatCannotUseTheCommittedEpochIsToldOnceAndHasNoVeto) {
  a_fleet_of(1);
  join(2, 0);
  step();
  refuses(2, 1, "wrong machine");
  refuses(2, 1, "wrong machine");
  auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].kind, Kind::kFailed);
  EXPECT_EQ(actions[0].executor->name, "worker-2");
  EXPECT_EQ(actions[0].failures[0].error, "wrong machine");
  EXPECT_EQ(status_of(2).state, ExecutorState::kFailed);
  EXPECT_EQ(status_of(2).detail, "cannot use epoch 1: scorer: wrong machine");
  begin(2);
  refuses(2, 2, "still the wrong machine");
  prepared(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
  applied(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kSettled});
  applied(2, 2);  // it made it after all, and is a full member again
  EXPECT_EQ(status_of(2).state, ExecutorState::kLive);
  begin(3);
  prepared(1, 3);
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  prepared(2, 3);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
}

/// Epoch 1 was committed with nobody there, and the two that came cannot use it.
class FleetWithNothingToLose : public FleetTest {
 protected:
  void SetUp() override {
    begin(1);
    step();
    for (unsigned n = 1; n <= 2; ++n) {
      join(n, 0);
      refuses(n, 1, "undefined symbol: f");
    }
    step();
    begin(2);
    EXPECT_EQ(kinds(), std::vector<Kind>{}) << "they are asked";
    refuses(1, 2, "undefined symbol: g");
    EXPECT_EQ(kinds(), std::vector<Kind>{});
  }
};

// One bad version after the other went live, for nobody.
TEST_F(FleetWithNothingToLose, WhatNoneOfThemCanUseIsRefused) {
  refuses(2, 2, "undefined symbol: g");
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].kind, Kind::kAbort);
  EXPECT_EQ(actions[0].failures.size(), 2U);
}

TEST_F(FleetWithNothingToLose, OneThatIsReadyIsEnough) {
  prepared(2, 2);
  EXPECT_EQ(kinds(), (std::vector<Kind>{Kind::kCommit, Kind::kFailed}));
  applied(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kSettled});
  EXPECT_TRUE(fleet.may_veto(uuid(2)));
  EXPECT_FALSE(fleet.may_veto(uuid(1)));
}

// The terminal said "was not heard for 3.0 s", and of which module was anybody's guess.
TEST_F(FleetTest, WhoFallsSilentOverASwitchIsNamedWithWhatItWasAskedFor) {
  a_fleet_of(1);
  fleet.begin(2, now, now, false, {"m", "load m 3"});
  step();
  pass(seconds(3));
  auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].kind, Kind::kExcluded);
  EXPECT_EQ(actions[0].reason, "was not heard for 3.0 s after it was asked to load m 3");
  EXPECT_EQ(actions[1].kind, Kind::kAbort);
  EXPECT_EQ(actions[1].failures,
            (std::vector<ExecutorFailure>{
                {"worker-1", "m", "was not heard for 3.0 s after it was asked to load m 3"}}));
  // One that had nothing to do with it, and nothing is under way.
  join(2, 1);
  step();
  pass(seconds(3));
  EXPECT_EQ(step().at(0).reason, "was not heard for 3.0 s");
}

TEST_F(FleetTest, WhoLetsTheDeadlinePassIsNamedWithWhatItWasAskedFor) {
  a_fleet_of(1);
  fleet.begin(2, now, now, false, {"", "load m 3 and base 2"});
  step();
  for (int n = 0; n < 30; ++n) {
    pass(seconds(1));
    alive(1, 1);
  }
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].reason,
            "did not prepare epoch 2 within 30.0 s after it was asked to load m 3 and base 2");
  EXPECT_EQ(actions[1].failures.at(0).module, "");
}

TEST_F(FleetTest, FailingToSwitchAfterTheCommitDoesNotUndoIt) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  step();
  refuses(1, 2, "init crashed");
  applied(2, 2);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 2U);
  EXPECT_EQ(actions[0].kind, Kind::kFailed);
  EXPECT_EQ(actions[1].kind, Kind::kSettled);
  EXPECT_EQ(actions[1].applied, 1U);
  EXPECT_EQ(actions[1].excluded, 1U);
}

TEST_F(FleetTest, LateWordsAboutEpochsThatAreOverChangeNothing) {
  a_fleet_of(1);
  begin(2);
  refuses(1, 2, "no");
  step();
  refuses(1, 2, "no");  // repeated after the abort
  prepared(1, 2);
  applied(1, 2);  // nonsense: never committed
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  EXPECT_EQ(status_of(1).epoch, 1U);
  EXPECT_EQ(status_of(1).state, ExecutorState::kLive);
  begin(3);
  prepared(1, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  prepared(1, 3);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
}

TEST_F(FleetTest, TheDecisionStandsWhileItCannotBeRecorded) {
  a_fleet_of(2);
  record_commits = false;
  begin(2);
  prepared(1, 2);
  prepared(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
  EXPECT_TRUE(fleet.deciding());
  for (int i = 0; i < 60; ++i) {  // a full disk
    pass(seconds(1));
    alive(1, 1);
    if (i < 30) alive(2, 1);  // and one dies meanwhile
    for (const Kind kind : kinds()) EXPECT_EQ(kind, Kind::kExcluded);
  }
  commit(2);
  EXPECT_FALSE(fleet.deciding());
  applied(1, 2);
  const auto actions = step();
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(actions[0].kind, Kind::kSettled);
  EXPECT_EQ(actions[0].applied, 1U);
  EXPECT_EQ(actions[0].excluded, 1U);
}

TEST_F(FleetTest, RepetitionsDoubleUpToTheHeartbeat) {
  a_fleet_of(1);
  begin(2);
  step();
  std::vector<std::int64_t> at;
  const TimePoint start = now;
  while (now < start + seconds(5)) {
    alive(1, 1);
    for (const Kind kind : kinds()) {
      EXPECT_EQ(kind, Kind::kRepeatAnnounce);
      at.push_back(std::chrono::duration_cast<milliseconds>(now - start).count());
    }
    now = std::min(next, now + milliseconds(500));
  }
  EXPECT_EQ(at, (std::vector<std::int64_t>{100, 300, 700, 1500, 2500, 3500, 4500}));
}

TEST_F(FleetTest, SilenceWhileTheDaemonWasDeafIsNotHeldAgainstAnyone) {
  a_fleet_of(2);
  begin(2);
  step();
  pass(seconds(60));  // a laptop slept
  fleet.was_deaf(seconds(60), now);
  for (const Kind kind : kinds()) EXPECT_EQ(kind, Kind::kRepeatAnnounce);
  EXPECT_EQ(fleet.members(), 2U);
  prepared(1, 2);
  prepared(2, 2);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
}

TEST_F(FleetTest, StatusIsSortedByNameAndForgetsOldLeavers) {
  a_fleet_of(3);
  fleet.leave(uuid(1), now);
  step();
  auto all = fleet.status(committed, now);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].identity.name, "worker-2");
  EXPECT_EQ(all[1].identity.name, "worker-3");
  EXPECT_EQ(all[2].identity.name, "worker-1");
  EXPECT_EQ(all[2].state, ExecutorState::kGone);
  for (int i = 0; i < 121; ++i) {
    pass(seconds(1));
    alive(2, 1);
    alive(3, 1);
    step();
  }
  EXPECT_EQ(fleet.status(committed, now).size(), 2U);
}

TEST_F(FleetTest, RememberedLeaversAreBounded) {
  for (unsigned n = 1; n <= limits::kRememberedLeavers + 5; ++n) {
    join(n);
    fleet.leave(uuid(n), now);
  }
  step();
  EXPECT_EQ(fleet.status(committed, now).size(), limits::kRememberedLeavers);
}

TEST_F(FleetTest, AskingForNothingMeansSleepingUntilALeaseEnds) {
  EXPECT_EQ(kinds(), std::vector<Kind>{});
  EXPECT_EQ(next, kNever);
  a_fleet_of(2);
  step();
  EXPECT_EQ(next, TimePoint(seconds(1003)));
}

}  // namespace
}  // namespace moddev::daemon
