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

TEST(Watcher, FirstBatchOfAnEmptyDirectoryIsEmpty) {
  World world;
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(1));
  EXPECT_THAT(world.listener.batches[0].changes, IsEmpty());
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

TEST(Watcher, AMomentWithoutAFileIsNoRemoval) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.files.remove("a.txt");
  world.run(limits::kRemovalGrace / 2);
  world.files.write("a.txt", "new");
  world.run(seconds(2));
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("old", "new"));
  for (const Batch& batch : world.listener.batches)
    for (const FileChange& change : batch.changes) EXPECT_FALSE(change.removed);
}

TEST(Watcher, ARemovedFileIsToldAfterTheGrace) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.files.remove("a.txt");
  world.run(limits::kRemovalGrace - milliseconds(1));
  EXPECT_THAT(world.listener.holds, SizeIs(1));
  world.run(milliseconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_TRUE(world.watcher.idle());
}

TEST(Watcher, ARenameIsOneBatch) {
  World world;
  world.files.write("a.txt", "x");
  world.run();
  world.files.rename("a.txt", "b.txt");
  world.step();
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_THAT(world.listener.batches[1].changes, SizeIs(2));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("b.txt", "x")));
}

TEST(Watcher, AnEditorsBackupRenameIsNoRemoval) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.files.rename("a.txt", "a.txt~");
  world.step();
  world.files.write("a.txt", "new");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("old", "new"));
  EXPECT_THAT(world.listener.batches, SizeIs(2));
}

TEST(Watcher, HalvesOfARenameMayComeApart) {
  World world;
  world.files.write("a.txt", "x");
  world.run();
  world.events.split_renames(true);
  world.files.rename("a.txt", "b.txt");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("b.txt", "x")));
}

TEST(Watcher, ExchangedFilesSwapTheirContent) {
  World world;
  world.files.write("a.txt", "A");
  world.files.write("b.txt", "B");
  world.run();
  world.files.exchange("a.txt", "b.txt");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "B"), Pair("b.txt", "A")));
}

TEST(Watcher, ExchangedDirectoriesSwapTheirContent) {
  World world;
  for (const char* name : {"a", "b"}) {
    world.files.make_directory(name);
    world.files.make_directory(std::string(name) + "/deep");
    world.files.write(std::string(name) + "/deep/f.txt", name);
  }
  world.run();
  world.files.exchange("a", "b");
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.write("a/deep/f.txt", "later");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(Watcher, DirectoriesMovedInOutAndBack) {
  World world;
  world.files.make_directory("d");
  world.files.make_directory("d/e");
  world.files.write("d/e/f.txt", "1");
  world.run();
  world.files.rename("d", "moved");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.write("moved/e/f.txt", "2");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.rename("moved", "d");
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.remove("d");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_EQ(world.events.watch_count(), 1U);
}

TEST(Watcher, NewDirectoriesAreSearchedForWhatWasThereBeforeTheirWatch) {
  World world;
  world.run();
  world.files.make_directory("x");
  world.files.make_directory("x/y");
  world.files.write("x/y/z.txt", "deep");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("x/y/z.txt", "deep")));
}

TEST(Watcher, IgnoredDirectoriesTakeNoWatchAndNoOpen) {
  World world({.debounce = {}, .ignore = {"private/"}, .follow_outside = false});
  for (const char* name : {"CMakeFiles", ".git", "private", "kept"}) {
    world.files.make_directory(name);
    world.files.write(std::string(name) + "/f.txt", "x");
  }
  world.files.write("x.o", "object");
  world.run();
  EXPECT_EQ(world.events.watch_count(), 2U);
  EXPECT_THAT(world.files.opened(), ElementsAre("kept/f.txt"));
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

TEST(Watcher, TheRootMayGoAndComeBack) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.files.remove_root();
  world.run(seconds(5));
  EXPECT_TRUE(world.listener.warned("root-gone"));
  EXPECT_THAT(world.listener.holds, SizeIs(1));  // the last good stays
  world.files.restore_root();
  world.files.make_directory("d");
  world.files.write("d/b.txt", "new");
  world.run(seconds(5));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.write("d/b.txt", "newer");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(Watcher, SymlinksAreFollowedAndMayBeRetargeted) {
  World world;
  world.files.write("v1.txt", "one");
  world.files.write("v2.txt", "two");
  world.files.symlink("v1.txt", "current.txt");
  world.files.symlink("current.txt", "alias.txt");
  world.run();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.remove("current.txt");
  world.files.symlink("v2.txt", "current.txt");
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.write("v2.txt", "three");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  ASSERT_FALSE(world.listener.batches.empty());
  EXPECT_EQ(world.listener.holds["alias.txt"], "three");
}

TEST(Watcher, ASymlinkMayBeMadeBeforeItsTarget) {
  World world;
  world.files.symlink("liba.txt.1", "liba.txt");
  world.files.symlink("d/b.txt", "b.txt");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_TRUE(world.watcher.idle());
  world.files.write("liba.txt.1", "x");
  world.step();
  EXPECT_THAT(world.listener.holds, SizeIs(2));
  world.files.make_directory("d");
  world.files.write("d/b.txt", "y");
  world.run();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(Watcher, ASymlinkThatCameToLeadInCirclesIsNoFileAnyMore) {
  World world;
  world.files.write("b.txt", "x");
  world.files.symlink("b.txt", "a.txt");
  world.run();
  EXPECT_THAT(world.listener.holds, SizeIs(2));
  world.files.remove("b.txt");
  world.files.symlink("a.txt", "b.txt");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
}

TEST(Watcher, ASymlinkToAnIgnoredDirectoryIsWatchedThere) {
  World world;
  world.files.make_directory("CMakeFiles");
  world.files.write("CMakeFiles/real.txt", "one");
  world.files.symlink("CMakeFiles/real.txt", "link.txt");
  world.run();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("link.txt", "one")));
  world.files.write("CMakeFiles/real.txt", "two");
  world.step();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("link.txt", "two")));
}

TEST(Watcher, SymlinksThatLeadOutsideAreRefusedUnlessAllowed) {
  World refusing;
  refusing.files.write_outside("/elsewhere/lib.txt", "x");
  refusing.files.symlink("/elsewhere/lib.txt", "lib.txt");
  refusing.run(seconds(1));
  EXPECT_THAT(refusing.listener.holds, IsEmpty());
  ASSERT_THAT(refusing.listener.rejections, SizeIs(1));
  EXPECT_THAT(refusing.listener.rejections[0].reason, HasSubstr("/elsewhere/lib.txt"));

  World allowing({.debounce = {}, .ignore = {}, .follow_outside = true});
  allowing.files.write_outside("/elsewhere/lib.txt", "x");
  allowing.files.symlink("/elsewhere/lib.txt", "lib.txt");
  allowing.run();
  EXPECT_THAT(allowing.listener.holds, ElementsAre(Pair("lib.txt", "x")));
  allowing.files.write_outside("/elsewhere/lib.txt", "y");
  allowing.step();
  EXPECT_THAT(allowing.listener.holds, ElementsAre(Pair("lib.txt", "y")));
}

TEST(Watcher, WithoutWatchesDirectoriesArePolled) {
  World world;
  world.events.set_watch_limit(2);
  world.files.make_directory("a");
  world.files.make_directory("b");
  world.files.make_directory("c");
  world.run();
  ASSERT_THAT(world.listener.warnings, SizeIs(1));
  EXPECT_EQ(world.listener.warnings[0].code, "watch-limit");
  EXPECT_THAT(world.listener.warnings[0].message, HasSubstr("2 of 4"));
  for (const char* path : {"a/f.txt", "b/f.txt", "c/f.txt"}) world.files.write(path, "x");
  world.run(2 * limits::kUnwatchedPoll);
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  // The limit is raised while we run.
  world.events.set_watch_limit(10);
  world.run(2 * limits::kUnwatchedPoll);
  world.files.write("c/f.txt", "y");
  world.step();
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(Watcher, ASyncReturnsWhenAllThatWasOnDiskIsTold) {
  World world;
  world.files.write("a.txt", "old");
  world.run();
  world.events.lose = [](const WatchEvent&) { return true; };
  world.advance(seconds(1));
  world.files.write("a.txt", "new");
  const std::uint64_t id = world.watcher.request_sync();
  world.run(limits::kCookiePatience);
  EXPECT_THAT(world.listener.synced, ElementsAre(id));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "new")));
}

TEST(Watcher, ASyncIsImmediateWhenEventsCome) {
  World world;
  world.run();
  world.files.write("a.txt", "new");
  const std::uint64_t id = world.watcher.request_sync();
  world.run();
  EXPECT_THAT(world.listener.synced, ElementsAre(id));
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "new")));
  EXPECT_THAT(world.files.all_files(), SizeIs(1));  // the cookie is gone
}

TEST(Watcher, ASyncDoesNotWaitForeverForAWriter) {
  World world;
  world.run();
  (void)world.files.begin_write("endless.txt");
  const std::uint64_t id = world.watcher.request_sync();
  world.run(limits::kSyncWriterPatience + milliseconds(10));
  EXPECT_THAT(world.listener.synced, ElementsAre(id));
}

TEST(Watcher, ASyncWorksWhereNoCookieCanBeMade) {
  World world;
  world.run();
  world.files.refuse_cookies(true);
  const std::uint64_t id = world.watcher.request_sync();
  world.run();
  EXPECT_THAT(world.listener.synced, ElementsAre(id));
}

TEST(Watcher, ASuccessfulBuildIsOneBatch) {
  World world;
  world.run();
  const std::uint64_t build = world.watcher.begin_build(world.now);
  for (int i = 0; i < 50; ++i) {
    world.files.write("lib" + std::to_string(i) + ".txt", "x");
    world.run(milliseconds(100));
  }
  EXPECT_THAT(world.listener.batches, SizeIs(1));
  world.watcher.end_build(build, true);
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_THAT(world.listener.batches[1].changes, SizeIs(50));
}

TEST(Watcher, AFailedBuildIsNoBatchUntilTheNextGoodOne) {
  World world;
  world.run();
  std::uint64_t build = world.watcher.begin_build(world.now);
  world.files.write("a.txt", "half of a build");
  world.watcher.end_build(build, false);
  world.run(seconds(200));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  build = world.watcher.begin_build(world.now);
  world.files.write("b.txt", "the other half");
  world.watcher.end_build(build, true);
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_THAT(world.listener.batches[1].changes, SizeIs(2));
}

TEST(Watcher, WhatAFailedBuildLeftGoesOutWhenItIsWrittenAgain) {
  World world;
  world.run();
  const std::uint64_t build = world.watcher.begin_build(world.now);
  world.files.write("a.txt", "x");
  world.watcher.end_build(build, false);
  world.run(seconds(1));
  world.files.write("a.txt", "x");
  world.run();
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "x")));
}

TEST(Watcher, AnAbandonedBuildIsReleasedWithAWarning) {
  World world;
  world.run();
  const std::uint64_t build = world.watcher.begin_build(world.now);
  world.files.write("a.txt", "x");
  world.run(limits::kBuildBarrierLimit / 2);
  world.watcher.renew_build(build, world.now);
  world.run(limits::kBuildBarrierLimit - milliseconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  world.run(milliseconds(1));
  EXPECT_THAT(world.listener.holds, SizeIs(1));
  EXPECT_TRUE(world.listener.warned("build-abandoned"));
}

TEST(Watcher, ASyncWaitsForTheBuildWithoutSpinning) {
  World world;
  world.run();
  const std::uint64_t build = world.watcher.begin_build(world.now);
  const std::uint64_t id = world.watcher.request_sync();
  world.run(seconds(5));
  EXPECT_THAT(world.listener.synced, IsEmpty());
  world.watcher.end_build(build, true);
  world.run();
  EXPECT_THAT(world.listener.synced, ElementsAre(id));
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

TEST(Watcher, AFileMayBecomeADirectoryAndBack) {
  World world;
  world.files.write("x", "file");
  world.run();
  world.files.remove("x");
  world.files.make_directory("x");
  world.files.write("x/y.txt", "inside");
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  world.files.remove("x");
  world.files.write("x", "file again");
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

}  // namespace
}  // namespace moddev::watcher
