#include "client/src/last_epoch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "client/src/limits.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::client {
namespace {

Manifest manifest() {
  Manifest manifest;
  manifest.epoch = 5;
  ModuleEntry entry;
  entry.name = "scorer";
  entry.kind = ModuleKind::kNative;
  entry.version = 3;
  entry.digest = digest_of("bytes");
  entry.size = 5;
  entry.path = "libscorer.so";
  manifest.modules.emplace(entry.name, entry);
  return manifest;
}

constexpr std::chrono::seconds kGrace = std::chrono::hours(1);

class LastEpoch : public ::testing::Test {
 protected:
  test::PrivateDirectory directory;
  std::filesystem::path file = remembered_path(directory.path(), "ipc:///run/x.sock");
  Uuid repo = Uuid::random();
  WallTime now = SystemClock().wall_now();
};

TEST_F(LastEpoch, IsReadAsItWasWritten) {
  const auto nothing = read_remembered(file, kGrace, now);
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
  ASSERT_TRUE(write_remembered(file, {Uuid::random(), Manifest{}}));
  ASSERT_TRUE(write_remembered(file, {repo, manifest()}));
  const auto read = read_remembered(file, kGrace, now);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  EXPECT_EQ((*read)->repo, repo);
  EXPECT_EQ((*read)->manifest, manifest());
  struct stat status {};
  ASSERT_EQ(::stat(file.parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
  // No temporary is left.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}), 1);
}

TEST_F(LastEpoch, WhatIsSignedIsKeptWithItAndApart) {
  const SigningKey key = SigningKey::generate();
  Remembered what{repo, manifest(), {}};
  what.statement = sign(key, {Purpose::kCommitted, repo, 5, manifest().digest(), {}, 1, 2});
  ASSERT_TRUE(write_remembered(file, what));
  const auto read = read_remembered(file, kGrace, now);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  EXPECT_EQ((*read)->manifest, manifest());
  EXPECT_EQ((*read)->statement, what.statement);
  const Bytes good = encode_remembered(what);
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{1};
    EXPECT_FALSE(decode_remembered(bad)) << i;
    EXPECT_FALSE(decode_remembered(std::span(good).first(i))) << i;
  }
  // Who believes others, or everybody, has a file of its own.
  const std::string endpoint = "ipc:///run/x.sock";
  EXPECT_NE(remembered_path("/c", endpoint), remembered_path("/c", endpoint, {key.public_key()}));
}

TEST_F(LastEpoch, TheSameOnceMoreOnlyMakesTheFileYoungAgain) {
  ASSERT_TRUE(write_remembered(file, {repo, manifest()}));
  struct stat first {};
  ASSERT_EQ(::stat(file.c_str(), &first), 0);
  const timespec long_ago[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), long_ago, 0), 0);
  ASSERT_TRUE(write_remembered(file, {repo, manifest()}));
  struct stat second {};
  ASSERT_EQ(::stat(file.c_str(), &second), 0);
  EXPECT_EQ(second.st_ino, first.st_ino);
  EXPECT_GE(second.st_mtim.tv_sec, first.st_mtim.tv_sec);
  Manifest newer = manifest();
  newer.epoch = 6;
  ASSERT_TRUE(write_remembered(file, {repo, newer}));
  const auto read = read_remembered(file, kGrace, now);
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->manifest.epoch, 6U);
}

TEST_F(LastEpoch, WhatIsOlderThanTheGraceIsForgotten) {
  ASSERT_TRUE(write_remembered(file, {repo, manifest()}));
  const auto young = read_remembered(file, kGrace, now + kGrace / 2);
  ASSERT_TRUE(young);
  EXPECT_TRUE(*young);
  const auto old = read_remembered(file, kGrace, now + 2 * kGrace);
  ASSERT_TRUE(old);
  EXPECT_FALSE(*old);
  const auto never = read_remembered(file, std::chrono::seconds(0), SystemClock().wall_now());
  ASSERT_TRUE(never);
  EXPECT_FALSE(*never);
}

TEST_F(LastEpoch, EachEndpointHasItsOwn) {
  EXPECT_NE(remembered_path(directory.path(), "ipc:///a"), remembered_path(directory.path(), "ipc:///b"));
}

TEST_F(LastEpoch, EveryFlippedBitAndEveryCutIsNoticed) {
  const Bytes good = encode_remembered({repo, manifest()});
  ASSERT_TRUE(decode_remembered(good));
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{0x10};
    EXPECT_FALSE(decode_remembered(bad)) << i;
    EXPECT_FALSE(decode_remembered(std::span(good).first(i))) << i;
  }
}

TEST_F(LastEpoch, AHugeFileIsNotRead) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "x";
  std::filesystem::resize_file(file, limits::kHeaderBytes + 1);
  const auto read = read_remembered(file, kGrace, now);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace moddev::client
