// One cache for all processes of a user: each blob is fetched once, and nothing that somebody uses is taken.
#include "client/src/host_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/src/fetcher.h"
#include "client/src/last_epoch.h"
#include "client/src/limits.h"
#include "tests/support/session/zmq_daemon.h"

namespace moddev::client {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class HostCaches : public ::testing::Test {
 protected:
  HostCaches() {
    auto opened = DirectoryBlobStore::open(root / "blobs");
    EXPECT_TRUE(opened);
    store = std::move(*opened);
  }
  Digest put(const std::string& content) {
    const Digest digest = digest_of(content);
    EXPECT_TRUE(store->put(digest, as_bytes(content)));
    return digest;
  }
  std::shared_ptr<CacheUse> join() {
    auto joined = join_host_cache(root);
    EXPECT_TRUE(joined) << joined.error().message;
    return *joined;
  }
  CacheCollection collect(std::uint64_t keep_bytes) {
    auto cache = HostCache::open(root, root / "images");
    EXPECT_TRUE(cache);
    auto collected = (*cache)->collect(keep_bytes, SystemClock().wall_now());
    EXPECT_TRUE(collected) << collected.error().message;
    return *collected;
  }

  test::PrivateDirectory directory;
  fs::path root = directory.path();
  std::unique_ptr<DirectoryBlobStore> store;
};

TEST_F(HostCaches, WhatNobodyUsesIsCollectedTheRestStays) {
  const Digest a = put("aaaa");
  const Digest b = put("bbbb");
  const auto user = join();
  user->use({a});
  const CacheCollection collected = collect(0);
  EXPECT_EQ(collected.removed, 1U);
  EXPECT_EQ(collected.removed_bytes, 4U);
  EXPECT_EQ(collected.in_use, 1U);
  EXPECT_EQ(collected.kept, 1U);
  EXPECT_TRUE(store->contains(a));
  EXPECT_FALSE(store->contains(b));
  user->use({});
  EXPECT_EQ(collect(0).removed, 1U);
  EXPECT_FALSE(store->contains(a));
}

TEST_F(HostCaches, CollectsOnlyDownToWhatIsKeptAndTheOldestFirst) {
  const Digest old = put("oldold");
  const Digest young = put("young!");
  const timespec long_ago[2] = {{1'000'000, 0}, {1'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, store->path_of(old).c_str(), long_ago, 0), 0);
  const CacheCollection collected = collect(6);
  EXPECT_EQ(collected.removed, 1U);
  EXPECT_EQ(collected.kept_bytes, 6U);
  EXPECT_FALSE(store->contains(old));
  EXPECT_TRUE(store->contains(young));
}

TEST_F(HostCaches, ManyDigestsAreUsedAtOnce) {
  std::vector<Digest> digests;
  for (int i = 0; i < 1000; ++i) digests.push_back(digest_of(std::to_string(i)));
  const Digest last = put("999");
  const auto user = join();
  user->use({digests[0]});
  user->use(digests);
  EXPECT_EQ(collect(0).in_use, 1U);
  EXPECT_TRUE(store->contains(last));
}

TEST_F(HostCaches, TheUseEndsWithTheProcess) {
  const Digest a = put("aaaa");
  const pid_t child = ::fork();
  if (child == 0) {
    auto joined = join_host_cache(root);
    if (!joined) ::_exit(1);
    (*joined)->use({a});
    ::kill(::getpid(), SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(collect(0).in_use, 1U);
  EXPECT_TRUE(store->contains(a));
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(collect(0).removed, 1U);
  // Its file is gone, too.
  EXPECT_TRUE(fs::is_empty(root / "users"));
}

TEST_F(HostCaches, WhatRanLastStaysForAStartWithoutADaemon) {
  const Digest a = put("aaaa");
  Manifest manifest;
  manifest.epoch = 1;
  ModuleEntry entry;
  entry.name = "m";
  entry.version = 1;
  entry.digest = a;
  entry.size = 4;
  entry.path = "m";
  manifest.modules.emplace("m", entry);
  const fs::path file = remembered_path(root, "ipc:///x");
  ASSERT_TRUE(write_remembered(file, {Uuid::random(), manifest}));
  EXPECT_EQ(collect(0).in_use, 1U);
  auto cache = HostCache::open(root, root / "images");
  ASSERT_TRUE(cache);
  const auto listed = (*cache)->list();
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_TRUE(listed->front().in_use);
  const auto later = (*cache)->collect(0, SystemClock().wall_now() + 2 * limits::kRememberedAge);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->removed, 1U);
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(HostCaches, VerifyingFindsFlippedBits) {
  const Digest good = put("good");
  const Digest bad = put("bad!");
  fs::permissions(store->path_of(bad), fs::perms::owner_all);
  std::FILE* file = std::fopen(store->path_of(bad).c_str(), "r+");
  ASSERT_NE(file, nullptr);
  std::fputc('B', file);
  std::fclose(file);
  auto cache = HostCache::open(root, root / "images");
  ASSERT_TRUE(cache);
  const auto check = (*cache)->verify();
  ASSERT_TRUE(check) << check.error().message;
  EXPECT_EQ(check->blobs, 2U);
  EXPECT_EQ(check->damaged, (std::vector<Digest>{bad}));
  EXPECT_TRUE(store->contains(good));
  EXPECT_FALSE(store->contains(bad));
}

TEST_F(HostCaches, WithoutACacheThereIsNothingToOpen) {
  const auto cache = HostCache::open(root / "absent", root / "images");
  ASSERT_FALSE(cache);
  EXPECT_EQ(cache.error().code, ErrorCode::kNotFound);
}

TEST_F(HostCaches, OneFetchesAtATime) {
  const auto first = join();
  const auto second = join();
  const Digest a = digest_of("a");
  EXPECT_TRUE(first->begin_fetch(a));
  EXPECT_TRUE(first->begin_fetch(a));
  EXPECT_FALSE(second->begin_fetch(a));
  EXPECT_TRUE(second->begin_fetch(digest_of("b")));
  first->end_fetch(a);
  EXPECT_TRUE(second->begin_fetch(a));
}

/// One of fifty executors on a host, each as it is in its own process.
struct Executor {
  std::shared_ptr<CacheUse> use;
  std::unique_ptr<DirectoryBlobStore> store;
  std::unique_ptr<Fetcher> fetcher;
  std::vector<std::pair<std::uint64_t, BlobRequest>> asked;
};

TEST_F(HostCaches, FiftyExecutorsFetchAModuleOnce) {
  const Bytes small(5'000, std::byte{1});
  const Bytes large(3 * limits::kChunkBytes / 2, std::byte{2});
  std::vector<Executor> executors(50);
  TimePoint now{std::chrono::seconds(1)};
  std::uint64_t id = 0;
  std::uint64_t served = 0;
  for (Executor& executor : executors) {
    executor.use = join();
    executor.store = std::move(*DirectoryBlobStore::open(root / "blobs"));
    executor.fetcher = std::make_unique<Fetcher>(*executor.store, executor.use.get());
    executor.fetcher->want({{digest_of(small), small.size()}, {digest_of(large), large.size()}}, now);
  }
  bool done = false;
  for (int round = 0; round < 100 && !done; ++round, now += limits::kSharedFetchPoll) {
    done = true;
    for (Executor& executor : executors) {
      executor.fetcher->step(now, [&](const BlobRequest& piece) {
        executor.asked.emplace_back(++id, piece);
        return id;
      });
      done = done && executor.fetcher->done();
    }
    // All have asked before anyone gets an answer.
    for (Executor& executor : executors) {
      for (const auto& [number, piece] : std::exchange(executor.asked, {})) {
        const Bytes& all = piece.digest == digest_of(small) ? small : large;
        const auto begin = all.begin() + static_cast<std::ptrdiff_t>(piece.offset);
        ReplyBody reply = BlobReply{piece.digest, piece.offset, all.size(),
                                    share(Bytes(begin, begin + static_cast<std::ptrdiff_t>(piece.length)))};
        served += piece.length;
        EXPECT_TRUE(executor.fetcher->take(number, reply, now));
      }
    }
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(served, small.size() + large.size());
}

TEST_F(HostCaches, WhoWasStoppedWhileFetchingIsNotWaitedForForEver) {
  const auto stopped = join();
  ASSERT_TRUE(stopped->begin_fetch(digest_of("a")));
  const auto use = join();
  Fetcher fetcher(*store, use.get());
  TimePoint now{std::chrono::seconds(1)};
  unsigned asked = 0;
  const auto ask = [&asked](const BlobRequest&) { return std::uint64_t{++asked}; };
  fetcher.want({{digest_of("a"), 1}}, now);
  fetcher.step(now, ask);
  EXPECT_EQ(asked, 0U);
  EXPECT_EQ(fetcher.next_due(), now + limits::kSharedFetchPoll);
  now += limits::kSharedFetchPatience;
  fetcher.step(now, ask);
  EXPECT_EQ(asked, 1U);
}

}  // namespace
}  // namespace moddev::client
