// The fleet with processes that can be seen, and under --sync majority and none: one interleaving a test.
#include <gtest/gtest.h>

#include <map>

#include <set>
#include <string>
#include <vector>

#include "tests/unit/service/fleets.h"

namespace moddev::daemon {
namespace {

using namespace fleets;  // NOLINT(google-build-using-namespace)

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

// It was shown as living until its lease was over.
TEST(FleetSees, WhoHasEndedIsNoticedBeforeItsLeaseIsOver) {
  std::set<std::string> running = {"w1", "w2"};
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(2);
  running.erase("w2");
  f.die(2);
  EXPECT_EQ(f.run(limits::kLooksDead - seconds(1)), Kinds{}) << "it was heard up to a second ago";
  EXPECT_EQ(f.run(seconds(1)), Kinds{Kind::kExcluded});
  EXPECT_NE(f.last[Kind::kExcluded].reason.find("has ended without a goodbye"), std::string::npos);
}

TEST(FleetSees, WhoIsSilentAndStillThereIsFencedNotGone) {
  FleetOptions options;
  options.still_there = [](const ExecutorIdentity& who) { return who.name == "w2"; };
  Fleets f(options);
  f.settle_on_one(3);
  f.die(2);
  f.die(3);
  EXPECT_EQ(f.run(options.lease), (Kinds{Kind::kExcluded, Kind::kExcluded}));
  std::map<std::string, ExecutorStatus> all;
  for (const ExecutorStatus& one : f.fleet.status(1, f.now)) all[one.identity.name] = one;
  EXPECT_EQ(all["w2"].state, ExecutorState::kFenced);
  EXPECT_EQ(all["w2"].detail, "was not heard for 3.0 s; its process " +
                                  std::to_string(all["w2"].identity.pid) + " is there, stopped or stuck");
  EXPECT_EQ(all["w3"].state, ExecutorState::kGone);
  EXPECT_EQ(all["w3"].detail, "was not heard for 3.0 s");
}

// In a loop of crashes the dead were shown as living, and what should cure them was blamed for their end.
TEST(FleetSees, WhoStartsAgainUnderTheSameNameTellsOfItsFormerEnd) {
  std::set<std::string> running = {"w1"};
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(1);
  f.die(1);
  running.clear();
  f.join(2, "w1");
  EXPECT_EQ(f.run(), Kinds{Kind::kExcluded});
  EXPECT_EQ(f.fleet.members(), 1U);
}

// Asking the system about all of them at each join would cost a crowd of one name seconds.
TEST(FleetSees, OfManyOfOneNameThoseThatAreSilentForTheLongestTimeAreLookedAt) {
  std::size_t looks = 0;
  bool there = true;
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity&) {
    ++looks;
    return there;
  };
  Fleets f(options);
  constexpr auto kMany = static_cast<unsigned>(limits::kNamesakesLookedAt) + 3;
  for (unsigned n = 1; n <= kMany; ++n) {
    f.join(n, "server");
    f.now += milliseconds(1);
  }
  there = false;
  looks = 0;
  f.join(kMany + 1, "server");
  EXPECT_EQ(looks, limits::kNamesakesLookedAt + 1) << "and at the new one itself";
  EXPECT_EQ(f.fleet.members(), 4U);
  for (unsigned n = 1; n <= limits::kNamesakesLookedAt; ++n) EXPECT_FALSE(f.fleet.is_member(uuid(n))) << n;
}

TEST(FleetSees, TheDeadOfWhatIsLiveAreNotAskedAboutTheCure) {
  std::set<std::string> running = {"w1", "w2", "w3"};
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity& who) { return running.contains(who.name); };
  Fleets f(options);
  f.settle_on_one(3);
  f.die(1);
  running.erase("w1");
  EXPECT_EQ(f.run(limits::kLooksDead), Kinds{Kind::kExcluded});
  f.die(2);
  f.die(3);
  running.clear();
  f.begin();
  EXPECT_EQ(f.run(), (Kinds{Kind::kExcluded, Kind::kExcluded, Kind::kCommit, Kind::kSettled}))
      << "nobody is there to be asked";
}

// For minutes it was waited for as one that may come back.
TEST(FleetSees, WhoEndsWhileItIsFencedIsGone) {
  bool there = true;
  FleetOptions options;
  options.still_there = [&](const ExecutorIdentity&) { return there; };
  Fleets f(options);
  f.settle_on_one(1);
  f.die(1);
  EXPECT_EQ(f.run(options.lease), Kinds{Kind::kExcluded});
  ASSERT_EQ(f.fleet.status(1, f.now).front().state, ExecutorState::kFenced);
  there = false;
  const ExecutorStatus gone = f.fleet.status(1, f.now).front();
  EXPECT_EQ(gone.state, ExecutorState::kGone);
  EXPECT_NE(gone.detail.find("; now it has ended"), std::string::npos) << gone.detail;
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

}  // namespace
}  // namespace moddev::daemon
