// What was refused: kept away from everyone, remembered, and tried again when there is a reason to.
#include "tests/support/world/tiny_library.h"
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

TEST_F(DaemonTest, OneRefusalKeepsEveryoneOnTheLastGoodEpochAndTheFixCarriesOn) {
  add("good");
  Executor& bad = add("bad");
  write({{"m", "1"}});
  bad.refuses = true;
  write({{"m", "broken"}});
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(journal->committed().epoch, 1U);
  EXPECT_EQ(executors[0]->runs, 1U);
  ASSERT_EQ(all<AbortedEvent>().size(), 1U);
  EXPECT_EQ(all<AbortedEvent>()[0].failures,
            (std::vector<ExecutorFailure>{{"bad", "m", "undefined symbol"}}));
  EXPECT_EQ(journal->epoch(2)->state, EpochState::kAborted);
  bad.refuses = false;
  write({{"m", "fixed"}});
  EXPECT_EQ(journal->committed().epoch, 3U);
  EXPECT_EQ(journal->committed().find("m")->version, 3U);
  EXPECT_EQ(journal->epoch(3)->base, 1U);
  EXPECT_EQ(executors[0]->runs, 3U);
  EXPECT_EQ(bad.runs, 3U);
}

TEST_F(DaemonTest, TheManifestOfARefusedEpochSaysSo) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  settle();
  executor.refuses = true;
  write({{"m", "2"}});
  settle();
  pass(seconds(1));
  executor.refuses = false;
  write({{"m", "3"}});
  settle();
  pass(seconds(1));
  for (const auto& [epoch, aborted] : std::map<Epoch, bool>{{1, false}, {2, true}, {3, false}}) {
    executor.ask(ManifestRequest{epoch});
    settle();
    ASSERT_TRUE(executor.last<ManifestReply>());
    EXPECT_EQ(executor.last<ManifestReply>()->manifest.epoch, epoch);
    EXPECT_EQ(executor.last<ManifestReply>()->aborted, aborted) << epoch;
  }
}

TEST_F(DaemonTest, RefusedContentIsNotTriedAgainAsLongAsTheRefuserIsThere) {
  Executor& bad = add("bad");
  write({{"m", "1"}});
  bad.refuses = true;
  write({{"m", "broken"}});
  add("another");
  write({{"m", "broken"}});
  pass(seconds(5));
  EXPECT_EQ(journal->head(), 2U);
}

TEST_F(DaemonTest, RefusedContentIsTriedAgainWhenTheRefuserIsGone) {
  Executor& bad = add("bad");
  add("good");
  write({{"m", "1"}});
  bad.refuses = true;
  write({{"m", "other"}});
  EXPECT_EQ(journal->committed().epoch, 1U);
  bad.leave();
  bad.mute = true;
  settle();
  pass(milliseconds(900));
  EXPECT_EQ(journal->committed().epoch, 1U);
  pass(milliseconds(200));
  EXPECT_EQ(journal->committed().epoch, 3U);
  EXPECT_EQ(journal->committed().find("m")->version, 2U) << "the same bytes keep their version";
}

// The only executor was away for longer than its lease, came back as the same process, and was never asked
// again: it had been written down as one who refused. Found by the simulation.
TEST_F(DaemonTest, WhoWasSilentAndComesBackIsAskedAgain) {
  Executor& away = add("away");
  write({{"m", "1"}});
  away.mute = true;
  write({{"m", "2"}});
  pass(seconds(4));
  ASSERT_EQ(all<AbortedEvent>().size(), 1U);
  away.mute = false;
  away.join();
  settle();
  pass(seconds(2));
  EXPECT_EQ(journal->committed().find("m")->version, 2U);
  EXPECT_EQ(away.runs, journal->committed().epoch);
}

TEST_F(DaemonTest, ContentThatKillsEveryoneIsTriedOnlySoOften) {
  write({{"m", "1"}});
  unsigned deaths = 0;
  Executor* victim = &add("victim");
  victim->mute = true;
  write({{"m", "deadly"}});
  for (int lives = 0; lives < 10; ++lives) {
    const std::size_t before = all<AbortedEvent>().size();
    pass(seconds(6));
    deaths += all<AbortedEvent>().size() > before ? 1 : 0;
    victim = &add("victim");  // a supervisor starts it again
    victim->mute = true;
  }
  EXPECT_EQ(deaths, 1 + limits::kRefusedRetries);
  EXPECT_EQ(journal->committed().epoch, 1U);
}

TEST_F(DaemonTest, ARefreshTriesRefusedContentAgain) {
  Executor& executor = add("w");
  executor.refuses = true;
  write({{"m", "1"}});
  EXPECT_EQ(journal->committed().epoch, 0U);
  executor.refuses = false;
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_EQ(journal->committed().epoch, 2U);
  EXPECT_EQ(executor.last<RefreshReply>(), (RefreshReply{2, 2}));
}

TEST_F(DaemonTest, WhoGoesBackToWhatIsLiveHearsNoMoreOfTheRefusal) {
  Executor& executor = add("w");
  write({{"m", "good"}});
  executor.refuses = true;
  write({{"m", "bad"}});
  write({{"m", "good"}});
  EXPECT_EQ(std::get<RefreshReply>(ask(executor, RefreshRequest{})), (RefreshReply{1, 1}));
  EXPECT_EQ(journal->head(), 2U);
  // The same mistake again is told again.
  write({{"m", "bad"}});
  EXPECT_EQ(all<AbortedEvent>().size(), 2U);
}

// What was refused was proposed again although nobody had it on disk any more.
TEST_F(DaemonTest, RefusedContentWhoseFileIsNoLibraryAnyMoreIsNotTriedAgain) {
  Executor& executor = add("w");
  write({{"libm.so", sim::build({"", {}, "good"})}});
  executor.refuses = true;
  write({{"libm.so", sim::build({"", {}, "bad"})}});
  ASSERT_EQ(journal->head(), 2U);
  write({{"libm.so", "junk"}});
  const auto reply = std::get<RefreshReply>(ask(executor, RefreshRequest{}));
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(reply.epoch, 1U);
  EXPECT_EQ(reply.committed_epoch, 1U);
  ASSERT_EQ(reply.unpublished.size(), 1U);
  EXPECT_EQ(reply.unpublished[0].path, "libm.so");
  EXPECT_EQ(reply.unpublished_files, 1U);
}

// Restarted while a file could not be read, the daemon removed its module from every executor.
TEST_F(DaemonTest, AModuleWhoseFileCannotBeUsedAfterARestartStays) {
  Executor& executor = add("w");
  write({{"a", "1"}, {"b", "1"}, {"libm.so", sim::build({"", {}, "good"})}});
  ASSERT_EQ(journal->committed().modules.size(), 3U);
  daemon.reset();
  std::map<std::string, std::string> found = {{"libm.so", "junk"}};
  feed.change_unseen(blobs, found);
  feed.unreadable = {"a"};
  start();
  feed.restart(now);
  settle();
  executor.join();
  pass(seconds(2));
  EXPECT_EQ(journal->committed().epoch, 2U);
  EXPECT_EQ(journal->committed().find("b"), nullptr) << "what is gone is removed";
  ASSERT_NE(journal->committed().find("a"), nullptr);
  ASSERT_NE(journal->committed().find("m"), nullptr);
  EXPECT_EQ(journal->committed().find("m")->version, 1U);
  // Removed while this run never published it.
  feed.output.batches.push_back({{{"a", "a", true, {}, 0, now}, {"libm.so", "libm.so", true, {}, 0, now}}});
  settle();
  EXPECT_TRUE(journal->committed().modules.empty());
}

}  // namespace
}  // namespace moddev::daemon
