// The watcher over the fakes: files and directories that are renamed, exchanged, moved, linked and removed.
#include "watcher/watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/watcher/world.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using testing::World;

TEST(Watcher, FirstBatchOfAnEmptyDirectoryIsEmpty) {
  World world;
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(1));
  EXPECT_THAT(world.listener.batches[0].changes, IsEmpty());
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

TEST(Watcher, WhatAFormerRunHandedOutIsToldAgainOrRemoved) {
  World world;
  world.files.make_directory("d");
  world.files.write("d/same.txt", "1");
  world.files.write("other.txt", "new");
  world.files.write("denied.txt", "1");
  world.files.deny("denied.txt", true);
  for (const char* path : {"d/same.txt", "denied.txt", "gone.txt", "dir/below/gone.txt", "core.o"})
    world.watcher.remember(path, digest_of("1"));
  world.watcher.remember("other.txt", digest_of("old"));
  world.run(seconds(1));
  ASSERT_THAT(world.listener.batches, SizeIs(1)) << "also what is gone belongs to the first batch";
  std::vector<std::string> told;
  for (const FileChange& change : world.listener.batches[0].changes)
    told.push_back((change.removed ? "-" : "+") + change.path);
  EXPECT_THAT(told, ElementsAre("-core.o", "+d/same.txt", "-dir/below/gone.txt", "-gone.txt", "+other.txt"));
  ASSERT_THAT(world.watcher.unpublished(), SizeIs(1));
  EXPECT_EQ(world.watcher.unpublished()[0].path, "denied.txt");
  // Also when it goes later.
  world.files.remove("denied.txt");
  world.run(seconds(1));
  ASSERT_THAT(world.listener.batches, SizeIs(2));
  EXPECT_TRUE(world.listener.batches[1].changes[0].removed);
  EXPECT_THAT(world.watcher.unpublished(), IsEmpty());
}

TEST(Watcher, WhatCannotBeReadIsDoubtfulUntilItCanAgain) {
  World world;
  world.files.write("a.txt", "x");
  world.run();
  world.files.deny("a.txt", true);
  world.files.write("a.txt", "y");
  world.deadline = world.watcher.step(world.now);
  Output output = world.watcher.take_output();
  EXPECT_THAT(output.doubtful, ElementsAre("a.txt"));
  EXPECT_THAT(output.rejections, SizeIs(1));
  world.files.deny("a.txt", false);
  world.files.write("a.txt", "x");
  world.deadline = world.watcher.step(world.now);
  output = world.watcher.take_output();
  ASSERT_THAT(output.batches, SizeIs(1)) << "told although the bytes are those that were handed out";
  EXPECT_THAT(output.batches[0].changes, SizeIs(1));
  EXPECT_THAT(output.doubtful, IsEmpty());
}

// `rm -r` of a directory with many modules made an epoch of each.
TEST(Watcher, FilesRemovedOneAfterTheOtherGoOutTogether) {
  World world;
  for (int i = 0; i < 40; ++i) world.files.write("f" + std::to_string(i), "x");
  world.run();
  for (int i = 0; i < 40; ++i) {
    world.files.remove("f" + std::to_string(i));
    world.run(milliseconds(2));
  }
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_THAT(world.listener.batches, SizeIs(2));
}

TEST(Watcher, RemovalsWaitOnlySoLongForMore) {
  World world;
  for (int i = 0; i < 100; ++i) world.files.write("f" + std::to_string(i), "x");
  world.run();
  for (int i = 0; i < 100; ++i) {
    world.files.remove("f" + std::to_string(i));
    world.run(milliseconds(10));
  }
  EXPECT_GT(world.listener.batches.size(), 2U) << "not until all is over";
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_LE(world.listener.batches.size(), 6U);
}

}  // namespace
}  // namespace moddev::watcher
