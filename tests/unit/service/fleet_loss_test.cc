// Who dies, leaves, or lets a deadline pass, at each moment of a switch.
#include "tests/unit/service/fleet_fixture.h"

namespace moddev::daemon {
namespace {

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

// It joined again at once, and every later change waited for it until the deadline.
TEST_F(FleetTest, WhoWasTooLateHoldsNothingElseUp) {
  a_fleet_of(2);
  begin(2);
  prepared(1, 2);
  for (int i = 0; i < 30; ++i) {
    alive(1, 1);
    alive(2, 1);
    (void)kinds();
    pass(seconds(1));
  }
  alive(1, 1);
  alive(2, 1);
  ASSERT_EQ(kinds(), (std::vector<Kind>{Kind::kExcluded, Kind::kCommit}));
  applied(1, 2);
  join(2, 1);
  (void)kinds();
  EXPECT_EQ(status_of(2).state, ExecutorState::kStale);
  EXPECT_EQ(status_of(2).detail, "runs epoch 1, the newest is 2: did not prepare epoch 2 within 30.0 s");
  begin(3);
  prepared(1, 3);
  EXPECT_EQ(kinds(), std::vector<Kind>{Kind::kCommit});
  applied(1, 3);
  applied(2, 3);
  (void)kinds();
  EXPECT_EQ(status_of(2).state, ExecutorState::kLive) << "it has got out of it";
  begin(4);
  prepared(1, 4);
  EXPECT_EQ(kinds(), std::vector<Kind>{}) << "and is asked again";
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

}  // namespace
}  // namespace moddev::daemon
