// What the store on disk promises beyond the contract: modes, temporaries, damage, a full disk, other
// processes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "protocol/blob_store.h"
#include "protocol/limits.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DirectoryStore : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "moddev-store-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    root_ = directory_ / "a" / "store";
    open();
  }
  void TearDown() override { fs::remove_all(directory_); }

  void open() {
    auto opened = DirectoryBlobStore::open(root_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  [[nodiscard]] std::size_t temporaries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_ / "tmp"), {}));
  }
  static mode_t mode_of(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }
  /// A process that is gone.
  static pid_t dead_pid() {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    ::waitpid(pid, nullptr, 0);
    return pid;
  }

  fs::path directory_;
  fs::path root_;
  std::unique_ptr<DirectoryBlobStore> store_;
};

TEST_F(DirectoryStore, NobodyElseMayReadAndNobodyMayWrite) {
  const Digest digest = digest_of("x");
  ASSERT_TRUE(store_->put(digest, as_bytes("x")).ok());
  EXPECT_EQ(mode_of(root_), 0700U);
  EXPECT_EQ(mode_of(store_->path_of(digest)), 0400U);
  EXPECT_EQ(store_->path_of(digest), root_ / digest.hex().substr(0, 2) / digest.hex());
}

TEST_F(DirectoryStore, ABlobThatIsThereIsNotWrittenAgain) {
  const Digest digest = digest_of("x");
  ASSERT_TRUE(store_->put(digest, as_bytes("x")).ok());
  struct stat before {};
  ASSERT_EQ(::stat(store_->path_of(digest).c_str(), &before), 0);
  auto writer = store_->create().value();
  ASSERT_TRUE(writer->write(as_bytes("x")).ok());
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->commit().ok());
  struct stat after {};
  ASSERT_EQ(::stat(store_->path_of(digest).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DirectoryStore, ABlobOfTheWrongSizeIsReplaced) {
  // What a power cut leaves of a file that was never synchronised: its name without its bytes.
  const Digest digest = digest_of("whole");
  fs::create_directories(store_->path_of(digest).parent_path());
  std::ofstream(store_->path_of(digest)).flush();
  auto writer = store_->create().value();
  ASSERT_TRUE(writer->write(as_bytes("whole")).ok());
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->commit().ok());
  EXPECT_EQ(as_text(*store_->read(digest).value()), "whole");
}

TEST_F(DirectoryStore, DamageIsNoticedAndSetAside) {
  const Digest digest = digest_of("bytes");
  ASSERT_TRUE(store_->put(digest, as_bytes("bytes")).ok());
  fs::permissions(store_->path_of(digest), fs::perms::owner_all);
  std::ofstream(store_->path_of(digest)) << "bytez";
  const auto damaged = store_->read(digest);
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(damaged.error().message, HasSubstr(digest.hex()));
  EXPECT_FALSE(store_->contains(digest));
  ASSERT_TRUE(store_->put(digest, as_bytes("bytes")).ok());
  EXPECT_EQ(as_text(*store_->read(digest).value()), "bytes");
}

/// The file of `digest` holds other bytes of the same size.
void damage(const fs::path& blob) {
  fs::permissions(blob, fs::perms::owner_all);
  std::fstream file(blob, std::ios::in | std::ios::out | std::ios::binary);
  file.put('!');
}

TEST_F(DirectoryStore, DamageIsNoticedWithTheLastPieceThatIsRead) {
  const std::string large(3 * limits::kChunkBytes + 17, 'x');
  const Digest digest = digest_of(large);
  ASSERT_TRUE(store_->put(digest, as_bytes(large)).ok());
  const auto read_all = [&] {
    for (std::uint64_t offset = 0; offset < large.size(); offset += limits::kChunkBytes) {
      const auto piece = store_->read_range(digest, offset, limits::kChunkBytes);
      if (!piece) return piece.error().code;
    }
    return ErrorCode::kInvalidArgument;  // stands for none
  };
  EXPECT_EQ(read_all(), ErrorCode::kInvalidArgument);
  damage(store_->path_of(digest));
  EXPECT_EQ(read_all(), ErrorCode::kCorrupt);
  EXPECT_FALSE(store_->contains(digest));
  EXPECT_EQ(read_all(), ErrorCode::kNotFound);
}

TEST_F(DirectoryStore, DamageOfAFormerRunIsNoticedToo) {
  const Digest digest = digest_of("bytes");
  ASSERT_TRUE(store_->put(digest, as_bytes("bytes")).ok());
  damage(store_->path_of(digest));
  open();
  EXPECT_EQ(store_->read_range(digest, 0, 4)->size(), 4U) << "a part of it says nothing";
  EXPECT_EQ(store_->read_range(digest, 0, 5).error().code, ErrorCode::kCorrupt);
}

TEST_F(DirectoryStore, PiecesInAnotherOrderAreGivenAndVerifiedNextTime) {
  const std::string large(2 * limits::kChunkBytes, 'x');
  const Digest digest = digest_of(large);
  ASSERT_TRUE(store_->put(digest, as_bytes(large)).ok());
  damage(store_->path_of(digest));
  EXPECT_TRUE(store_->read_range(digest, limits::kChunkBytes, limits::kChunkBytes).ok());
  EXPECT_TRUE(store_->read_range(digest, 0, limits::kChunkBytes).ok());
  EXPECT_EQ(store_->read_range(digest, limits::kChunkBytes, limits::kChunkBytes).error().code,
            ErrorCode::kCorrupt);
}

TEST_F(DirectoryStore, DamagedBytesOfTheSameSizeAreReplaced) {
  for (const std::string& bytes : {std::string("small"), std::string(limits::kBlobWriterBuffer + 1, 'l')}) {
    const Digest digest = digest_of(bytes);
    ASSERT_TRUE(store_->put(digest, as_bytes(bytes)).ok());
    damage(store_->path_of(digest));
    auto writer = store_->create().value();
    ASSERT_TRUE(writer->write(as_bytes(bytes)).ok());
    ASSERT_TRUE(writer->finish().ok());
    ASSERT_TRUE(writer->commit().ok());
    EXPECT_EQ(as_text(*store_->read(digest).value()), bytes);
  }
}

// `rm -rf` of a cache while its executor ran: nothing could be kept any more until a restart.
TEST_F(DirectoryStore, DirectoriesThatWereRemovedAreMadeAgain) {
  while (!store_->make_ready()) continue;
  fs::remove_all(directory_ / "a");
  for (const std::string& bytes : {std::string("small"), std::string(limits::kBlobWriterBuffer + 1, 'l')}) {
    const Status put = store_->put(digest_of(bytes), as_bytes(bytes));
    ASSERT_TRUE(put.ok()) << put.error().message;
    EXPECT_EQ(as_text(*store_->read(digest_of(bytes)).value()), bytes);
  }
  EXPECT_EQ(mode_of(root_), 0700U);
}

TEST_F(DirectoryStore, OnlySoManyDamagedBlobsAreKept) {
  for (std::size_t i = 0; i < limits::kDamagedBlobsKept + 5; ++i) {
    std::ofstream(root_ / "tmp" / (digest_of(std::to_string(i)).hex() + ".damaged")) << i;
  }
  open();
  EXPECT_EQ(temporaries(), limits::kDamagedBlobsKept);
}

TEST_F(DirectoryStore, TemporariesOfTheDeadAreRemovedOthersStay) {
  const fs::path tmp = root_ / "tmp";
  const pid_t dead = dead_pid();
  std::ofstream(tmp / (std::to_string(dead) + "-0")) << "abandoned";
  std::ofstream(tmp / (std::to_string(::getpid()) + "-999999")) << "mine";
  std::ofstream(tmp / "notes.txt") << "not ours";
  // A writer in another container: its number means nothing here, its lock does.
  const fs::path foreign = tmp / (std::to_string(dead) + "-1");
  const int held = ::open(foreign.c_str(), O_WRONLY | O_CREAT, 0400);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  open();
  EXPECT_FALSE(fs::exists(tmp / (std::to_string(dead) + "-0")));
  EXPECT_TRUE(fs::exists(tmp / (std::to_string(::getpid()) + "-999999")));
  EXPECT_TRUE(fs::exists(tmp / "notes.txt"));
  EXPECT_TRUE(fs::exists(foreign));
  ::close(held);
  open();
  EXPECT_FALSE(fs::exists(foreign));
}

TEST_F(DirectoryStore, AKilledWriterLeavesNoBlob) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto writer = store_->create().value();
    (void)writer->write(Bytes(2 * limits::kBlobWriterBuffer));
    (void)writer->finish();
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(store_->list().value().empty());
  EXPECT_EQ(temporaries(), 1U);
  open();
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DirectoryStore, AFullDiskIsAnErrorAndLeavesNothing) {
  // A limit on the size of files stands for the full disk: write(2) fails in the same place.
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{limits::kBlobWriterBuffer, limits::kBlobWriterBuffer};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    const Bytes bytes(3 * limits::kBlobWriterBuffer);
    const Status put = store_->put(digest_of(bytes), bytes);
    ::_exit(!put.ok() && put.error().sys_errno == EFBIG && temporaries() == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(store_->list().value().empty());
}

TEST_F(DirectoryStore, TwoStoresInOneDirectoryShareTheirBlobs) {
  auto other = DirectoryBlobStore::open(root_).value();
  const Digest digest = digest_of("shared");
  ASSERT_TRUE(store_->put(digest, as_bytes("shared")).ok());
  EXPECT_EQ(as_text(*other->read(digest).value()), "shared");
}

TEST_F(DirectoryStore, AWriterMayOutliveTheStore) {
  auto writer = store_->create().value();
  store_.reset();
  ASSERT_TRUE(writer->write(as_bytes("late")).ok());
  ASSERT_TRUE(writer->finish().ok());
  ASSERT_TRUE(writer->commit().ok());
  open();
  EXPECT_TRUE(store_->contains(digest_of("late")));
}

TEST_F(DirectoryStore, AFileMadeAheadIsUsedOnceAndNotLeftBehind) {
  int calls = 1;
  while (!store_->make_ready()) ++calls;
  EXPECT_EQ(calls, 64);
  EXPECT_EQ(temporaries(), 1U);
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 256 + 1);  // all shards, and tmp
  for (const char* text : {"first", "second"}) {
    ASSERT_TRUE(store_->put(digest_of(text), as_bytes(text)).ok());
    EXPECT_EQ(as_text(*store_->read(digest_of(text)).value()), text);
    EXPECT_EQ(temporaries(), 0U);
  }
  store_->make_ready();
  store_.reset();
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DirectoryStore, AFileMadeAheadOfAKilledProcessIsRemoved) {
  const pid_t child = ::fork();
  if (child == 0) {
    store_->make_ready();
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(temporaries(), 1U);
  open();
  EXPECT_EQ(temporaries(), 0U);
}

TEST_F(DirectoryStore, AFileInTheWayIsNamed) {
  const fs::path file = directory_ / "file";
  std::ofstream(file) << "x";
  const auto opened = DirectoryBlobStore::open(file);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message, HasSubstr(file.string()));
}

TEST_F(DirectoryStore, MoreBlobsThanAreRememberedAreSynchronisedToo) {
  for (std::size_t i = 0; i <= limits::kUnsyncedBlobs; ++i) {
    const std::string text = std::to_string(i);
    ASSERT_TRUE(store_->put(digest_of(text), as_bytes(text)).ok());
  }
  EXPECT_TRUE(store_->sync().ok());
}

}  // namespace
}  // namespace moddev
