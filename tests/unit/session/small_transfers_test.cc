// Fewer bytes: the daemon's choice of an encoding, and the client's way through it, against each other.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "client/src/fetcher.h"
#include "client/src/limits.h"
#include "daemon/encoded_blobs.h"
#include "daemon/limits.h"

namespace moddev {
namespace {

namespace client_limits = client::limits;
namespace daemon_limits = daemon::limits;
using Kind = daemon::EncodedBlobs::Offer::Kind;
using std::chrono::milliseconds;

/// Text of words, which compresses; `seed` makes another one.
Bytes words(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  std::uint32_t state = seed;
  for (std::size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) state = state * 1664525U + 1013904223U;
    bytes[i] = static_cast<std::byte>('a' + ((state >> (16 + i % 8)) & 15U));
  }
  return bytes;
}
Bytes noise(std::size_t size) {
  Bytes bytes(size);
  std::uint64_t state = 88172645463325252ULL;
  for (std::byte& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

/// Encodes when the test says so.
class HandEncoder final : public daemon::Encoder {
 public:
  explicit HandEncoder(BlobStore& blobs) : blobs_(blobs) {}
  bool begin(const daemon::EncodingJob& job) override {
    if (full) return false;
    jobs.push_back(job);
    if (at_once) work();
    return true;
  }
  std::optional<daemon::EncodingResult> poll() override {
    if (results_.empty()) return std::nullopt;
    auto result = std::move(results_.front());
    results_.pop_front();
    return result;
  }
  void work() {
    for (; done < jobs.size(); ++done) results_.push_back(encode_blob(jobs[done], blobs_));
  }

  bool full = false;
  bool at_once = true;
  std::vector<daemon::EncodingJob> jobs;
  std::size_t done = 0;

 private:
  BlobStore& blobs_;
  std::deque<daemon::EncodingResult> results_;
};

class SmallTransfers : public ::testing::Test {
 protected:
  SmallTransfers() {
    edited[size / 2] ^= std::byte{1};
    for (const Bytes* bytes : {&original, &edited}) EXPECT_TRUE(store.put(digest_of(*bytes), *bytes));
  }
  [[nodiscard]] BlobRequest request(std::vector<Encoding> accept, Digest base = {}) const {
    BlobRequest wanted{digest_of(edited), 0, limits::kChunkBytes};
    wanted.accept = std::move(accept);
    wanted.base = base;
    return wanted;
  }

  /// One round of the client's pieces, answered as the daemon does.
  void round() {
    fetcher.step(now, [this](const BlobRequest& piece) {
      asked.emplace_back(++last_id, piece);
      return last_id;
    });
    for (auto& [id, piece] : std::exchange(asked, {})) {
      ReplyBody reply = answer(piece);
      EXPECT_TRUE(fetcher.take(id, reply, now));
    }
    now += milliseconds(5);
  }
  ReplyBody answer(const BlobRequest& piece) {
    const auto total = store.size(piece.digest);
    const auto offer = encoded.offer(piece, *total);
    if (offer.kind == Kind::kLater) {
      ++busy;
      return ErrorReply{ErrorCode::kUnavailable, "later", 5};
    }
    BlobReply reply{piece.digest, piece.offset, *total, nullptr};
    SharedBytes all = offer.kind == Kind::kEncoded ? offer.bytes : *store.read(piece.digest);
    if (offer.kind == Kind::kEncoded) {
      reply.encoding = offer.encoding;
      reply.wire_total = all->size();
    }
    const auto begin = static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(piece.offset, all->size()));
    const auto end = std::min<std::ptrdiff_t>(begin + static_cast<std::ptrdiff_t>(piece.length),
                                              static_cast<std::ptrdiff_t>(all->size()));
    Bytes bytes(all->begin() + begin, all->begin() + end);
    if (flip && !bytes.empty() && reply.encoding != Encoding::kPlain) bytes.back() ^= std::byte{1};
    sent += bytes.size();
    reply.bytes = share(std::move(bytes));
    return reply;
  }
  /// Fetches `edited`; returns whether it came.
  bool fetch() {
    const Digest base = cache.contains(digest_of(original)) ? digest_of(original) : Digest{};
    fetcher.want({{digest_of(edited), edited.size(), base}}, now);
    for (int i = 0; i < 100 && !fetcher.done(); ++i) round();
    if (!fetcher.done()) return false;
    const auto bytes = fetcher.take_bytes();
    const auto in_memory = bytes.find(digest_of(edited));
    return in_memory != bytes.end() ? *in_memory->second == edited : cache.contains(digest_of(edited));
  }

  std::size_t size = 5 * limits::kChunkBytes + 17;
  Bytes original = words(size, 1);
  Bytes edited = original;
  MemoryBlobStore store;
  MemoryBlobStore cache;
  std::shared_ptr<HandEncoder> encoder = std::make_shared<HandEncoder>(store);
  daemon::EncodedBlobs encoded{store, encoder};
  client::Fetcher fetcher{cache, nullptr, {Encoding::kPatch, Encoding::kZstd}};
  TimePoint now{std::chrono::seconds(1)};
  std::vector<std::pair<std::uint64_t, BlobRequest>> asked;
  std::uint64_t last_id = 0;
  std::uint64_t sent = 0;
  unsigned busy = 0;
  bool flip = false;
};

TEST_F(SmallTransfers, AnEditComesAsAPatch) {
  ASSERT_TRUE(cache.put(digest_of(original), original));
  EXPECT_TRUE(fetch());
  EXPECT_LT(sent, size / 100);
}

TEST_F(SmallTransfers, WithoutABaseItComesCompressed) {
  EXPECT_TRUE(fetch());
  EXPECT_LT(sent, size * 9 / 10);
  EXPECT_GT(sent, limits::kChunkBytes);  // in several pieces
}

TEST_F(SmallTransfers, WhatDoesNotShrinkComesWhole) {
  edited = noise(size);
  ASSERT_TRUE(store.put(digest_of(edited), edited));
  EXPECT_TRUE(fetch());
  EXPECT_EQ(sent, size);
}

TEST_F(SmallTransfers, WhatIsBeingEncodedIsAskedForAgain) {
  encoder->at_once = false;
  fetcher.want({{digest_of(edited), edited.size()}}, now);
  for (int i = 0; i < 10 && busy < 2; ++i) round();  // each time it is told to wait, it waits longer
  EXPECT_EQ(busy, 2U);
  EXPECT_EQ(sent, 0U);
  encoder->work();
  EXPECT_TRUE(fetch());
  EXPECT_EQ(encoder->jobs.size(), 1U);
}

TEST_F(SmallTransfers, WrongEncodedBytesAreNoticedAndTheWholeIsFetched) {
  ASSERT_TRUE(cache.put(digest_of(original), original));
  flip = true;
  EXPECT_TRUE(fetch());
  EXPECT_GT(sent, size);
}

TEST_F(SmallTransfers, ABaseThatIsGoneMeansTheWhole) {
  ASSERT_TRUE(cache.put(digest_of(original), original));
  fetcher.want({{digest_of(edited), edited.size(), digest_of(original)}}, now);
  ASSERT_TRUE(cache.remove(digest_of(original)));
  for (int i = 0; i < 100 && !fetcher.done(); ++i) round();
  EXPECT_TRUE(fetcher.done());
  EXPECT_GT(sent, size);
}

TEST_F(SmallTransfers, EachPairIsEncodedOnce) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(encoded.offer(request({Encoding::kPatch}, digest_of(original)), size).encoding,
              Encoding::kPatch);
  }
  EXPECT_EQ(encoder->jobs.size(), 1U);
  // Without a base, and without one that the daemon has.
  EXPECT_EQ(encoded.offer(request({Encoding::kPatch, Encoding::kZstd}), size).encoding, Encoding::kZstd);
  EXPECT_EQ(encoded.offer(request({Encoding::kPatch, Encoding::kZstd}, digest_of("?")), size).encoding,
            Encoding::kZstd);
  EXPECT_EQ(encoder->jobs.size(), 2U);
  EXPECT_EQ(encoded.offer(request({Encoding::kPatch}), size).kind, Kind::kPlain);
  EXPECT_EQ(encoded.offer(request({}), size).kind, Kind::kPlain);
}

TEST_F(SmallTransfers, SmallAndHugeBlobsAreNotEncoded) {
  const BlobRequest asked_for = request({Encoding::kZstd});
  EXPECT_EQ(encoded.offer(asked_for, daemon_limits::kEncodeFrom - 1).kind, Kind::kPlain);
  EXPECT_EQ(encoded.offer(asked_for, daemon_limits::kEncodeUpTo + 1).kind, Kind::kPlain);
  EXPECT_TRUE(encoder->jobs.empty());
}

TEST_F(SmallTransfers, ABusyEncoderMeansTheWhole) {
  encoder->full = true;
  EXPECT_TRUE(fetch());
  EXPECT_EQ(sent, size);
}

TEST_F(SmallTransfers, TheOldestEncodingsAreForgotten) {
  std::vector<Digest> digests;
  for (unsigned i = 0; i < daemon_limits::kEncodedBlobs + 3; ++i) {
    const Bytes bytes = words(64, i + 2);
    digests.push_back(digest_of(bytes));
    ASSERT_TRUE(store.put(digests.back(), bytes));
    BlobRequest one{digests.back(), 0, 1};
    one.accept = {Encoding::kZstd};
    (void)encoded.offer(one, daemon_limits::kEncodeFrom);
  }
  EXPECT_EQ(encoded.entries(), daemon_limits::kEncodedBlobs);
  const std::size_t jobs = encoder->jobs.size();
  BlobRequest again{digests.back(), 0, 1};
  again.accept = {Encoding::kZstd};
  (void)encoded.offer(again, daemon_limits::kEncodeFrom);
  EXPECT_EQ(encoder->jobs.size(), jobs);
  again.digest = digests.front();
  (void)encoded.offer(again, daemon_limits::kEncodeFrom);
  EXPECT_EQ(encoder->jobs.size(), jobs + 1);
}

TEST_F(SmallTransfers, TheThreadEncodesWhatTheFunctionDoes) {
  const auto thread = daemon::make_encoder_thread(store);
  const daemon::EncodingJob job{digest_of(edited), digest_of(original), true};
  ASSERT_TRUE(thread->begin(job));
  std::optional<daemon::EncodingResult> result;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!(result = thread->poll()) && std::chrono::steady_clock::now() < end) ::usleep(1000);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->job, job);
  EXPECT_EQ(result->encoding, Encoding::kPatch);
  const auto whole = apply_patch(original, *result->bytes, digest_of(edited), edited.size());
  ASSERT_TRUE(whole);
  EXPECT_EQ(*whole, edited);
}

}  // namespace
}  // namespace moddev
