// The watcher over the fakes: what goes out, when, and what never does.
#include "watcher/watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/watcher/world.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using testing::World;

TEST(Watcher, FirstScanEndsInOneBatchWithEveryFile) {
  World world;
  world.files.make_directory("sub");
  world.files.write("a.txt", "one");
  world.files.write("sub/b.txt", "two");
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(1));
  EXPECT_THAT(world.listener.holds, UnorderedElementsAre(Pair("a.txt", "one"), Pair("sub/b.txt", "two")));
  EXPECT_TRUE(world.watcher.idle());
}

TEST(Watcher, ALoneFinishedFileGoesOutInTheStepThatReadsItsEvent) {
  World world;
  world.run();
  world.files.write("a.txt", "new");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "new")));
  world.files.replace("a.txt", "newer");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "newer")));
  EXPECT_TRUE(world.watcher.idle());
}

TEST(Watcher, TheSameBytesAreNoChange) {
  World world;
  world.files.write("a.txt", "same");
  world.run();
  world.advance(seconds(1));
  world.files.write("a.txt", "same");
  world.run(seconds(1));
  world.files.replace("a.txt", "same");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.batches, SizeIs(1));
}

// The bytes stayed lost until they were others.
TEST(Watcher, BytesThatTheStoreLostAreKeptAgain) {
  World world;
  world.files.write("a.txt", "same");
  world.files.write("b.txt", "asked for");
  world.run();
  world.advance(seconds(1));
  ASSERT_TRUE(world.blobs.remove(digest_of("same")));
  ASSERT_TRUE(world.blobs.remove(digest_of("asked for")));
  world.files.write("a.txt", "same");
  world.watcher.read_again("b.txt");
  world.run(seconds(1));
  EXPECT_TRUE(world.blobs.contains(digest_of("same")));
  EXPECT_TRUE(world.blobs.contains(digest_of("asked for")));
  EXPECT_THAT(world.listener.batches, SizeIs(1)) << "for others nothing has changed";
}

TEST(Watcher, AFileThatIsBeingWrittenWaitsForItsWriter) {
  World world;
  world.run();
  const auto writer = world.files.begin_write("a.txt");
  world.files.append(writer, "half");
  world.run(seconds(20));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.files.append(writer, " whole");
  world.step();
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.files.close(writer);
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "half whole")));
}

TEST(Watcher, AWriterThatComesDuringTheCopyBreaksIt) {
  World world;
  world.run();
  bool once = false;
  std::uint64_t writer = 0;
  world.files.before_read = [&](std::uint64_t) {
    if (std::exchange(once, true)) return;
    writer = world.files.begin_write("a.txt", false);
    world.files.store(writer, 0, "X");
  };
  world.files.write("a.txt", "abc");
  world.step();
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.files.store(writer, 1, "YZ");
  world.files.close(writer);
  world.step();
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("XYZ"));
}

TEST(Watcher, TheCloseEventOfAWriterMayGetLost) {
  World world;
  world.run();
  const auto writer = world.files.begin_write("a.txt");
  world.files.append(writer, "done");
  world.run();
  world.events.lose = [](const WatchEvent&) { return true; };
  world.files.close(writer);
  world.run(seconds(5));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "done")));
}

TEST(Watcher, WhatIsStillWrittenHoldsTheOthersBack) {
  World world;
  world.run();
  const auto slow = world.files.begin_write("slow.txt");
  world.files.write("fast.txt", "fast");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.batches, SizeIs(1));
  world.files.append(slow, "slow");
  world.files.close(slow);
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_THAT(world.listener.batches[1].changes, SizeIs(2));
  EXPECT_THAT(world.listener.warnings, IsEmpty());
}

TEST(Watcher, HoldingBackEndsAtItsLimitWithAWarning) {
  World world;
  world.run();
  (void)world.files.begin_write("endless.txt");
  world.files.write("fast.txt", "fast");
  world.run(limits::kHoldLimit);
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("fast.txt", "fast")));
  ASSERT_THAT(world.listener.warnings, SizeIs(1));
  EXPECT_EQ(world.listener.warnings[0].code, "still-written");
  EXPECT_THAT(world.listener.warnings[0].message, HasSubstr("'endless.txt'"));
  // It does not do so again.
  world.files.write("fast.txt", "faster");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("fast.txt", "faster")));
}

TEST(Watcher, OverflowIsAnsweredByARescan) {
  World world;
  world.run();
  world.files.write("a.txt", "lost");
  world.files.make_directory("d");
  world.files.write("d/b.txt", "lost too");
  world.events.overflow();
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(Watcher, RescansAfterOverflowsBackOff) {
  World world;
  world.run();
  world.events.overflow();
  world.step();
  world.files.write("a.txt", "x");
  world.events.overflow();
  world.step();
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_EQ(world.deadline, world.now + limits::kOverflowPauseFirst);
  world.run(limits::kOverflowPauseFirst);
  EXPECT_THAT(world.listener.holds, SizeIs(1));
}

TEST(Watcher, TheSlowRescanFindsWhatNoEventTells) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.advance(seconds(1));
  world.files.write_unseen("a.txt", "new");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "old")));
  world.run(limits::kSlowRescan);
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "new")));
}

TEST(Watcher, AnUnseenChangeWithinTheStampsGranularityIsFoundToo) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.files.write_unseen("a.txt", "new");  // same size, same times, same inode
  world.run(limits::kSlowRescan);
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "new")));
  const std::uint64_t opens = world.files.opens();
  world.run(3 * limits::kSlowRescan);
  EXPECT_LE(world.files.opens(), opens + 1);  // once more to be sure, then the times are trusted
}

TEST(Watcher, IdleWakesOnlyForTheSlowRescan) {
  World world;
  world.files.write("a.txt", "x");
  world.run(seconds(10));
  EXPECT_GT(world.deadline - world.now, seconds(60));
}

TEST(Watcher, ARefusedFileIsToldOnceWithItsReason) {
  World world;
  world.run();
  world.files.write("libx.so", std::string(100, '\0'));
  world.run(seconds(30));
  ASSERT_THAT(world.listener.rejections, SizeIs(1));
  EXPECT_EQ(world.listener.rejections[0].path, "libx.so");
  EXPECT_THAT(world.listener.rejections[0].reason, HasSubstr("header"));
  world.files.write("libx.so", std::string(200, '\0'));
  world.run(seconds(30));
  EXPECT_THAT(world.listener.rejections, SizeIs(1));
  EXPECT_TRUE(world.watcher.idle());
  EXPECT_THAT(world.listener.holds, IsEmpty());
}

TEST(Watcher, ATornFileKeepsTheLastGoodContent) {
  World world;
  world.files.write("libx.so", "!<script> good");
  world.run();
  world.files.write("libx.so", std::string(100, '\0'));
  world.run(seconds(30));
  EXPECT_THAT(world.listener.history["libx.so"], SizeIs(1));
  world.files.write("libx.so", "!<script> better");
  world.step();
  EXPECT_THAT(world.listener.history["libx.so"], SizeIs(2));
}

TEST(Watcher, AnEmptyFileWaitsForItsWriterToComeBack) {
  World world;
  world.run();
  world.files.write("a.txt", "");
  world.run(limits::kEmptyQuiet / 2);
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.files.write("a.txt", "content");
  world.step();
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("content"));
  world.files.write("empty.txt", "");
  world.run(limits::kEmptyQuiet);
  EXPECT_EQ(world.listener.holds["empty.txt"], "");
  EXPECT_THAT(world.listener.history["empty.txt"], SizeIs(1));
}

TEST(Watcher, WithoutLeasesTheSameIsSeenTwiceAndAPersonIsTold) {
  World world;
  world.files.grant_leases(false);
  world.run();
  world.files.write("a.txt", "x");
  world.files.write("b.txt", "y");
  world.run(limits::kFallbackQuiet - milliseconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.run(milliseconds(1));
  EXPECT_THAT(world.listener.holds, SizeIs(2));
  ASSERT_THAT(world.listener.warnings, SizeIs(1));
  EXPECT_EQ(world.listener.warnings[0].code, "no-lease");
  EXPECT_THAT(world.listener.warnings[0].message, HasSubstr("the fake grants no lease"));
}

TEST(Watcher, WithoutLeasesAChangeBetweenTheLooksStartsTheQuietTimeAnew) {
  World world;
  world.files.grant_leases(false);
  world.run();
  world.files.write("a.txt", "one");
  world.run(limits::kFallbackQuiet / 2);
  world.files.write_unseen("a.txt", "two");
  world.run(limits::kFallbackQuiet);
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.run(limits::kFallbackQuiet);
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("two"));
}

TEST(Watcher, ABurstOfSavesEndsOnTheLastContent) {
  World world;
  world.run();
  int saves = 0;
  // Somebody saves again whenever the file is being read.
  world.files.before_read = [&](std::uint64_t) {
    if (++saves <= 5) world.files.replace("a.txt", "save " + std::to_string(saves));
  };
  world.files.write("a.txt", "save 0");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("save 5"));
}

TEST(Watcher, ManyFilesWrittenOneAfterTheOtherGoOutTogether) {
  World world;
  world.run();
  const int count = 200;
  for (int i = 0; i < count; ++i) {
    world.files.write("f" + std::to_string(i) + ".txt", "x");
    world.run(microseconds(500));
  }
  world.run(limits::kBurstQuiet);
  EXPECT_THAT(world.listener.holds, SizeIs(count));
  EXPECT_LE(world.listener.batches.size(), 1 + limits::kBurstFiles + 1);
}

TEST(Watcher, AFewFilesSavedAgainAndAgainAreNeverHeld) {
  World world;
  world.run();
  for (int i = 0; i < 100; ++i) {
    const std::string path = "f" + std::to_string(i % 4) + ".txt";
    world.files.write(path, std::to_string(i));
    world.step();
    EXPECT_EQ(world.listener.holds[path], std::to_string(i));
    world.run(milliseconds(1));
  }
}

TEST(Watcher, ACloseThatIsToldBeforeTheWriterIsGoneCostsAMomentOnly) {
  World world;
  world.run();
  const auto writer = world.files.begin_write("a.txt");
  world.files.append(writer, "x");
  world.run();
  world.events.inject({WatchEvent::Kind::kClosedWrite, "a.txt", {}});
  world.run();
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.events.lose = [](const WatchEvent&) { return true; };  // it was told already
  world.files.close(writer);
  world.run(2 * limits::kClosedRetryFirst);
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "x")));
}

TEST(Watcher, DebounceWaitsForQuiet) {
  World world({.debounce = milliseconds(100), .ignore = {}, .follow_outside = false});
  world.run();
  world.files.write("a.txt", "1");
  world.run(milliseconds(60));
  world.files.write("a.txt", "2");
  world.run(milliseconds(60));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.run(milliseconds(40));
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("2"));
}

TEST(Watcher, ALargeFileIsCopiedInPiecesUnderOneLease) {
  World world;
  world.run();
  const std::string large(3 * limits::kStepBytes + 17, 'x');
  world.files.write("large.bin", large);
  world.files.write("small.txt", "s");
  world.step();
  EXPECT_EQ(world.deadline, world.now);
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_EQ(world.listener.holds["large.bin"], large);
}

TEST(Watcher, AWriterThatComesBetweenThePiecesBreaksTheCopy) {
  World world;
  world.run();
  world.files.write("large.bin", std::string(3 * limits::kStepBytes, 'x'));
  world.step();
  const auto writer = world.files.begin_write("large.bin", false);
  world.files.store(writer, 0, "y");
  world.files.store(writer, 3 * limits::kStepBytes - 1, "y");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.files.close(writer);
  world.run();
  EXPECT_THAT(world.listener.history["large.bin"], SizeIs(1));
}

TEST(Watcher, AFileThatVanishesBetweenEventAndOpenIsForgotten) {
  World world;
  world.run();
  world.files.write("a.txt", "x");
  world.files.before_open = [&](const std::string&) {
    world.files.before_open = nullptr;
    world.files.remove("a.txt");
  };
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_TRUE(world.watcher.idle());
}

TEST(Watcher, AFileThatIsReplacedDuringTheCopyIsReadAgain) {
  World world;
  world.run();
  bool once = false;
  world.files.before_read = [&](std::uint64_t) {
    if (!std::exchange(once, true)) world.files.replace("a.txt", "new");
  };
  world.files.write("a.txt", "old");
  world.step();
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("new"));
}

TEST(Watcher, UnreadableFilesAreToldAndReadWhenTheyCanBe) {
  World world;
  world.files.write("a.txt", "x");
  world.files.deny("a.txt", true);
  world.run();
  ASSERT_THAT(world.listener.rejections, SizeIs(1));
  world.files.deny("a.txt", false);
  world.step();
  EXPECT_THAT(world.listener.holds, SizeIs(1));
}

TEST(Watcher, ReadErrorsAreTriedAgain) {
  World world;
  world.run();
  world.files.fail_opens(3);
  world.files.write("a.txt", "x");
  world.run(seconds(5));
  EXPECT_THAT(world.listener.holds, SizeIs(1));
  EXPECT_THAT(world.listener.rejections, SizeIs(1));
}

TEST(Watcher, AChangeOfModeCostsNoCopy) {
  World world;
  world.files.write("a.txt", "x");
  world.run();
  const std::uint64_t opens = world.files.opens();
  world.advance(seconds(1));
  world.files.change_mode("a.txt", true);
  world.step();
  EXPECT_EQ(world.files.opens(), opens);
}

/// Tells of writing as inotify does: that somebody has the file open.
class TellsOfWriting final : public EventSource {
 public:
  explicit TellsOfWriting(EventSource& events) : events_(events) {}
  Status watch_directory(const std::string& path) override { return events_.watch_directory(path); }
  void unwatch_directory(const std::string& path) override { events_.unwatch_directory(path); }
  std::vector<WatchEvent> read(TimePoint now) override {
    std::vector<WatchEvent> read = events_.read(now);
    for (WatchEvent& event : read) {
      if (event.kind == WatchEvent::Kind::kChanged) event.kind = WatchEvent::Kind::kWritten;
    }
    return read;
  }
  [[nodiscard]] TimePoint next_poll() const override { return events_.next_poll(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return events_.descriptors(); }
  [[nodiscard]] std::string name() const override { return events_.name(); }

 private:
  EventSource& events_;
};

// Each file that was written in place was opened two or three times, first while its writer had it open.
TEST(Watcher, WhatIsBeingWrittenIsLookedAtWhenItIsClosed) {
  testing::FakeFileSystem files;
  testing::FakeEventSource fake(files);
  TellsOfWriting events(fake);
  MemoryBlobStore blobs;
  Watcher watcher({}, files, events, blobs);
  testing::Listener listener(blobs);
  TimePoint now{seconds(1)};
  const auto step = [&] {
    const TimePoint due = watcher.step(now);
    listener.take(watcher.take_output());
    return due;
  };
  step();
  const auto writer = files.begin_write("a.txt");
  files.append(writer, "x");
  step();
  EXPECT_EQ(files.opens(), 0U);
  files.close(writer);
  step();
  EXPECT_EQ(files.opens(), 1U);
  EXPECT_EQ(listener.holds, files.all_files());
  // Nobody closes anything: it is looked at after a moment.
  files.truncate("a.txt", 1);
  files.hard_link("a.txt", "b.txt");
  EXPECT_EQ(step(), now + limits::kCloseExpected);
  now += limits::kCloseExpected;
  files.advance_time(Duration(limits::kCloseExpected).count());
  step();
  EXPECT_EQ(listener.holds, files.all_files());
}

}  // namespace
}  // namespace moddev::watcher
