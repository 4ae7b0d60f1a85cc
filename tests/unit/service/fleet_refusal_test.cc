// Who cannot use an epoch: what that means for the others, and what a person is told.
#include "tests/unit/service/fleet_fixture.h"

namespace moddev::daemon {
namespace {

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

}  // namespace
}  // namespace moddev::daemon
