// What one run proved and the next one trusts: no file is read that is as it was, and each that is not.
#include "watcher/proof_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/watcher/real_world.h"
#include "tests/support/watcher/world.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A directory whose files were proven long after they were written, and what comes after a restart.
class Restarted : public ::testing::Test {
 protected:
  void SetUp() override {
    files_.write("a.txt", "1");
    files_.make_directory("d");
    files_.write("d/b.txt", "2");
    files_.symlink("a.txt", "link.txt");
    pass(seconds(5));
    start({});
    ASSERT_THAT(told_.holds, SizeIs(3));
  }
  void pass(Duration length) {
    now_ += length;
    files_.advance_time(length.count());
  }
  /// A new watcher, which is told what the one before has handed out, and `trusted`.
  void start(const std::vector<ProvenFile>& trusted) {
    watcher_.reset();
    events_ = std::make_unique<testing::FakeEventSource>(files_);
    watcher_ = std::make_unique<Watcher>(WatcherOptions{}, files_, *events_, blobs_);
    watcher_->trust(trusted);
    for (const auto& [path, content] : told_.holds) watcher_->remember(path, digest_of(content));
    told_.holds.clear();
    opened_ = files_.opens();
    step();
  }
  void step() {
    (void)watcher_->step(now_);
    told_.take(watcher_->take_output());
  }
  /// How many files were opened since the start, but for the two attempts at the symlink.
  [[nodiscard]] std::uint64_t read() const { return files_.opens() - opened_ - 2; }

  testing::FakeFileSystem files_;
  std::unique_ptr<testing::FakeEventSource> events_;
  MemoryBlobStore blobs_;
  std::unique_ptr<Watcher> watcher_;
  testing::Listener told_{blobs_};
  TimePoint now_{seconds(1)};
  std::uint64_t opened_ = 0;
};

TEST_F(Restarted, NoFileIsReadThatIsAsItWas) {
  const auto proven = watcher_->proven();
  ASSERT_THAT(proven, SizeIs(2)) << "where a symlink leads is looked at anew";
  pass(seconds(60));
  start(proven);
  EXPECT_EQ(read(), 0U);
  EXPECT_EQ(told_.holds, files_.all_files());
  EXPECT_EQ(watcher_->proven(), proven);
}

TEST_F(Restarted, WhatChangedMeanwhileIsRead) {
  const auto proven = watcher_->proven();
  pass(seconds(60));
  files_.write("a.txt", "3");      // other times
  files_.replace("d/b.txt", "2");  // another inode
  start(proven);
  EXPECT_EQ(read(), 2U);
  EXPECT_EQ(told_.holds, files_.all_files());
}

TEST_F(Restarted, WhatWasJustWrittenIsNotTrusted) {
  pass(seconds(60));
  files_.write("a.txt", "3");
  step();
  EXPECT_THAT(watcher_->proven(), SizeIs(1)) << "the time stamp could stand for one more write";
}

TEST_F(Restarted, WithoutALeaseNothingIsTrusted) {
  files_.grant_leases(false);
  start({});
  for (int i = 0; i < 10; ++i) {
    pass(limits::kFallbackQuiet);
    step();
  }
  EXPECT_EQ(told_.holds, files_.all_files());
  EXPECT_THAT(watcher_->proven(), IsEmpty());
}

TEST_F(Restarted, OtherBytesThanThoseThatAreLiveAreRead) {
  const auto proven = watcher_->proven();
  told_.holds["a.txt"] = "what a rollback brought back";
  start(proven);
  EXPECT_EQ(read(), 1U);
  EXPECT_EQ(told_.holds, files_.all_files());
}

TEST(ProofMemory, ComesBackAsItWasOrNotAtAll) {
  const testing::TemporaryDirectory directory;
  const std::string file = (directory.path() / "proofs").string();
  FileStat stat;
  stat.type = FileType::kRegular;
  stat.device = 7;
  stat.inode = 8;
  stat.size = 9;
  stat.mtime_ns = 10;
  stat.ctime_ns = 11;
  const std::vector<ProvenFile> files = {{"a/b.so", digest_of("x"), stat}, {"", digest_of("y"), stat}};
  EXPECT_THAT(read_proofs(file, "boot"), IsEmpty());
  ASSERT_TRUE(write_proofs(file, "boot", files).ok());
  EXPECT_EQ(read_proofs(file, "boot"), files);
  EXPECT_THAT(read_proofs(file, "another boot"), IsEmpty());
  EXPECT_THAT(read_proofs(file, ""), IsEmpty());
  const std::string bytes = testing::read_file(file);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string spoilt = bytes;
    spoilt[at] = static_cast<char>(spoilt[at] ^ 1);
    EXPECT_THAT(decode_proofs("boot", as_bytes(spoilt)), IsEmpty()) << at;
    EXPECT_THAT(decode_proofs("boot", as_bytes(bytes.substr(0, at))), IsEmpty()) << at;
  }
}

TEST(ProofMemory, BeyondItsLimitNothingIsWritten) {
  const testing::TemporaryDirectory directory;
  const std::string file = (directory.path() / "proofs").string();
  const std::vector<ProvenFile> files(2, {std::string(limits::kProofMemoryBytes / 2, 'x'), Digest{}, {}});
  EXPECT_TRUE(write_proofs(file, "boot", files).ok());
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace moddev::watcher
