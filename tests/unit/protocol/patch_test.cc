#include "protocol/patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "protocol/limits.h"

namespace moddev {
namespace {

using ::testing::HasSubstr;

/// Bytes that zstd alone cannot shrink.
Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + i, &word, std::min<std::size_t>(8, size - i));
  }
  return bytes;
}

Bytes patch_of(const Bytes& base, const Bytes& target) {
  auto patch = make_patch(base, digest_of(base), target, digest_of(target));
  EXPECT_TRUE(patch.ok()) << patch.error().message;
  return std::move(patch).value();
}

TEST(Compression, GivesBackTheBytes) {
  for (const std::size_t size : {0UL, 1UL, 1000UL, 3'000'000UL}) {
    Bytes data(size, std::byte{7});
    if (size > 10) data[size / 2] = std::byte{9};
    const auto frame = compress(data);
    ASSERT_TRUE(frame.ok());
    EXPECT_LT(frame->size(), 1000U);
    const auto back = decompress(*frame, digest_of(data), size);
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ(*back, data);
  }
}

TEST(Compression, RefusesWhatWasNotPromised) {
  const Bytes data(1000, std::byte{7});
  const Bytes frame = compress(data).value();
  EXPECT_EQ(decompress(frame, digest_of(data), 999).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(decompress(frame, digest_of("other"), 1000).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(decompress(frame, digest_of(data), limits::kModuleBytes + 1).error().code, ErrorCode::kLimit);
  EXPECT_EQ(decompress({}, digest_of(""), 0).error().code, ErrorCode::kCorrupt);
  Bytes twice = frame;
  twice.insert(twice.end(), frame.begin(), frame.end());
  EXPECT_EQ(decompress(twice, digest_of(data), 1000).error().code, ErrorCode::kCorrupt);
  for (std::size_t length = 0; length < frame.size(); ++length) {
    EXPECT_FALSE(decompress(std::span(frame).first(length), digest_of(data), 1000).ok()) << length;
  }
}

TEST(Compression, AFrameThatPromisesGigabytesAllocatesOnlyWhatTheManifestSays) {
  // A frame header with a content size of 2^60 bytes and nothing behind it.
  Bytes frame;
  for (const unsigned byte :
       {0x28U, 0xb5U, 0x2fU, 0xfdU, 0xe0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0x10U, 1U, 0U, 0U}) {
    frame.push_back(static_cast<std::byte>(byte));
  }
  EXPECT_EQ(decompress(frame, digest_of("x"), 1).error().code, ErrorCode::kCorrupt);
}

TEST(Patch, IsSmallForASmallEdit) {
  const Bytes base = random_bytes(1 << 20, 1);
  Bytes target = base;
  target[500'000] ^= std::byte{1};
  target.insert(target.begin() + 200'000, 64, std::byte{5});
  const Bytes patch = patch_of(base, target);
  EXPECT_LT(patch.size(), 1'000U);
  EXPECT_EQ(read_patch_header(patch).value(),
            (PatchHeader{digest_of(base), digest_of(target), target.size()}));
  const auto result = apply_patch(base, patch, digest_of(target), target.size());
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(*result, target);
}

TEST(Patch, ReachesBackOverTheWholeBase) {
  // Only the start of the base recurs, at the end of the target: a default window of 2 MiB would not see it.
  const Bytes base = random_bytes(12 << 20, 2);
  Bytes target = random_bytes(1 << 20, 3);
  target.insert(target.end(), base.begin(), base.begin() + (4 << 20));
  const Bytes patch = patch_of(base, target);
  EXPECT_LT(patch.size(), (1U << 20) + 50'000);
  EXPECT_EQ(apply_patch(base, patch, digest_of(target), target.size()).value(), target);
}

TEST(Patch, CanBeMadeFromAndToNothing) {
  const Bytes some = random_bytes(100, 4);
  const Bytes none;
  EXPECT_EQ(apply_patch(none, patch_of(none, some), digest_of(some), some.size()).value(), some);
  EXPECT_EQ(apply_patch(some, patch_of(some, none), digest_of(none), 0).value(), none);
  EXPECT_EQ(apply_patch(some, patch_of(some, some), digest_of(some), some.size()).value(), some);
}

TEST(Patch, AnotherBaseIsRefusedBeforeDecoding) {
  const Bytes base = random_bytes(10'000, 5);
  Bytes target = base;
  target[10] ^= std::byte{1};
  const Bytes patch = patch_of(base, target);
  Bytes other = base;
  other[9'000] ^= std::byte{1};
  const auto refused = apply_patch(other, patch, digest_of(target), target.size());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(refused.error().message, HasSubstr(digest_of(base).hex()));
}

TEST(Patch, AnotherResultIsRefused) {
  const Bytes base = random_bytes(10'000, 6);
  Bytes target = base;
  target[10] ^= std::byte{1};
  const Bytes patch = patch_of(base, target);
  EXPECT_FALSE(apply_patch(base, patch, digest_of("else"), target.size()).ok());
  EXPECT_FALSE(apply_patch(base, patch, digest_of(target), target.size() + 1).ok());
}

TEST(Patch, EveryDamageIsNoticed) {
  const Bytes base = random_bytes(2'000, 7);
  Bytes target = base;
  target.insert(target.begin() + 1'000, 100, std::byte{1});
  const Bytes patch = patch_of(base, target);
  for (std::size_t at = 0; at < patch.size(); ++at) {
    for (const auto flip : {std::byte{0x01}, std::byte{0x80}, std::byte{0xff}}) {
      Bytes damaged = patch;
      damaged[at] ^= flip;
      const auto result = apply_patch(base, damaged, digest_of(target), target.size());
      // A bit that zstd ignores may be flipped without harm; other bytes may never come out.
      if (result.ok()) {
        EXPECT_EQ(*result, target) << at;
      }
    }
    EXPECT_FALSE(apply_patch(base, std::span(patch).first(at), digest_of(target), target.size()).ok());
  }
}

TEST(Patch, SizesAreLimited) {
  // Spans over memory that is never touched: the check comes first.
  const auto* nowhere = reinterpret_cast<const std::byte*>(1);
  const std::span<const std::byte> huge(nowhere, limits::kPatchBytes);
  EXPECT_EQ(make_patch(huge, {}, std::span(nowhere, 1), {}).error().code, ErrorCode::kLimit);
  EXPECT_EQ(compress(std::span(nowhere, limits::kModuleBytes + 1)).error().code, ErrorCode::kLimit);
}

TEST(Patch, IsSentOnlyWhereItPays) {
  EXPECT_TRUE(pays(100, 100'000));
  EXPECT_TRUE(pays(50'000, 100'000));
  EXPECT_FALSE(pays(95'000, 100'000));  // a twentieth is not worth it
  EXPECT_FALSE(pays(1'000, 4'000));     // nor are a few kilobytes
  EXPECT_FALSE(pays(200, 100));
  EXPECT_FALSE(pays(0, 0));
  EXPECT_FALSE(pays(1, limits::kEncodingGain));
  EXPECT_TRUE(pays(0, limits::kEncodingGain));
}

TEST(Encodings, HaveNamesBothWays) {
  for (const auto encoding : {Encoding::kPlain, Encoding::kZstd, Encoding::kPatch}) {
    EXPECT_EQ(encoding_from_string(to_string(encoding)), encoding);
  }
  EXPECT_FALSE(encoding_from_string("gzip").has_value());
}

}  // namespace
}  // namespace moddev
