// What every FileSystem and every EventSource must do, whatever is behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/bytes.h"
#include "tests/contract/watcher/disk.h"

namespace moddev::watcher {
namespace {

using Kind = WatchEvent::Kind;
using testing::Disk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::make_disk;
using ::testing::UnorderedElementsAre;

std::string name_of(const ::testing::TestParamInfo<const char*>& kind) {
  return kind.param;
}

// --------------------------------------------------------------------------------------------- FileSystem

class FileSystemContract : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Disk> disk = make_disk(GetParam());
  FileSystem& files = disk->files();

  std::string read_all(OpenFile& file) {
    std::string content;
    std::array<std::byte, 3> buffer{};  // small, so that offsets matter
    for (;;) {
      const auto got = file.read(content.size(), buffer);
      EXPECT_TRUE(got.ok());
      if (!got || *got == 0) return content;
      content += as_text(std::span(buffer).first(*got));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, FileSystemContract, ::testing::Values("fake", "inotify"), name_of);

TEST_P(FileSystemContract, StatsTellTypesSizesAndIdentities) {
  disk->write("f", "12345");
  disk->make_directory("d");
  disk->symlink("f", "l");
  EXPECT_EQ(files.stat("f")->size, 5U);
  EXPECT_EQ(files.stat("f")->type, FileType::kRegular);
  EXPECT_EQ(files.stat("d")->type, FileType::kDirectory);
  EXPECT_EQ(files.stat("")->type, FileType::kDirectory);
  EXPECT_EQ(files.lstat("l")->type, FileType::kSymlink);
  EXPECT_EQ(*files.stat("l"), *files.stat("f"));
  EXPECT_EQ(files.stat("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files.lstat("f/below").error().code, ErrorCode::kNotFound);
  const FileStat before = *files.stat("f");
  disk->rename("f", "g");
  EXPECT_EQ(files.stat("g")->inode, before.inode);
  disk->write("f", "12345");
  EXPECT_NE(files.stat("f")->inode, before.inode);
}

TEST_P(FileSystemContract, ListsNameAndTypeOfEachEntry) {
  disk->make_directory("d");
  disk->write("d/f", "");
  disk->make_directory("d/e");
  disk->symlink("nowhere", "d/l");
  const auto entries = files.list("d");
  ASSERT_TRUE(entries.ok());
  std::map<std::string, FileType> found;
  for (const DirectoryEntry& entry : *entries) found[entry.name] = entry.type;
  EXPECT_EQ(found, (std::map<std::string, FileType>{
                       {"e", FileType::kDirectory}, {"f", FileType::kRegular}, {"l", FileType::kSymlink}}));
  EXPECT_EQ(files.list("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files.list("d/f").error().code, ErrorCode::kNotFound);
}

TEST_P(FileSystemContract, OpensOnlyRegularFilesAndFollowsNoLink) {
  disk->write("f", "content");
  disk->make_directory("d");
  disk->symlink("f", "l");
  EXPECT_EQ(files.open("nothing").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files.open("d").error().code, ErrorCode::kConflict);
  EXPECT_EQ(files.open("l").error().code, ErrorCode::kConflict);
  auto file = files.open("f");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(read_all(**file), "content");
  EXPECT_EQ(*(*file)->stat(), *files.stat("f"));
}

TEST_P(FileSystemContract, AnOpenFileOutlivesItsName) {
  disk->write("f", "content");
  auto file = files.open("f");
  ASSERT_TRUE(file.ok());
  disk->remove("f");
  EXPECT_EQ(read_all(**file), "content");
}

TEST_P(FileSystemContract, ALeaseIsGrantedOnlyWithoutWriters) {
  const int writer = disk->open_writer("f");
  auto file = files.open("f");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->take_lease(), LeaseState::kWriters);
  disk->close_writer(writer);
  EXPECT_EQ((*file)->take_lease(), LeaseState::kHeld);
  EXPECT_EQ((*file)->lease(), LeaseState::kHeld);
}

TEST_P(FileSystemContract, AWriterBreaksTheLease) {
  disk->write("f", "content");
  auto file = files.open("f");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ((*file)->take_lease(), LeaseState::kHeld);
  const int writer = disk->open_writer("f");  // not blocking: a kernel refuses it, and breaks the lease
  EXPECT_EQ(writer < 0, disk->writers_wait());
  EXPECT_EQ((*file)->lease(), LeaseState::kBroken);
  file->reset();  // lets the writer in
  const int again = disk->open_writer("f");
  EXPECT_GE(again, 0);
  disk->close_writer(again);
}

TEST_P(FileSystemContract, ALeaseDoesNotStopRenamesAndReaders) {
  disk->write("f", "content");
  auto file = files.open("f");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ((*file)->take_lease(), LeaseState::kHeld);
  disk->rename("f", "g");
  EXPECT_TRUE(files.open("g").ok());
  EXPECT_EQ((*file)->lease(), LeaseState::kHeld);
  disk->remove("g");
}

TEST_P(FileSystemContract, ResolvesLinksToWhereTheyEnd) {
  disk->make_directory("d");
  disk->write("d/f", "x");
  disk->symlink("d/f", "one");
  disk->symlink("one", "two");
  disk->symlink("d", "dir");
  disk->symlink("nowhere", "dangling");
  EXPECT_EQ(*files.resolve("two"), "d/f");
  EXPECT_EQ(*files.resolve("dir/f"), "d/f");
  EXPECT_EQ(*files.resolve("d/f"), "d/f");
  EXPECT_EQ(files.resolve("dangling").error().code, ErrorCode::kNotFound);
  disk->symlink("circle", "circle");
  EXPECT_FALSE(files.resolve("circle").ok());
}

TEST_P(FileSystemContract, CookiesAreMadeOnceAndRemovedQuietly) {
  EXPECT_TRUE(files.create_cookie(".cookie").ok());
  EXPECT_EQ(files.create_cookie(".cookie").error().code, ErrorCode::kAlreadyExists);
  EXPECT_TRUE(files.remove_cookie(".cookie").ok());
  EXPECT_TRUE(files.remove_cookie(".cookie").ok());
  EXPECT_EQ(files.stat(".cookie").error().code, ErrorCode::kNotFound);
}

TEST_P(FileSystemContract, TheStampIsThatOfAFileWrittenNow) {
  const std::int64_t before = files.stamp_now();
  disk->write("f", "x");
  const std::int64_t stamp = files.stat("f")->mtime_ns;
  // The kernel's coarse clock ticks every 1 to 10 ms; fine-grained stamps may be ahead of it.
  EXPECT_LT(std::abs(stamp - before), 1'000'000'000);
}

// --------------------------------------------------------------------------------------------- EventSource

class EventSourceContract : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Disk> disk = make_disk(GetParam());
  EventSource& events = disk->events();
  [[nodiscard]] bool polling() const { return GetParam() == std::string_view("polling"); }
};
INSTANTIATE_TEST_SUITE_P(All, EventSourceContract, ::testing::Values("fake", "inotify", "polling"), name_of);

TEST_P(EventSourceContract, ReportsWhatHappensToEntries) {
  disk->write("there.txt", "before");
  ASSERT_TRUE(events.watch_directory("").ok());
  disk->write("a.txt", "x");
  EXPECT_TRUE(disk->hear_of("a.txt"));
  EXPECT_TRUE(polling() || disk->hear(Kind::kClosedWrite, "a.txt"));
  disk->heard.clear();
  disk->write("there.txt", "longer than before");
  EXPECT_TRUE(disk->hear_of("there.txt"));
  disk->heard.clear();
  disk->remove("a.txt");
  EXPECT_TRUE(disk->hear(Kind::kRemoved, "a.txt"));
  disk->make_directory("d");
  EXPECT_TRUE(disk->hear(Kind::kDirectory, "d"));
}

TEST_P(EventSourceContract, WatchesAreNotRecursive) {
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("").ok());
  disk->write("d/deep.txt", "x");
  disk->write("top.txt", "x");
  EXPECT_TRUE(disk->hear_of("top.txt"));
  for (const WatchEvent& event : disk->heard) EXPECT_NE(event.path, "d/deep.txt");
  ASSERT_TRUE(events.watch_directory("d").ok());
  disk->write("d/deeper.txt", "x");
  EXPECT_TRUE(disk->hear_of("d/deeper.txt"));
}

TEST_P(EventSourceContract, TellsOfRenamesAtBothEnds) {
  disk->write("a.txt", "x");
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("").ok());
  ASSERT_TRUE(events.watch_directory("d").ok());
  disk->rename("a.txt", "d/b.txt");
  EXPECT_TRUE(disk->hear_of("a.txt"));
  EXPECT_TRUE(disk->hear(Kind::kChanged, "d/b.txt"));
}

TEST_P(EventSourceContract, TellsOfAWriterThatStays) {
  ASSERT_TRUE(events.watch_directory("").ok());
  const int writer = disk->open_writer("a.txt");
  disk->append(writer, "half");
  EXPECT_TRUE(disk->hear([](const std::vector<WatchEvent>& all) {
    return std::ranges::any_of(all, [](const WatchEvent& event) {
      return event.path == "a.txt" && (event.kind == Kind::kChanged || event.kind == Kind::kWritten);
    });
  }));
  disk->close_writer(writer);
  EXPECT_TRUE(polling() || disk->hear(Kind::kClosedWrite, "a.txt"));
}

TEST_P(EventSourceContract, TellsOfAChangeOfMode) {
  disk->write("a.txt", "x");
  ASSERT_TRUE(events.watch_directory("").ok());
  disk->change_mode("a.txt");
  EXPECT_TRUE(polling() ? disk->hear_of("a.txt") : disk->hear(Kind::kAttributes, "a.txt"));
}

TEST_P(EventSourceContract, AfterUnwatchingNothingIsTold) {
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("").ok());
  ASSERT_TRUE(events.watch_directory("d").ok());
  events.unwatch_directory("d");
  events.unwatch_directory("d");
  events.unwatch_directory("never watched");
  disk->write("d/x.txt", "x");
  disk->write("y.txt", "y");
  EXPECT_TRUE(disk->hear_of("y.txt"));
  for (const WatchEvent& event : disk->heard) EXPECT_NE(event.path, "d/x.txt");
}

TEST_P(EventSourceContract, ADirectoryThatIsNotThereCannotBeWatched) {
  const Status status = events.watch_directory("nothing");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kNotFound);
}

TEST_P(EventSourceContract, WatchingAgainAfterAReplacementWatchesTheNewDirectory) {
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("").ok());
  ASSERT_TRUE(events.watch_directory("d").ok());
  disk->rename("d", "old");
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("d").ok());
  ASSERT_TRUE(events.watch_directory("d").ok());
  disk->write("d/new.txt", "x");
  EXPECT_TRUE(disk->hear_of("d/new.txt"));
}

TEST_P(EventSourceContract, AMovedDirectoryIsToldOfUnderItsNewName) {
  disk->make_directory("d");
  ASSERT_TRUE(events.watch_directory("").ok());
  ASSERT_TRUE(events.watch_directory("d").ok());
  disk->rename("d", "e");
  ASSERT_TRUE(events.watch_directory("e").ok());
  events.unwatch_directory("d");  // comes later: must not end the watch that went along
  disk->write("e/x.txt", "x");
  EXPECT_TRUE(disk->hear_of("e/x.txt"));
}

TEST_P(EventSourceContract, TheEndOfTheRootIsTold) {
  ASSERT_TRUE(events.watch_directory("").ok());
  disk->remove_root();
  EXPECT_TRUE(disk->hear(Kind::kRootGone, ""));
}

TEST_P(EventSourceContract, NothingHappensWithoutAReason) {
  disk->write("a.txt", "x");
  ASSERT_TRUE(events.watch_directory("").ok());
  SystemClock clock;
  EXPECT_THAT(events.read(clock.now()), IsEmpty());
  // Reading is no change.
  auto file = disk->files().open("a.txt");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ((*file)->take_lease(), LeaseState::kHeld);
  file->reset();
  EXPECT_THAT(events.read(clock.now() + std::chrono::seconds(10)), IsEmpty());
}

}  // namespace
}  // namespace moddev::watcher
