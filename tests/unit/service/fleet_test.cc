// The two-phase switch when nothing is wrong, its repetitions and its status. What can go wrong is in
// fleet_refusal_test.cc, fleet_loss_test.cc and fleet_joining_test.cc, one interleaving a test;
// fleet_model_test.cc tries the ones that nobody thought of.
#include "tests/unit/service/fleet_fixture.h"

namespace moddev::daemon {
namespace {

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
