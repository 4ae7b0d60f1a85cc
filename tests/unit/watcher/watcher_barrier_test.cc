// The watcher over the fakes: builds that hold everything back, and syncs that wait for everything.
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
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using testing::World;

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

/// The files that are told to be unpublished.
std::vector<std::string> unpublished(const World& world) {
  std::vector<std::string> paths;
  for (const Unpublished& file : world.watcher.unpublished()) paths.push_back(file.path);
  return paths;
}

TEST(Watcher, WhatIsNotPublishedIsNamedWithItsReason) {
  World world;
  world.files.write("denied.txt", "x");
  world.files.deny("denied.txt", true);
  const auto writer = world.files.begin_write("open.txt");
  world.files.append(writer, "half");
  world.run(seconds(4));
  EXPECT_THAT(unpublished(world), ElementsAre("denied.txt", "open.txt"));
  EXPECT_EQ(world.watcher.unpublished()[0].why, Unpublished::Why::kRefused);
  EXPECT_EQ(world.watcher.unpublished()[1].why, Unpublished::Why::kWriting);
  world.files.close(writer);
  world.files.remove("denied.txt");
  world.run(seconds(1));
  EXPECT_THAT(unpublished(world), IsEmpty());
  world.files.remove_root();
  world.run(seconds(1));
  EXPECT_THAT(unpublished(world), ElementsAre("."));
  EXPECT_EQ(world.watcher.unpublished()[0].why, Unpublished::Why::kFailed);
}

// A sync passed over what had failed a moment before, and so `moddev refresh` called it published.
TEST(Watcher, ASyncTriesWhatFailedOnceMore) {
  World world;
  world.run();
  world.files.fail_opens(1'000'000);
  world.files.write("a.txt", "x");
  world.run(seconds(60));
  EXPECT_THAT(unpublished(world), ElementsAre("a.txt"));
  const std::uint64_t first = world.watcher.request_sync();
  world.run(milliseconds(100));
  EXPECT_THAT(world.listener.synced, ElementsAre(first));
  EXPECT_THAT(unpublished(world), ElementsAre("a.txt"));
  world.files.fail_opens(0);
  const std::uint64_t second = world.watcher.request_sync();
  world.run(milliseconds(100));
  EXPECT_THAT(world.listener.synced, ElementsAre(first, second));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  EXPECT_THAT(unpublished(world), IsEmpty());
}

TEST(Watcher, ABuildOfWhichAFileCannotBeReadGoesOutWholeOrNotAtAll) {
  World world;
  world.run();
  const std::uint64_t build = world.watcher.begin_build(world.now);
  world.files.write("a.txt", "a");
  world.files.write("b.txt", "b");
  world.step();
  world.files.fail_opens(1'000'000);
  world.files.write("c.txt", "c");
  world.step();
  world.watcher.end_build(build, true);
  world.run(seconds(4));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  EXPECT_TRUE(world.listener.warned("build-incomplete"));
  EXPECT_THAT(unpublished(world), ElementsAre("a.txt", "b.txt", "c.txt"));
  // Not even a sync takes a part of it.
  (void)world.watcher.request_sync();
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
  const std::size_t before = world.listener.batches.size();
  world.files.fail_opens(0);
  world.run(limits::kFailureRetryLast + seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
  EXPECT_THAT(world.listener.batches, SizeIs(before + 1)) << "together";
  EXPECT_THAT(unpublished(world), IsEmpty());
}

}  // namespace
}  // namespace moddev::watcher
