// Each limit of limits.h reached: what happens then is defined, visible, and loses nothing.
#include "watcher/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/watcher/real_world.h"
#include "tests/support/watcher/world.h"
#include "watcher/inotify_source.h"
#include "watcher/polling_source.h"
#include "watcher/snapshotter.h"

namespace moddev::watcher {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeFileSystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::World;

TEST(WatcherLimits, OneStepLooksAtSoManyFilesAndGoesOn) {
  World world;
  const std::size_t count = 3 * limits::kLooksPerStep;
  for (std::size_t i = 0; i < count; ++i)
    world.files.write(std::to_string(i) + ".txt", "x" + std::to_string(i));
  world.step();
  EXPECT_EQ(world.files.opens(), limits::kLooksPerStep);
  EXPECT_EQ(world.deadline, world.now);
  EXPECT_THAT(world.listener.batches, IsEmpty());
  world.run();
  ASSERT_THAT(world.listener.batches, SizeIs(1));
  EXPECT_THAT(world.listener.holds, SizeIs(count));
}

TEST(WatcherLimits, OneStepListsSoManyDirectoriesAndGoesOn) {
  World world;
  for (std::size_t i = 0; i < 3 * limits::kDirectoriesPerStep; ++i)
    world.files.make_directory("d" + std::to_string(i));
  world.step();
  EXPECT_EQ(world.events.watch_count(), limits::kDirectoriesPerStep);
  EXPECT_EQ(world.deadline, world.now);
  world.run();
  EXPECT_EQ(world.events.watch_count(), 3 * limits::kDirectoriesPerStep + 1);
}

TEST(WatcherLimits, FilesSavedOverAndOverGoOutAtLeastSoOften) {
  World world;
  world.run();
  // Whenever one is looked at, the other one is saved: there is never a moment of rest.
  int saves = 0;
  bool restless = true;
  world.files.before_open = [&](const std::string& path) {
    if (restless) world.files.write(path == "a.txt" ? "b.txt" : "a.txt", std::to_string(++saves));
  };
  world.files.write("a.txt", "first");
  for (int i = 0; i < 24; ++i) {
    world.step();
    EXPECT_EQ(world.deadline, world.now);
    EXPECT_TRUE(i >= 12 || world.listener.batches.size() == 1) << i;
    world.advance(limits::kBurstLimit / 12);
  }
  EXPECT_GE(world.listener.batches.size(), 2U);
  EXPECT_LE(world.listener.batches.size(), 4U);
  restless = false;
  world.run(seconds(1));
  EXPECT_EQ(world.listener.holds, world.files.all_files());
}

TEST(WatcherLimits, AFileReplacedDuringEveryCopyIsReadWithPauses) {
  World world;
  world.run();
  int left = 3 * limits::kRestlessRetries;
  world.files.before_read = [&](std::uint64_t) {
    if (left-- > 0) world.files.replace("a.txt", "save " + std::to_string(left));
  };
  world.files.write("a.txt", "first");
  world.run(seconds(2));
  EXPECT_THAT(world.listener.history["a.txt"], ::testing::ElementsAre("save 0"));
}

TEST(WatcherLimits, LaggardsAreNamedUpToANumber) {
  World world;
  world.run();
  for (std::size_t i = 0; i < limits::kPathsNamed + 2; ++i)
    (void)world.files.begin_write("w" + std::to_string(i) + ".txt");
  world.files.write("a.txt", "x");
  world.run(limits::kHoldLimit);
  ASSERT_THAT(world.listener.warnings, SizeIs(1));
  EXPECT_THAT(world.listener.warnings[0].message, HasSubstr("and 2 more are still being written"));
}

TEST(WatcherLimits, ATornFileIsLookedAtSoOftenAndThenLeftToEvents) {
  World world;
  world.run();
  const std::uint64_t before = world.files.opens();
  world.files.write("libx.so", std::string(100, '\0'));
  world.run(seconds(60));
  EXPECT_LE(world.files.opens() - before, static_cast<std::uint64_t>(limits::kTornRetries) + 1);
  EXPECT_TRUE(world.watcher.idle());
}

TEST(WatcherLimits, TooManyBuildsReleaseTheOldest) {
  World world;
  world.run();
  const std::uint64_t first = world.watcher.begin_build(world.now);
  for (std::size_t i = 0; i < limits::kBuildBarriers; ++i) (void)world.watcher.begin_build(world.now);
  world.run();
  EXPECT_TRUE(world.listener.warned("build-barriers"));
  world.watcher.end_build(first, true);  // it is no more: nothing happens
  world.files.write("a.txt", "x");
  world.run(seconds(1));
  EXPECT_THAT(world.listener.holds, IsEmpty());
}

TEST(WatcherLimits, DirectoriesNestedTooDeepAreToldAndNotEntered) {
  World world;
  std::string path = "d";
  for (std::size_t i = 0; i < limits::kDirectoryDepth + 2; ++i) {
    world.files.make_directory(path);
    world.files.write(path + "/f.txt", "x");
    path += "/d";
  }
  world.run();
  ASSERT_THAT(world.listener.warnings, SizeIs(1));
  EXPECT_EQ(world.listener.warnings[0].code, "too-deep");
  EXPECT_THAT(world.listener.holds, SizeIs(limits::kDirectoryDepth));
}

/// A store that is full for a while.
class FullStore final : public BlobStore {
 public:
  explicit FullStore(BlobStore& store) : store_(store) {}
  bool full_at_create = false;
  bool full_at_write = false;
  bool full_at_commit = false;
  int refusals = 0;

  Result<std::unique_ptr<BlobWriter>> create() override {
    if (full_at_create) return refuse();
    auto writer = store_.create();
    if (!writer) return writer.error();
    return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(*this, std::move(*writer)));
  }
  [[nodiscard]] bool contains(const Digest& digest) const override { return store_.contains(digest); }
  Result<std::uint64_t> size(const Digest& digest) const override { return store_.size(digest); }
  Result<SharedBytes> read(const Digest& digest) override { return store_.read(digest); }
  Result<Bytes> read_range(const Digest& digest, std::uint64_t offset, std::uint64_t length) const override {
    return store_.read_range(digest, offset, length);
  }
  [[nodiscard]] Result<std::vector<Digest>> list() const override { return store_.list(); }
  Status remove(const Digest& digest) override { return store_.remove(digest); }

 private:
  class Writer final : public BlobWriter {
   public:
    Writer(FullStore& owner, std::unique_ptr<BlobWriter> writer)
        : owner_(owner), writer_(std::move(writer)) {}
    Status write(std::span<const std::byte> data) override {
      return owner_.full_at_write ? Status(owner_.refuse()) : writer_->write(data);
    }
    [[nodiscard]] std::uint64_t size() const override { return writer_->size(); }
    Result<Digest> finish() override { return writer_->finish(); }
    Status commit() override { return owner_.full_at_commit ? Status(owner_.refuse()) : writer_->commit(); }

   private:
    FullStore& owner_;
    std::unique_ptr<BlobWriter> writer_;
  };
  Error refuse() {
    ++refusals;
    return Error{ErrorCode::kIo, "cannot write: No space left on device", ENOSPC};
  }
  BlobStore& store_;
};

class FullDisk : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(AtCreateWriteCommit, FullDisk, ::testing::Values(0, 1, 2));

TEST_P(FullDisk, LosesNothingAndIsToldOnce) {
  FakeFileSystem files;
  testing::FakeEventSource events(files);
  MemoryBlobStore memory;
  FullStore store(memory);
  Watcher watcher({}, files, events, store);
  testing::Listener listener(memory);
  TimePoint now{seconds(1)};
  const auto run = [&](Duration length) {
    for (const TimePoint end = now + length; now < end;) {
      const TimePoint due = watcher.step(now);
      listener.take(watcher.take_output());
      now = std::min(end, std::max(due, now + milliseconds(1)));
    }
  };
  files.write("before.txt", "there before");  // hashed first, written when unknown
  store.full_at_create = GetParam() == 0;
  store.full_at_write = GetParam() == 1;
  store.full_at_commit = GetParam() == 2;
  run(seconds(1));
  files.write("a.txt", "x");
  run(seconds(20));
  EXPECT_THAT(listener.holds, IsEmpty());
  EXPECT_GT(store.refusals, 4);
  EXPECT_LT(store.refusals, 60);  // with pauses that grow
  EXPECT_TRUE(listener.warned("store-failed"));
  EXPECT_THAT(listener.warnings, SizeIs(1));
  EXPECT_THAT(listener.warnings[0].message, HasSubstr("No space left on device"));
  store.full_at_create = store.full_at_write = store.full_at_commit = false;
  run(limits::kFailureRetryLast + seconds(1));
  EXPECT_EQ(listener.holds, files.all_files());
}

/// A file that says that it is huge.
class HugeFiles final : public FileSystem {
 public:
  class File final : public OpenFile {
   public:
    Result<FileStat> stat() override {
      FileStat stat;
      stat.type = FileType::kRegular;
      stat.size = limits::kModuleBytes + 1;
      return stat;
    }
    LeaseState take_lease() override { return LeaseState::kHeld; }
    LeaseState lease() override { return LeaseState::kHeld; }
    Result<std::size_t> read(std::uint64_t, std::span<std::byte>) override {
      ADD_FAILURE() << "not to be read";
      return std::size_t{0};
    }
  };
  Result<FileStat> stat(const std::string&) override { return File().stat(); }
  Result<FileStat> lstat(const std::string&) override { return File().stat(); }
  Result<std::vector<DirectoryEntry>> list(const std::string&) override {
    return std::vector<DirectoryEntry>();
  }
  Result<std::unique_ptr<OpenFile>> open(const std::string&) override {
    return std::unique_ptr<OpenFile>(std::make_unique<File>());
  }
  Result<std::string> resolve(const std::string& path) override { return path; }
  Status create_cookie(const std::string&) override { return {}; }
  Status remove_cookie(const std::string&) override { return {}; }
  [[nodiscard]] bool events_are_reliable() override { return true; }
  [[nodiscard]] std::int64_t stamp_now() override { return 0; }
  [[nodiscard]] std::string why_no_lease(const std::string&) override { return {}; }
};

TEST(WatcherLimits, AFileBeyondTheModuleLimitIsRefusedUnread) {
  HugeFiles files;
  MemoryBlobStore blobs;
  Snapshotter snapshotter(files, blobs);
  const Status begun = snapshotter.begin("x.bin", "x.bin");
  ASSERT_FALSE(begun.ok());
  EXPECT_EQ(begun.error().code, ErrorCode::kLimit);
  EXPECT_FALSE(snapshotter.busy());
}

TEST(WatcherLimits, PollingComparesSoManyEntriesAtOnceAndSlowsDown) {
  FakeFileSystem files;
  for (int d = 0; d < 10; ++d) {
    files.make_directory("d" + std::to_string(d));
    for (int f = 0; f < 1'000; ++f)
      files.write("d" + std::to_string(d) + "/" + std::to_string(f) + ".txt", "x");
  }
  PollingSource source(files);
  ASSERT_TRUE(source.watch_directory("").ok());
  for (int d = 0; d < 10; ++d) ASSERT_TRUE(source.watch_directory("d" + std::to_string(d)).ok());
  files.advance_time(1);
  for (int d = 0; d < 10; ++d) files.write("d" + std::to_string(d) + "/5.txt", "changed");
  TimePoint now{};
  std::size_t heard = 0;
  int reads = 0;
  while (heard < 10 && ++reads < 100) {
    const std::vector<WatchEvent> events = source.read(now);
    EXPECT_LE(events.size(), limits::kPollEntriesPerRead / 1'000 + 1);
    heard += events.size();
    if (heard < 10) now = source.next_poll();
  }
  EXPECT_EQ(heard, 10U);
  EXPECT_GE(reads, 2);
  EXPECT_GE(source.next_poll() - now, limits::kPollInterval + 10'000 * limits::kPollCostPerEntry);
}

TEST(WatcherLimits, OneReadTakesSoMuchFromTheKernelAndLeavesTheRest) {
  const testing::TemporaryDirectory directory;
  auto source = InotifySource::create(directory.path().string());
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE((*source)->watch_directory("").ok());
  const std::string name(200, 'n');
  const int count = 2'000;  // twice 240 bytes each: more than kInotifyReads buffers
  for (int i = 0; i < count; ++i) testing::write_file(directory.path() / (name + std::to_string(i)), "");
  const std::size_t first = (*source)->read({}).size();
  EXPECT_LT(first, 2U * count);
  EXPECT_GT(first, 0U);
  std::size_t all = first;
  for (std::size_t more = first; more > 0; all += more) more = (*source)->read({}).size();
  EXPECT_EQ(all, 2U * count);
}

/// A source that may not watch some directory.
class DeniedEvents final : public EventSource {
 public:
  explicit DeniedEvents(EventSource& events) : events_(events) {}
  Status watch_directory(const std::string& path) override {
    if (path == "closed") return Error{ErrorCode::kPermission, "cannot watch the directory 'closed'", EACCES};
    return events_.watch_directory(path);
  }
  void unwatch_directory(const std::string& path) override { events_.unwatch_directory(path); }
  std::vector<WatchEvent> read(TimePoint now) override { return events_.read(now); }
  [[nodiscard]] TimePoint next_poll() const override { return events_.next_poll(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return events_.descriptors(); }
  [[nodiscard]] std::string name() const override { return events_.name(); }
  [[nodiscard]] std::string limit_advice(std::size_t) const override { return "max_user_watches is used up"; }

 private:
  EventSource& events_;
};

// The message blamed max_user_watches.
TEST(WatcherLimits, ADirectoryThatMayNotBeReadIsToldWithItsReasonAndPath) {
  FakeFileSystem files;
  testing::FakeEventSource fake(files);
  DeniedEvents events(fake);
  MemoryBlobStore blobs;
  files.make_directory("closed");
  files.write("closed/a.txt", "x");
  files.deny("closed", true);
  Watcher watcher({}, files, events, blobs);
  testing::Listener listener(blobs);
  TimePoint now{seconds(1)};
  const auto run = [&](Duration length) {
    for (const TimePoint end = now + length; now < end;) {
      const TimePoint due = watcher.step(now);
      listener.take(watcher.take_output());
      now = std::min(end, std::max(due, now + milliseconds(1)));
    }
  };
  run(seconds(3));
  EXPECT_THAT(listener.warnings, IsEmpty());
  ASSERT_THAT(listener.rejections, SizeIs(1));
  EXPECT_EQ(listener.rejections[0].path, "closed");
  EXPECT_THAT(listener.rejections[0].reason, HasSubstr("Make it readable"));
  EXPECT_THAT(watcher.unpublished(), SizeIs(1));
  files.deny("closed", false);
  run(seconds(3));
  EXPECT_EQ(listener.holds, files.all_files());
  EXPECT_THAT(watcher.unpublished(), IsEmpty());
}

}  // namespace
}  // namespace moddev::watcher
