#include "daemon/retention.h"

#include <gtest/gtest.h>

#include "daemon/daemon.h"
#include "daemon/housekeeping.h"
#include "tests/support/service/fake_transport.h"
#include "tests/support/service/scripted_feed.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Retention, ByEpochsItGoesToTheLimitOnceATenthIsOver) {
  const RetentionOptions options{100, 1'000, true};
  EXPECT_EQ(forget_until(options, {0, 110, 109, {}}), 0U);
  EXPECT_EQ(forget_until(options, {0, 111, 110, {}}), 11U);
  EXPECT_EQ(forget_until(options, {40, 150, 149, {}}), 40U);
  EXPECT_EQ(forget_until(options, {40, 151, 150, {}}), 51U);
}

TEST(Retention, ByBytesTheOldestGoFirstAndWhatIsUsedStays) {
  const RetentionOptions options{100, 1'000, true};
  const std::vector<BlobUse> blobs{{300, 7}, {300, 3}, {300, kStillUsed}, {300, 5}};
  EXPECT_EQ(forget_until(options, {0, 9, 8, blobs}), 3U) << "1,200 bytes, and 900 after the first";
  EXPECT_EQ(forget_until({100, 1'200}, {0, 9, 8, blobs}), 0U) << "as many as are allowed";
  EXPECT_EQ(forget_until({100, 10}, {0, 9, 8, blobs}), 7U) << "what is still used cannot go";
}

TEST(Retention, TheWayBackByOneIsNeverForgotten) {
  EXPECT_EQ(forget_until({2, 1}, {0, 50, 0, {}}), 0U) << "nothing was committed before";
  EXPECT_EQ(forget_until({2, 1}, {0, 50, 30, {}}), 29U) << "since then everything was refused";
  EXPECT_EQ(forget_until({100, 1}, {10, 50, 49, {{500, 50}}}), 48U);
  EXPECT_EQ(forget_until({2, 1}, {29, 50, 30, {}}), 29U);
}

TEST(Retention, TheJournalTellsWhenABlobWasReplaced) {
  const auto journal = testing::open_journal(":memory:");
  using testing::content;
  testing::commit(*journal, {{"a", content("1")}, {"b", content("22")}});
  testing::commit(*journal, {{"a", content("333")}, {"b", content("22")}});
  testing::abort(*journal, {{"a", content("4444")}, {"b", content("22")}});
  testing::commit(*journal, {{"a", content("333")}});
  const auto expect = [&](std::map<std::uint64_t, Epoch> wanted) {
    const auto history = journal->retained();
    ASSERT_TRUE(history.ok()) << history.error().message;
    EXPECT_EQ(history->head, 4U);
    EXPECT_EQ(history->before_committed, 2U);
    std::map<std::uint64_t, Epoch> found;
    for (const BlobUse& blob : history->blobs) found[blob.size] = blob.until;
    EXPECT_EQ(found, wanted);
  };
  expect({{1, 2}, {2, 4}, {3, kStillUsed}, {4, 3}});
  ASSERT_TRUE(journal->forget(2, {}));
  expect({{2, 4}, {3, kStillUsed}, {4, 3}});
  ASSERT_TRUE(journal->forget(3, {}));
  expect({{2, 4}, {3, kStillUsed}});
}

// ------------------------------------------------------------------------------------- the whole daemon

class HousekeepingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    executor = transport.connect();
    start();
  }
  void start() {
    DaemonOptions options;
    options.retention = {10, 1'000'000, own_blobs};
    daemon = std::make_unique<Daemon>(options, feed, blobs, *journal, transport);
  }
  void settle() {
    TimePoint due = kNever;
    for (int turn = 0; turn < 500; ++turn) {
      due = daemon->step(now, WallTime(now.time_since_epoch()));
      for (DaemonEvent& event : daemon->take_events()) {
        if (auto* warning = std::get_if<WarningEvent>(&event)) warnings.push_back(warning->code);
      }
      if (due > now) return;
    }
    FAIL() << "never comes to rest";
  }
  void write(const std::map<std::string, std::string>& files) {
    feed.write(blobs, files, now);
    settle();
  }
  void versions(int from, int to) {
    for (int i = from; i <= to; ++i) write({{"m", "version " + std::to_string(i)}, {"stays", "s"}});
  }
  void pass(Duration time) {
    for (const TimePoint end = now + time; now < end; now += milliseconds(250)) settle();
  }
  [[nodiscard]] std::size_t count() { return blobs.list()->size(); }
  [[nodiscard]] bool kept(const std::string& bytes) { return blobs.contains(digest_of(bytes)); }

  bool own_blobs = true;
  TimePoint now{seconds(1'000)};
  testing::ScriptedFeed feed;
  MemoryBlobStore blobs;
  testing::FakeTransport transport;
  std::unique_ptr<Journal> journal = testing::open_journal(":memory:");
  std::unique_ptr<Daemon> daemon;
  std::unique_ptr<Link> executor;
  std::vector<std::string> warnings;
};

TEST_F(HousekeepingTest, TheOldestEpochsAndTheirBytesGoWhenThereIsTime) {
  versions(1, 40);
  EXPECT_EQ(journal->forgotten(), 0U) << "not while there is something to do";
  EXPECT_EQ(count(), 41U);
  pass(seconds(4));
  EXPECT_EQ(journal->forgotten(), 30U);
  EXPECT_EQ(count(), 12U) << "ten, the one that they lead on from, and the module that never changed";
  EXPECT_TRUE(kept("version 30"));
  EXPECT_FALSE(kept("version 29"));
  EXPECT_TRUE(kept("s"));
  EXPECT_TRUE(warnings.empty());
  // It goes on from there.
  versions(41, 45);
  pass(seconds(4));
  EXPECT_EQ(journal->forgotten(), 30U) << "looked at only so often";
  versions(46, 60);
  pass(seconds(4));
  EXPECT_EQ(journal->forgotten(), 50U);
  EXPECT_EQ(journal->committed().find("m")->version, 60U);
}

TEST_F(HousekeepingTest, WhatIsPinnedOrHeldStays) {
  const ExecutorIdentity identity{Uuid::random(), "worker", "host", 1};
  versions(1, 5);
  executor->send({1, RollbackRequest{"m", 2, Uuid::random()}});
  settle();
  ASSERT_EQ(journal->holds().size(), 1U);
  // Held all along, while another module goes on.
  for (int i = 0; i < 40; ++i) write({{"m", "version 5"}, {"stays", "s"}, {"n", std::to_string(i)}});
  executor->send({2, JoinRequest{identity, journal->id().repo, journal->committed().epoch}});
  executor->send(
      {3, AliveRequest{identity.id, ExecutorState::kLive, journal->committed().epoch, {{7, 10, 1}}, 0}});
  pass(seconds(2) + milliseconds(500));
  EXPECT_GT(journal->forgotten(), 30U);
  EXPECT_TRUE(kept("version 2"));
  EXPECT_TRUE(kept("version 5")) << "it is in the directory";
  EXPECT_FALSE(kept("version 3"));
  EXPECT_TRUE(kept("0")) << "epoch 7 is pinned";
  EXPECT_FALSE(kept("1"));
  EXPECT_TRUE(journal->manifest(7).ok());
}

TEST_F(HousekeepingTest, NothingIsRemovedWhileBytesWaitToBePublished) {
  versions(1, 3);
  const std::string stray = "never announced";
  ASSERT_TRUE(blobs.put(digest_of(stray), std::as_bytes(std::span(stray.data(), stray.size()))));
  feed.holding_back = true;
  pass(seconds(10));
  EXPECT_TRUE(kept(stray));
  feed.holding_back = false;
  pass(seconds(5));
  EXPECT_FALSE(kept(stray)) << "of content that was never announced nothing is left";
  EXPECT_TRUE(kept("version 1")) << "what the history has is kept";
}

TEST_F(HousekeepingTest, FromAStoreOfOthersNothingIsRemoved) {
  own_blobs = false;
  start();
  versions(1, 40);
  pass(seconds(4));
  EXPECT_EQ(journal->forgotten(), 30U);
  EXPECT_EQ(count(), 41U);
}

TEST_F(HousekeepingTest, AnIdleDaemonIsNotWoken) {
  versions(1, 3);
  pass(seconds(10));
  // The heartbeat and nothing else.
  int steps = 0;
  for (const TimePoint end = now + seconds(10); now < end; ++steps) {
    now = std::max(daemon->step(now, WallTime(now.time_since_epoch())), now + milliseconds(1));
  }
  EXPECT_LE(steps, 22);
}

TEST_F(HousekeepingTest, ManyBlobsGoInSmallPieces) {
  for (int i = 0; i < 300; ++i) {
    const std::string stray = "stray " + std::to_string(i);
    ASSERT_TRUE(blobs.put(digest_of(stray), std::as_bytes(std::span(stray.data(), stray.size()))));
  }
  write({{"m", "1"}});
  now += seconds(3);
  std::size_t before = count();
  EXPECT_EQ(before, 301U);
  for (int step = 0; step < 20 && before > 1; ++step) {
    daemon->step(now, WallTime(now.time_since_epoch()));
    EXPECT_LE(before - count(), limits::kRemovalsPerStep);
    before = count();
  }
  EXPECT_EQ(count(), 1U);
}

}  // namespace
}  // namespace moddev::daemon
