#include "client/src/fetcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <set>

#include "client/src/limits.h"

namespace moddev::client {
namespace {

using std::chrono::milliseconds;

Bytes content(std::size_t size, unsigned seed = 1) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(((i + 1) * (2654435761U + 2 * seed)) >> 8);
  return bytes;
}

class Fetching : public ::testing::Test {
 protected:
  struct Asked {
    std::uint64_t id;
    BlobRequest piece;
  };

  WantedBlob offer(Bytes bytes) {
    const Digest digest = digest_of(bytes);
    const std::uint64_t size = bytes.size();
    blobs[digest] = std::move(bytes);
    return {digest, size};
  }
  void step() {
    fetcher.step(now, [this](const BlobRequest& piece) {
      asked.push_back({++last_id, piece});
      ++asked_in_all;
      return last_id;
    });
  }
  [[nodiscard]] ReplyBody reply_to(const BlobRequest& piece) const {
    const Bytes& all = blobs.at(piece.digest);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(piece.offset);
    return BlobReply{piece.digest, piece.offset, all.size(),
                     share(Bytes(begin, begin + static_cast<std::ptrdiff_t>(piece.length)))};
  }
  bool answer(const Asked& request) {
    ReplyBody reply = reply_to(request.piece);
    return fetcher.take(request.id, reply, now);
  }
  /// Answers everything, oldest first, until nothing is asked any more.
  void run() {
    for (step(); !asked.empty(); step()) {
      const Asked next = asked.front();
      asked.pop_front();
      EXPECT_TRUE(answer(next));
    }
  }
  [[nodiscard]] std::uint64_t open_bytes() const {
    std::uint64_t sum = 0;
    for (const Asked& request : asked) sum += request.piece.length;
    return sum;
  }

  MemoryBlobStore cache;
  Fetcher fetcher{cache};
  std::map<Digest, Bytes> blobs;
  std::deque<Asked> asked;
  std::uint64_t last_id = 0;
  std::size_t asked_in_all = 0;
  TimePoint now{std::chrono::seconds(10)};
};

TEST_F(Fetching, SmallOnesStayInMemory) {
  const WantedBlob a = offer(content(10));
  const WantedBlob b = offer(content(limits::kChunkBytes));
  const WantedBlob empty = offer({});
  fetcher.want({a, b, empty}, now);
  EXPECT_FALSE(fetcher.done());
  run();
  EXPECT_TRUE(fetcher.done());
  EXPECT_EQ(asked_in_all, 3U);
  const auto bytes = fetcher.take_bytes();
  ASSERT_EQ(bytes.size(), 3U);
  EXPECT_EQ(*bytes.at(a.digest), blobs.at(a.digest));
  EXPECT_FALSE(cache.contains(a.digest));
}

TEST_F(Fetching, LargeOnesGoThroughTheCacheInPieces) {
  const WantedBlob large = offer(content(5 * limits::kChunkBytes + 17));
  fetcher.want({large}, now);
  run();
  EXPECT_TRUE(fetcher.done());
  EXPECT_EQ(asked_in_all, 6U);
  EXPECT_TRUE(fetcher.take_bytes().empty());
  EXPECT_EQ(*cache.read(large.digest).value(), blobs.at(large.digest));
}

TEST_F(Fetching, SeveralPiecesAreOpenButNotMoreThanTheCredit) {
  fetcher.want({offer(content(20 * limits::kChunkBytes))}, now);
  step();
  EXPECT_EQ(asked.size(), limits::kOpenPieceBytes / limits::kChunkBytes);
  while (!asked.empty()) {
    const Asked next = asked.front();
    asked.pop_front();
    answer(next);
    step();
    EXPECT_LE(open_bytes(), limits::kOpenPieceBytes);
  }
  EXPECT_TRUE(fetcher.done());
}

TEST_F(Fetching, ManySmallOnesAreAskedForTogether) {
  std::vector<WantedBlob> wanted;
  for (unsigned i = 0; i < 100; ++i) wanted.push_back(offer(content(100, i)));
  fetcher.want(wanted, now);
  step();
  EXPECT_EQ(asked.size(), limits::kOpenPieces);
  run();
  EXPECT_EQ(fetcher.take_bytes().size(), 100U);
}

TEST_F(Fetching, PiecesOutOfOrderAreSorted) {
  const WantedBlob large = offer(content(9 * limits::kChunkBytes + 5));
  fetcher.want({large}, now);
  for (step(); !asked.empty(); step()) {
    const Asked last = asked.back();
    asked.pop_back();
    answer(last);
  }
  EXPECT_TRUE(fetcher.done());
  EXPECT_TRUE(cache.contains(large.digest));
}

TEST_F(Fetching, ALostPieceHoldsTheRestBackAndIsAskedForAgain) {
  const WantedBlob large = offer(content(20 * limits::kChunkBytes));
  fetcher.want({large}, now);
  step();
  const BlobRequest lost = asked.front().piece;
  asked.pop_front();
  run();  // the others come
  EXPECT_LE(asked_in_all, 2 * limits::kOpenPieceBytes / limits::kChunkBytes);
  EXPECT_FALSE(fetcher.done());
  const TimePoint due = fetcher.next_due();
  EXPECT_EQ(due, now + limits::kPieceFirst);
  now = due - milliseconds(1);
  step();
  EXPECT_TRUE(asked.empty());
  now = due;
  step();
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked.front().piece, lost);
  run();
  EXPECT_TRUE(cache.contains(large.digest));
}

TEST_F(Fetching, NobodyAnswersIsAskedLessAndLessOften) {
  fetcher.want({offer(content(10))}, now);
  step();
  std::vector<Duration> gaps;
  for (unsigned i = 0; i < 6; ++i) {
    const TimePoint due = fetcher.next_due();
    gaps.push_back(due - now);
    now = due;
    step();
  }
  EXPECT_EQ(gaps.front(), Duration(limits::kPieceFirst));
  EXPECT_EQ(gaps.back(), Duration(limits::kPieceLast));
  EXPECT_EQ(asked_in_all, 7U);
}

TEST_F(Fetching, AnAnswerToAnAbandonedPieceIsNotTaken) {
  const WantedBlob small = offer(content(10));
  fetcher.want({small}, now);
  step();
  const Asked first = asked.front();
  now = fetcher.next_due();
  step();
  EXPECT_FALSE(answer(first));
  EXPECT_FALSE(fetcher.done());
  EXPECT_TRUE(answer(asked.back()));
  EXPECT_TRUE(fetcher.done());
}

TEST_F(Fetching, WrongBytesAreFetchedAgainButNotForEver) {
  const WantedBlob small = offer(content(10));
  blobs[small.digest][3] ^= std::byte{1};
  fetcher.want({small}, now);
  run();
  EXPECT_EQ(asked_in_all, limits::kFetchAttempts);
  ASSERT_EQ(fetcher.problems().size(), 1U);
  EXPECT_EQ(fetcher.problems().at(small.digest).code, ErrorCode::kCorrupt);
  EXPECT_FALSE(fetcher.done());
}

TEST_F(Fetching, AWrongWholeOfManyPiecesIsNotKept) {
  const WantedBlob large = offer(content(3 * limits::kChunkBytes));
  blobs[large.digest][limits::kChunkBytes + 1] ^= std::byte{1};
  fetcher.want({large}, now);
  run();
  EXPECT_EQ(asked_in_all, 3 * limits::kFetchAttempts);
  EXPECT_EQ(fetcher.problems().size(), 1U);
  EXPECT_FALSE(cache.contains(large.digest));
}

TEST_F(Fetching, AnotherSizeThanTheManifestSaysIsAProblem) {
  WantedBlob small = offer(content(10));
  small.size = 11;
  fetcher.want({small}, now);
  for (step(); !asked.empty(); step()) {
    const Asked next = asked.front();
    asked.pop_front();
    ReplyBody reply = BlobReply{next.piece.digest, 0, 10, share(content(10))};
    fetcher.take(next.id, reply, now);
  }
  EXPECT_EQ(fetcher.problems().size(), 1U);
}

TEST_F(Fetching, ABusyDaemonIsGivenTheTimeItAsksFor) {
  const WantedBlob large = offer(content(6 * limits::kChunkBytes));
  fetcher.want({large}, now);
  step();
  const std::deque<Asked> first = std::exchange(asked, {});
  ASSERT_TRUE(answer(first[0]));
  ReplyBody busy = ErrorReply{ErrorCode::kLimit, "busy", 300};
  ASSERT_TRUE(fetcher.take(first[1].id, busy, now));
  step();
  EXPECT_TRUE(asked.empty());
  EXPECT_FALSE(answer(first[2]));  // given up with it
  EXPECT_GE(fetcher.next_due(), now + milliseconds(300));
  EXPECT_LE(fetcher.next_due(), now + milliseconds(450));
  now = fetcher.next_due();
  run();
  EXPECT_TRUE(fetcher.done());
  EXPECT_TRUE(cache.contains(large.digest));
}

/// Hundreds may wait for one encoding: they ask less and less often, and not all at once.
TEST_F(Fetching, ADaemonThatStaysBusyIsAskedLessAndLess) {
  const WantedBlob wanted = offer(content(1000));
  std::set<Duration> firsts;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    MemoryBlobStore empty;
    Fetcher one(empty, nullptr, {}, seed);
    one.want({wanted}, now);
    std::uint64_t id = 0;
    const auto ask = [&id](const BlobRequest&) { return ++id; };
    for (const int least : {10, 20, 40, 80, 160, 320, 320, 320}) {
      one.step(now, ask);
      ReplyBody busy = ErrorReply{ErrorCode::kUnavailable, "is being encoded", 10};
      ASSERT_TRUE(one.take(id, busy, now));
      const Duration wait = one.next_due() - now;
      if (least == 10) firsts.insert(wait);
      EXPECT_GE(wait, milliseconds(least));
      EXPECT_LE(wait, milliseconds(least) * 3 / 2);
      now += wait;
    }
    one.step(now, ask);
    ReplyBody reply = reply_to({wanted.digest, 0, wanted.size});
    ASSERT_TRUE(one.take(id, reply, now));
    EXPECT_TRUE(one.done());
  }
  EXPECT_GT(firsts.size(), 10U);
}

TEST_F(Fetching, OneThatIsNotThereDoesNotStopTheOthers) {
  const WantedBlob a = offer(content(10, 1));
  const WantedBlob b = offer(content(10, 2));
  fetcher.want({a, b}, now);
  step();
  for (const Asked& request : std::exchange(asked, {})) {
    if (request.piece.digest == a.digest) {
      ReplyBody gone = ErrorReply{ErrorCode::kNotFound, "no such blob", 0};
      fetcher.take(request.id, gone, now);
    } else {
      answer(request);
    }
  }
  ASSERT_EQ(fetcher.problems().size(), 1U);
  EXPECT_EQ(fetcher.problems().begin()->second.message, "no such blob");
  fetcher.want({b}, now);  // a newer epoch needs only this one, and it is there
  EXPECT_TRUE(fetcher.done());
  EXPECT_EQ(fetcher.take_bytes().size(), 1U);
}

TEST_F(Fetching, WhatIsStillWantedGoesOnAndTheRestIsDropped) {
  const WantedBlob a = offer(content(8 * limits::kChunkBytes, 1));
  const WantedBlob b = offer(content(8 * limits::kChunkBytes, 2));
  fetcher.want({a}, now);
  step();
  for (const Asked& request : std::exchange(asked, {})) answer(request);
  fetcher.want({a, b}, now);
  run();
  EXPECT_EQ(asked_in_all, 16U);
  EXPECT_TRUE(cache.contains(a.digest));
  const WantedBlob c = offer(content(10, 3));
  fetcher.want({c}, now);
  step();
  const Asked open = asked.front();
  asked.clear();
  fetcher.cancel();
  EXPECT_FALSE(answer(open));
  EXPECT_TRUE(fetcher.done());
}

TEST_F(Fetching, ANewConnectionAsksAgainFromWhatIsWritten) {
  const WantedBlob large = offer(content(8 * limits::kChunkBytes));
  fetcher.want({large}, now);
  step();
  answer(asked[0]);
  answer(asked[1]);
  asked.clear();
  fetcher.forget_open();
  step();
  EXPECT_EQ(asked.front().piece.offset, 2 * limits::kChunkBytes);
  run();
  EXPECT_TRUE(cache.contains(large.digest));
}

TEST_F(Fetching, BeyondTheBoundInMemorySmallOnesGoThroughTheCacheToo) {
  std::vector<WantedBlob> wanted;
  for (unsigned i = 0; i < limits::kBytesInMemory / limits::kChunkBytes + 3; ++i) {
    wanted.push_back(offer(content(limits::kChunkBytes, i)));
  }
  fetcher.want(wanted, now);
  run();
  EXPECT_TRUE(fetcher.done());
  const auto bytes = fetcher.take_bytes();
  EXPECT_EQ(bytes.size(), limits::kBytesInMemory / limits::kChunkBytes);
  EXPECT_EQ(cache.list()->size(), 3U);
}

}  // namespace
}  // namespace moddev::client
