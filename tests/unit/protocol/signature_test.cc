// Signed statements: the RFC's own vector, our bytes for ever, and that nothing of them can be changed.
#include "protocol/signature.h"

#include <gtest/gtest.h>

#include "protocol/bytes.h"

namespace moddev {
namespace {

SigningKey::Seed seed_of(std::uint8_t first) {
  SigningKey::Seed seed{};
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = static_cast<std::uint8_t>(first + i);
  return seed;
}

Statement sample() {
  Statement statement;
  statement.purpose = Purpose::kProposed;
  statement.repo.bytes.fill(0x11);
  statement.epoch = 0x0102030405060708;
  statement.manifest = digest_of("a manifest");
  statement.detail = digest_of("a release");
  statement.issued_at_ns = 1'700'000'000'000'000'000;
  statement.expires_at_ns = 1'700'000'120'000'000'000;
  return statement;
}

std::string hexadecimal(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const auto byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TEST(Signature, IsTheOneOfRfc8032) {
  // RFC 8032, 7.1, test 2: one byte, 0x72.
  const auto seed = Digest::parse("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  ASSERT_TRUE(seed.ok());
  const SigningKey key = SigningKey::from_seed(seed->bytes);
  EXPECT_EQ(key.public_key().to_string(),
            "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(hexadecimal(key.sign(as_bytes("r"))),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_EQ(key.seed(), seed->bytes);
}

TEST(Signature, GeneratedKeysDiffer) {
  EXPECT_NE(SigningKey::generate().public_key(), SigningKey::generate().public_key());
}

TEST(PublicKey, GoesThroughItsTextAndBack) {
  const PublicKey key = SigningKey::from_seed(seed_of(3)).public_key();
  const auto parsed = PublicKey::parse(key.to_string());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, key);
}

TEST(PublicKey, RefusesWhatIsNone) {
  const std::string good = SigningKey::from_seed(seed_of(3)).public_key().to_string();
  for (const std::string& bad :
       {std::string(), std::string("ed25519:"), good.substr(8), good + "0", good.substr(0, good.size() - 1),
        "ed25519:" + std::string(64, 'g'), "ed25519:sha256:" + good.substr(8)}) {
    const auto parsed = PublicKey::parse(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_NE(parsed.error().message.find("ed25519:"), std::string::npos);
  }
}

TEST(SignedStatement, HasTheseBytesForEver) {
  const SignedStatement statement = sign(SigningKey::from_seed(seed_of(0)), sample());
  EXPECT_EQ(hexadecimal(statement.bytes),
            "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"  // signer
            "4bdfcf309f881b1efeebc55fe720deaf2c9b2c559db0f9f63ba83e2c0ad29c5f"  // signature
            "fe37590d45b149ede908179e7a5df80ad637fac8bad9608d594aa87105939409"  // signature
            "6d6f64646576207369676e656420310a"                                  // domain
            "0100000000000000"                                                  // purpose
            "11111111111111111111111111111111"                                  // repo
            "0807060504030201"                                                  // epoch
            "e59625a822497c164d60705eb3fd6975c375ca213b8140137a826a77790986a9"  // manifest
            "e9edfb8e46f891370bda2772760ae14bc1572a2ce9263368cd5282dac3241eb8"  // detail
            "00002a36fe9c9717"                                                  // issued
            "00b0b8261a9d9717"                                                  // expires
  );
}

TEST(SignedStatement, SaysWhatWasSigned) {
  const SigningKey key = SigningKey::from_seed(seed_of(0));
  const SignedStatement statement = sign(key, sample());
  EXPECT_EQ(statement.signer(), key.public_key());
  const auto opened = open(statement);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(*opened, sample());
}

TEST(SignedStatement, IsRefusedWithAnyBitChanged) {
  const SignedStatement good = sign(SigningKey::from_seed(seed_of(0)), sample());
  for (std::size_t bit = 0; bit < SignedStatement::kBytes * 8; ++bit) {
    SignedStatement bad = good;
    bad.bytes[bit / 8] = static_cast<std::uint8_t>(bad.bytes[bit / 8] ^ (1U << (bit % 8)));
    EXPECT_FALSE(open(bad).ok()) << "bit " << bit;
  }
}

TEST(SignedStatement, OfSomethingElseIsNone) {
  // Correctly signed by the right key, but not by this protocol: another domain, bytes where zeroes must be,
  // an unknown purpose.
  const SigningKey key = SigningKey::from_seed(seed_of(0));
  const SignedStatement good = sign(key, sample());
  for (const auto& [at, value] : {std::pair<std::size_t, std::uint8_t>{0, 'M'},
                                  {15, ' '},
                                  {16, 0},
                                  {16, 5},
                                  {16, 255},
                                  {17, 1},
                                  {23, 1}}) {
    SignedStatement bad = good;
    bad.bytes[96 + at] = value;
    const Signature signature = key.sign(std::as_bytes(std::span(bad.bytes).subspan(96)));
    std::copy(signature.begin(), signature.end(), bad.bytes.begin() + 32);
    const auto opened = open(bad);
    ASSERT_FALSE(opened.ok()) << at;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  }
}

TEST(AudienceDigest, DependsOnEachAndOnTheirOrder) {
  const Uuid a = Uuid::random();
  const Uuid b = Uuid::random();
  EXPECT_NE(audience_digest(std::array{a, b}), audience_digest(std::array{b, a}));
  EXPECT_NE(audience_digest(std::array{a}), audience_digest(std::array{a, b}));
  EXPECT_NE(audience_digest({}), audience_digest(std::array{a}));
}

}  // namespace
}  // namespace moddev
