// Digests, UUIDs, text, descriptors and the names of enumerations.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>

#include "protocol/bytes.h"
#include "protocol/descriptor.h"
#include "protocol/digest.h"
#include "protocol/messages.h"
#include "protocol/text.h"
#include "protocol/uuid.h"

namespace moddev {
namespace {

TEST(Digests, AreSha256) {
  // FIPS 180-4 example values.
  EXPECT_EQ(digest_of("abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of("").hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Digests, PiecesAndTheWholeAgree) {
  Hasher hasher;
  for (int round = 0; round < 2; ++round) {  // a hasher starts anew after finish()
    hasher.update(std::as_bytes(std::span("ab", 2)));
    hasher.update({});
    hasher.update(std::as_bytes(std::span("c", 1)));
    EXPECT_EQ(hasher.finish(), digest_of("abc"));
  }
}

TEST(Digests, ParseBothForms) {
  const Digest digest = digest_of("abc");
  EXPECT_EQ(Digest::parse(digest.hex()).value(), digest);
  EXPECT_EQ(Digest::parse(digest.to_string()).value(), digest);
  for (const std::string& text : {std::string(), digest.hex() + "0", digest.hex().substr(1),
                                  "sha1:" + digest.hex(), std::string(64, 'g'), std::string("sha256:")}) {
    EXPECT_FALSE(Digest::parse(text).ok()) << text;
  }
  EXPECT_TRUE(Digest::from_bytes(std::as_bytes(std::span(digest.bytes))).ok());
  EXPECT_FALSE(Digest::from_bytes(std::as_bytes(std::span(digest.bytes)).first(31)).ok());
}

TEST(Uuids, AreRandomVersion4AndKeepTheirText) {
  std::set<Uuid> seen;
  for (int i = 0; i < 100; ++i) {
    const Uuid uuid = Uuid::random();
    EXPECT_TRUE(seen.insert(uuid).second);
    EXPECT_EQ(uuid.bytes[6] >> 4, 4);
    EXPECT_EQ(uuid.bytes[8] >> 6, 2);
    EXPECT_EQ(Uuid::parse(uuid.to_string()).value(), uuid);
  }
  EXPECT_TRUE(Uuid{}.is_nil());
  EXPECT_EQ(Uuid{}.to_string(), "00000000-0000-0000-0000-000000000000");
}

TEST(Uuids, RefuseOtherText) {
  for (const char* text : {"", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000",
                           "000000000000-0000-0000-0000-00000000", "0000000g-0000-0000-0000-000000000000"}) {
    EXPECT_FALSE(Uuid::parse(text).ok()) << text;
  }
}

TEST(Text, KnowsUtf8) {
  for (const char* good : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  // Overlong, surrogate, beyond U+10FFFF, cut off, continuation alone.
  for (const char* bad : {"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80", "a\xff"}) {
    EXPECT_FALSE(is_valid_utf8(bad)) << testing::PrintToString(bad);
  }
}

TEST(Text, SymbolsAreNamedAsInTheSource) {
  EXPECT_EQ(demangle("_ZN3foo3barEi"), "foo::bar(int)");
  EXPECT_EQ(demangle("plain"), "");
  EXPECT_EQ(demangle("_Zwrong"), "");
  EXPECT_EQ(demangle(""), "");
}

TEST(DescriptorTest, ClosesWhatItOwnsAndMoves) {
  Descriptor first(::dup(0));
  const int number = first.get();
  Descriptor second(std::move(first));
  EXPECT_EQ(second.get(), number);
  EXPECT_EQ(first.get(), -1);  // NOLINT: what is left after a move is promised
  second = Descriptor();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(DescriptorTest, WritesThatFailNameTheFile) {
  const Status written = write_all(-1, as_bytes("x"), "'there'");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("'there'"), std::string::npos);
}

TEST(Text, IsCleanedAndCutBetweenCharacters) {
  EXPECT_EQ(clean_text("fine", 10), "fine");
  EXPECT_EQ(clean_text("a\xff\xe2\x82z", 10),
            "a??"
            "?z");
  EXPECT_EQ(clean_text("ab\xe2\x82\xac", 5), "ab\xe2\x82\xac");
  EXPECT_EQ(clean_text("ab\xe2\x82\xac", 4), "ab");
  EXPECT_EQ(clean_text("abc", 0), "");
}

TEST(Enumerations, HaveNamesBothWays) {
  using S = ExecutorState;
  for (const auto s : {S::kJoining, S::kLive, S::kPreparing, S::kStale, S::kFailed, S::kFenced, S::kGone}) {
    EXPECT_EQ(executor_state_from_string(to_string(s)), s);
  }
  using A = AckPhase;
  for (const auto a : {A::kPrepared, A::kFailed, A::kApplied, A::kDrained}) {
    EXPECT_EQ(ack_phase_from_string(to_string(a)), a);
  }
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const auto value = static_cast<ErrorCode>(code);
    EXPECT_EQ(error_code_from_string(to_string(value)), value);
  }
  EXPECT_FALSE(executor_state_from_string("asleep").has_value());
  EXPECT_FALSE(ack_phase_from_string("done").has_value());
  EXPECT_FALSE(error_code_from_string("oops").has_value());
}

}  // namespace
}  // namespace moddev
