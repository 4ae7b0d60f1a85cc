// Whom an executor believes, by values alone.
#include "client/src/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/limits.h"

namespace moddev::client {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class Believing : public ::testing::Test {
 protected:
  Believing() { repo.bytes.fill(1); }

  [[nodiscard]] Statement committed(Epoch epoch) const {
    return {Purpose::kCommitted,
            repo,
            epoch,
            digest_of("set " + std::to_string(epoch)),
            {},
            ns(now),
            ns(now + moddev::limits::kStatementValidity)};
  }
  [[nodiscard]] Trust::Subject subject(Epoch epoch) const {
    return {Purpose::kCommitted, repo, epoch, digest_of("set " + std::to_string(epoch))};
  }
  [[nodiscard]] static std::int64_t ns(WallTime time) { return time.time_since_epoch().count(); }
  Status accept(Epoch epoch) {
    return trust.accept_committed(sign(key, committed(epoch)), subject(epoch), now);
  }
  static void expect(const Status& refused, ErrorCode code, const char* why) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, code);
    EXPECT_THAT(refused.error().message, HasSubstr(why));
  }

  SigningKey key = SigningKey::generate();
  SigningKey other = SigningKey::generate();
  Uuid repo;
  WallTime now{Duration(1'700'000'000'000'000'000)};
  Trust trust{{key.public_key()}, {}};
};

TEST_F(Believing, TheRightSignerIsBelieved) {
  EXPECT_TRUE(accept(5));
  EXPECT_TRUE(accept(6));
  EXPECT_EQ(trust.floor().epoch, 6U);
}

TEST_F(Believing, NoSignatureIsNotBelieved) {
  expect(trust.accept_committed(std::nullopt, subject(5), now), ErrorCode::kPermission, "moddev keygen");
}

TEST_F(Believing, AnotherSignerIsNamedAndNotBelieved) {
  const Status refused = trust.accept_committed(sign(other, committed(5)), subject(5), now);
  expect(refused, ErrorCode::kPermission, "If that signer is right");
  EXPECT_THAT(refused.error().message, HasSubstr(other.public_key().to_string()));
  EXPECT_THAT(refused.error().message, HasSubstr(key.public_key().to_string()));
}

TEST_F(Believing, AnySignerOfTheListIsEnough) {
  trust = Trust({other.public_key(), key.public_key()}, {});
  EXPECT_TRUE(accept(5));
  EXPECT_TRUE(trust.accept_committed(sign(other, committed(6)), subject(6), now));
}

TEST_F(Believing, AFlippedBitIsNotBelieved) {
  SignedStatement statement = sign(key, committed(5));
  statement.bytes[150] = static_cast<std::uint8_t>(statement.bytes[150] ^ 1U);
  expect(trust.accept_committed(statement, subject(5), now), ErrorCode::kCorrupt, "signature");
}

TEST_F(Believing, AStatementIsAboutOneThing) {
  const auto statement = sign(key, committed(5));
  expect(trust.accept_committed(statement, subject(6), now), ErrorCode::kCorrupt, "is about epoch 5");
  Trust::Subject other_repo = subject(5);
  other_repo.repo.bytes.fill(2);
  expect(trust.accept_committed(statement, other_repo, now), ErrorCode::kCorrupt, "is about epoch 5");
  Trust::Subject mixed = subject(5);
  mixed.manifest = digest_of("one module of another epoch");
  expect(trust.accept_committed(statement, mixed, now), ErrorCode::kCorrupt, "not the set that was signed");
  Trust::Subject other_purpose = subject(5);
  other_purpose.purpose = Purpose::kProposed;
  EXPECT_EQ(trust.check(statement, other_purpose, now).error().code, ErrorCode::kCorrupt);
}

TEST_F(Believing, WhatWasAcceptedOnceIsStillAboutOneThing) {
  // The signature is not checked twice; the rest is.
  const auto statement = sign(key, committed(5));
  ASSERT_TRUE(trust.accept_committed(statement, subject(5), now));
  expect(trust.accept_committed(statement, subject(6), now), ErrorCode::kCorrupt, "is about epoch 5");
  expect(trust.accept_committed(statement, subject(5), now + moddev::limits::kStatementValidity),
         ErrorCode::kTimeout, "was good until");
}

TEST_F(Believing, AStatementExpires) {
  const auto statement = sign(key, committed(5));
  const WallTime end = now + moddev::limits::kStatementValidity;
  EXPECT_TRUE(trust.check(statement, subject(5), end - seconds(1)));
  const auto late = trust.check(statement, subject(5), end);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, ErrorCode::kTimeout);
  EXPECT_THAT(late.error().message, HasSubstr("2023-11-14 22:15:20 UTC"));
}

TEST_F(Believing, AStatementOfTheFutureNeedsClocksThatDiffer) {
  const auto statement = sign(key, committed(5));
  EXPECT_TRUE(trust.check(statement, subject(5), now - moddev::limits::kClockTolerance));
  const auto early = trust.check(statement, subject(5), now - moddev::limits::kClockTolerance - seconds(1));
  ASSERT_FALSE(early.ok());
  EXPECT_THAT(early.error().message, HasSubstr("clocks"));
}

TEST_F(Believing, AnOlderEpochIsNotBelievedAgain) {
  const auto five = sign(key, committed(5));
  ASSERT_TRUE(accept(6));
  expect(trust.accept_committed(five, subject(5), now), ErrorCode::kConflict, "epoch 6 was committed before");
  EXPECT_EQ(trust.floor().epoch, 6U);
}

TEST_F(Believing, OneEpochHasOneContent) {
  ASSERT_TRUE(accept(5));
  Statement second = committed(5);
  second.manifest = digest_of("something else");
  expect(trust.accept_committed(sign(key, second), {Purpose::kCommitted, repo, 5, second.manifest}, now),
         ErrorCode::kConflict, "two signed contents");
}

TEST_F(Believing, AnotherHistoryMustBeYounger) {
  ASSERT_TRUE(accept(5));
  repo.bytes.fill(2);
  now -= seconds(1);
  expect(accept(9), ErrorCode::kConflict, "older than epoch 5");
  now += seconds(2);
  EXPECT_TRUE(accept(1));
  EXPECT_EQ(trust.floor().epoch, 1U);
}

TEST_F(Believing, ARenewedStatementKeepsItFromExpiring) {
  ASSERT_TRUE(accept(5));
  now += moddev::limits::kStatementValidity - seconds(1);
  EXPECT_FALSE(trust.expired(now));
  ASSERT_TRUE(accept(5));
  now += moddev::limits::kStatementValidity - seconds(1);
  EXPECT_FALSE(trust.expired(now));
  now += seconds(1);
  EXPECT_TRUE(trust.expired(now));
}

TEST_F(Believing, WhatIsRememberedIsCheckedButForItsAge) {
  Manifest manifest;
  manifest.epoch = 5;
  Statement statement = committed(5);
  statement.manifest = manifest.digest();
  EXPECT_FALSE(trust.accept_remembered(sign(other, statement), repo, manifest));
  Manifest mixed = manifest;
  mixed.modules["scorer"].name = "scorer";
  EXPECT_FALSE(trust.accept_remembered(sign(key, statement), repo, mixed));
  EXPECT_TRUE(trust.accept_remembered(sign(key, statement), repo, manifest));
  now += seconds(3600);
  expect(accept(4), ErrorCode::kConflict, "epoch 5 was committed before");
}

TEST(Allowing, WithoutPatternsEverything) {
  EXPECT_TRUE(Trust({}, {}).allows("scorer"));
  EXPECT_FALSE(Trust({}, {}).demands_signatures());
  EXPECT_FALSE(Trust({}, {}).expired(WallTime{}));
}

TEST(Allowing, ByPatterns) {
  const Trust trust({}, {"scorer", "models/*", "pkg.*"});
  for (const char* good : {"scorer", "models/a", "models/a/b.bin", "pkg.rules"})
    EXPECT_TRUE(trust.allows(good));
  for (const char* bad : {"scorer2", "ascorer", "models", "other"}) {
    const Status refused = trust.allows(bad);
    ASSERT_FALSE(refused.ok()) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kPermission);
    EXPECT_THAT(refused.error().message, HasSubstr("scorer, models/*, pkg.*"));
  }
}

}  // namespace
}  // namespace moddev::client
