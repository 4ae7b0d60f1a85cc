// What changed while the daemon was down waits until those that ran what is committed are back to be asked.
#include "daemon/rejoin.h"
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

/// Three executors ran epoch 1; the daemon went down, the directory changed, and it is back.
class RejoinTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    write({{"m", "good"}, {"other", "1"}});
    for (const char* name : {"a", "b", "c"}) add(name);
    pass(seconds(1));
    ASSERT_EQ(journal->applied_count(1).value(), 3U);
  }
  void restart(FleetOptions fleet = {}) {
    feed.change_unseen(blobs, {{"m", "new"}, {"other", "1"}});
    start(std::move(fleet));
    feed.restart(now);
    settle();
  }
  void come_back(std::size_t number) {
    executors[number]->mute = false;
    executors[number]->join(journal->id().repo);
    settle();
  }
  [[nodiscard]] std::vector<Epoch> run() const {
    std::vector<Epoch> epochs;
    for (const auto& executor : executors) epochs.push_back(executor->runs);
    return epochs;
  }
  [[nodiscard]] std::string told_of(const std::string& code) const {
    std::string text;
    for (const WarningEvent& warning : all<WarningEvent>()) {
      if (warning.code == code) text += warning.message;
    }
    return text;
  }
  using Epochs = std::vector<Epoch>;
};

TEST_F(RejoinTest, AChangeWaitsUntilAllAreBack) {
  restart();
  EXPECT_EQ(journal->head(), 1U);
  come_back(0);
  pass(seconds(1));
  come_back(1);
  EXPECT_EQ(journal->head(), 1U);
  come_back(2);
  EXPECT_EQ(run(), (Epochs{2, 2, 2}));
  EXPECT_EQ(told_of("not_back"), "");
}

// It was committed at once, and who could not load it stayed behind.
TEST_F(RejoinTest, OneThatRefusesItKeepsEveryoneOnWhatTheyRan) {
  executors[2]->refuses = true;
  restart();
  for (const std::size_t number : {0U, 1U, 2U}) come_back(number);
  pass(seconds(1));
  ASSERT_EQ(all<AbortedEvent>().size(), 1U);
  EXPECT_EQ(journal->committed().epoch, 1U);
  EXPECT_EQ(run(), (Epochs{1, 1, 1}));
}

TEST_F(RejoinTest, CanariesTryItFirst) {
  FleetOptions fleet;
  fleet.canaries.names = {"b"};
  restart(fleet);
  for (const std::size_t number : {0U, 1U, 2U}) come_back(number);
  EXPECT_EQ(run(), (Epochs{1, 2, 1}));
  pass(fleet.canary_time + seconds(1));
  EXPECT_EQ(run(), (Epochs{2, 2, 2}));
}

TEST_F(RejoinTest, WhoDoesNotComeBackIsNotWaitedForLongerThanThePatience) {
  for (auto& executor : executors) executor->mute = true;
  restart();
  come_back(0);
  pass(DaemonOptions{}.rejoin_patience - milliseconds(1));
  EXPECT_EQ(journal->head(), 1U);
  pass(milliseconds(1));
  EXPECT_EQ(executors[0]->runs, 2U);
  EXPECT_EQ(
      told_of("not_back"),
      "b, c ran epoch 1 before `moddev watch` was started anew, and did not come back in time: what has "
      "changed is decided without them.");
}

TEST_F(RejoinTest, OneThatWasStartedAgainIsBack) {
  executors.clear();
  restart();
  for (const char* name : {"c", "a"}) add(name);
  EXPECT_EQ(journal->head(), 1U);
  EXPECT_EQ(add("b").runs, 2U);
}

// A script that waited for all to be live went on while half of them were still missing.
TEST_F(RejoinTest, WhoIsNotBackYetIsShownAsJoining) {
  start();
  feed.restart(now);
  settle();
  come_back(1);
  const auto states = [&] {
    const ReplyBody reply = ask(*executors[1], StatusRequest{});
    std::map<std::string, ExecutorState> all;
    for (const ExecutorStatus& one : std::get<StatusReply>(reply).executors)
      all[one.identity.name] = one.state;
    return all;
  };
  using S = ExecutorState;
  EXPECT_EQ(states(), (std::map<std::string, S>{{"a", S::kJoining}, {"b", S::kLive}, {"c", S::kJoining}}));
  come_back(0);
  executors[2]->mute = true;
  pass(DaemonOptions{}.rejoin_patience);
  EXPECT_EQ(states(), (std::map<std::string, S>{{"a", S::kLive}, {"b", S::kLive}}));
}

TEST_F(RejoinTest, WhereNothingChangedNothingWaits) {
  start();
  feed.restart(now);
  settle();
  EXPECT_EQ(journal->head(), 1U);
  come_back(0);
  const ReplyBody reply = ask(*executors[0], RefreshRequest{});
  EXPECT_TRUE(std::holds_alternative<RefreshReply>(reply));
  for (auto& executor : executors) executor->mute = true;
  pass(seconds(10));
  EXPECT_EQ(told_of("not_back"), "");
}

TEST_F(RejoinTest, WhereNobodyRanAnythingNothingWaits) {
  for (auto& executor : executors) executor->leave();
  settle();
  executors.clear();
  write({{"m", "unproven"}, {"other", "1"}});
  write({{"m", "unproven too"}, {"other", "1"}});
  restart();
  EXPECT_EQ(journal->committed().epoch, 4U);
}

// The daemon died before it had written down who applied the newest.
TEST_F(RejoinTest, WhoRanTheEpochBeforeIsExpectedWhereNobodyIsKnownToRunTheNewest) {
  executors[0]->mute = executors[1]->mute = executors[2]->mute = true;
  FleetOptions fleet;
  fleet.sync = SyncPolicy::kNone;
  start(fleet);
  feed.restart(now);
  pass(seconds(5));
  write({{"m", "2"}, {"other", "1"}});
  ASSERT_EQ(journal->committed().epoch, 2U);
  restart();
  EXPECT_EQ(journal->head(), 2U);
  for (const std::size_t number : {0U, 1U, 2U}) come_back(number);
  EXPECT_EQ(run(), (Epochs{3, 3, 3}));
}

TEST_F(RejoinTest, ARollbackWaitsAsWell) {
  write({{"m", "2"}, {"other", "1"}});
  pass(seconds(1));
  start();
  feed.restart(now);
  settle();
  come_back(0);
  executors[0]->ask(RollbackRequest{});
  settle();
  EXPECT_EQ(journal->head(), 2U);
  come_back(1);
  come_back(2);
  EXPECT_EQ(run(), (Epochs{3, 3, 3}));
}

// A laptop that was closed for an hour right after the start.
TEST_F(RejoinTest, WhileTheDaemonIsDeafNobodyIsMissed) {
  restart();
  now += seconds(3600);
  settle();
  EXPECT_EQ(journal->head(), 1U);
  for (const std::size_t number : {0U, 1U, 2U}) come_back(number);
  EXPECT_EQ(run(), (Epochs{2, 2, 2}));
}

ExecutorIdentity executor(std::string name, std::int64_t pid) {
  return {Uuid::random(), std::move(name), "here", pid};
}

TEST(Rejoin, OfOneThatWasStartedAgainAndAgainTheLivingOneIsExpected) {
  const ExecutorIdentity dead = executor("w", 1);
  const ExecutorIdentity living = executor("w", 2);
  Rejoin rejoin(
      {dead, living}, [](const ExecutorIdentity& one) { return one.pid == 2; }, "");
  rejoin.begin(TimePoint{}, seconds(4));
  rejoin.joined(executor("w", 3));
  EXPECT_FALSE(rejoin.over(TimePoint{})) << "the living one is still to come";
  rejoin.joined(living);
  EXPECT_TRUE(rejoin.over(TimePoint{}));
}

TEST(Rejoin, ThoseThatCannotBeSeenAreAllExpected) {
  const auto one = executor("w", 1);
  const auto other = executor("w", 2);
  Rejoin rejoin({one, other}, nullptr, "here");
  EXPECT_FALSE(rejoin.over(TimePoint{})) << "not before it has begun";
  rejoin.begin(TimePoint{}, seconds(4));
  rejoin.joined(one);
  EXPECT_FALSE(rejoin.over(TimePoint{}));
  EXPECT_EQ(rejoin.due(), TimePoint{} + seconds(4));
  EXPECT_TRUE(rejoin.over(TimePoint{} + seconds(4)));
  EXPECT_EQ(rejoin.take_missing(), "w");
  EXPECT_EQ(rejoin.due(), kNever);
}

TEST(Rejoin, WhoOfThisMachineCannotBeSeenIsWaitedForOnlyShortly) {
  const auto dead = executor("dead", 1);
  const auto living = executor("living", 2);
  Rejoin rejoin(
      {dead, living}, [](const ExecutorIdentity& one) { return one.pid == 2; }, "here");
  const TimePoint begin{};
  rejoin.begin(begin, seconds(4));
  EXPECT_EQ(rejoin.due(), begin + seconds(4));
  rejoin.joined(living);
  EXPECT_EQ(rejoin.due(), begin + limits::kRejoinHere);
  EXPECT_FALSE(rejoin.over(begin + limits::kRejoinHere - milliseconds(1)));
  EXPECT_TRUE(rejoin.over(begin + limits::kRejoinHere));

  Rejoin elsewhere(
      {dead}, [](const ExecutorIdentity&) { return false; }, "there");
  elsewhere.begin(begin, seconds(4));
  EXPECT_EQ(elsewhere.due(), begin + seconds(4));
}

TEST(Rejoin, ManyThatAreMissingAreCounted) {
  std::vector<ExecutorIdentity> ran;
  for (const char* name : {"f", "b", "c", "d", "e", "a", ""}) ran.push_back(executor(name, 1));
  EXPECT_EQ(Rejoin(ran, nullptr, "").take_missing(), "an executor without a name, a, b, c and 3 more");
  EXPECT_EQ(Rejoin({executor("", 1)}, nullptr, "").take_missing(), "an executor without a name");
}

}  // namespace
}  // namespace moddev::daemon
