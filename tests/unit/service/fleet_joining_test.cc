// Who comes in the middle of a switch, and what joins and signs of life repair.
#include "tests/unit/service/fleet_fixture.h"

namespace moddev::daemon {
namespace {

TEST_F(FleetTest, MembersAreBounded) {
  for (unsigned n = 1; n <= limits::kExecutors; ++n) join(n);
  EXPECT_FALSE(fleet.join({{uuid(1'000'000), "one too many", "h", 1}, {}, 0}, committed, now));
  EXPECT_TRUE(fleet.join({{uuid(5), "again", "h", 1}, {}, 0}, committed, now));
  EXPECT_EQ(fleet.members(), limits::kExecutors);
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

}  // namespace
}  // namespace moddev::daemon
