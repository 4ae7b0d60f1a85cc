#include "client/src/requests.h"

#include <gtest/gtest.h>

#include "client/src/limits.h"
#include "tests/support/session/fake_link.h"

namespace moddev::client {
namespace {

using std::chrono::milliseconds;

class Requests : public ::testing::Test {
 protected:
  test::FakeLink link;
  std::minstd_rand random{1};
  RequestBook book{link, random};
  TimePoint now{std::chrono::seconds(10)};
};

TEST_F(Requests, AreRepeatedWithNewIdsUntilAnswered) {
  book.ask(SnapshotRequest{}, now);
  ASSERT_EQ(link.sent.size(), 1U);
  const std::uint64_t first = link.sent.back().id;
  EXPECT_EQ(book.next_due(), now + limits::kRequestFirst);
  now = book.next_due();
  book.step(now);
  ASSERT_EQ(link.sent.size(), 2U);
  EXPECT_NE(link.sent.back().id, first);
  EXPECT_TRUE(book.answered(link.sent.back().id));
  EXPECT_FALSE(book.answered(first));
  EXPECT_EQ(book.next_due(), kNever);
}

TEST_F(Requests, AnAnswerToAnEarlierRepetitionCounts) {
  book.ask(SnapshotRequest{}, now);
  const TimePoint begin = now;
  for (unsigned i = 0; i < 3; ++i) book.step(now = book.next_due());
  ASSERT_EQ(link.sent.size(), 4U);
  const auto answered = book.answered(link.sent.front().id);
  ASSERT_TRUE(answered);
  EXPECT_EQ(answered->sent, begin);
  EXPECT_EQ(book.size(), 0U);
  EXPECT_FALSE(book.answered(link.sent.back().id));
}

TEST_F(Requests, OnlySoManyRepetitionsAreRemembered) {
  book.ask(SnapshotRequest{}, now);
  for (unsigned i = 0; i < limits::kAttemptsKept; ++i) book.step(now = book.next_due());
  EXPECT_FALSE(book.answered(link.sent.front().id));
  EXPECT_TRUE(book.answered(link.sent[1].id));
}

TEST_F(Requests, OfThoseSentOnceTheLaterOnesStayOpenWhenAnEarlierOneIsAnswered) {
  AliveRequest alive;
  for (unsigned i = 0; i < 3; ++i) book.ask_once(alive, now + i * milliseconds(500));
  EXPECT_EQ(book.size(), 1U);
  EXPECT_EQ(book.next_due(), kNever);
  EXPECT_EQ(book.answered(link.sent[1].id)->sent, now + milliseconds(500));
  EXPECT_FALSE(book.answered(link.sent[0].id));
  EXPECT_EQ(book.answered(link.sent[2].id)->sent, now + milliseconds(1000));
  EXPECT_EQ(book.size(), 0U);
}

TEST_F(Requests, PatienceGrowsUpToItsLimit) {
  book.ask(SnapshotRequest{}, now);
  Duration longest{};
  for (unsigned i = 0; i < 50; ++i) {
    const TimePoint due = book.next_due();
    longest = std::max(longest, due - now);
    EXPECT_LE(due - now, limits::kRequestLast);
    EXPECT_GE(due - now, limits::kRequestFirst / 2);
    now = due;
    book.step(now);
  }
  EXPECT_GT(longest, limits::kRequestLast * 3 / 4);
}

TEST_F(Requests, OneOfATypeIsOpenAndOneAckOfAnEpoch) {
  book.ask(SnapshotRequest{}, now);
  book.ask(SnapshotRequest{}, now);
  EXPECT_EQ(book.size(), 1U);
  AckRequest ack;
  ack.epoch = 5;
  book.ask(ack, now);
  ack.phase = AckPhase::kApplied;
  book.ask(ack, now);
  EXPECT_EQ(book.size(), 2U);
  ack.epoch = 6;
  book.ask(ack, now);
  EXPECT_EQ(book.size(), 3U);
}

TEST_F(Requests, AreBoundedAndTheOldestAckGoesFirst) {
  book.ask(JoinRequest{}, now);
  AckRequest ack;
  for (Epoch epoch = 1; epoch <= 2 * limits::kOpenRequests; ++epoch) {
    ack.epoch = epoch;
    book.ask(ack, now);
  }
  EXPECT_EQ(book.size(), limits::kOpenRequests);
  EXPECT_TRUE(book.is_open<JoinRequest>());
  const std::uint64_t newest = link.sent.back().id;
  EXPECT_FALSE(book.answered(newest - limits::kOpenRequests));
  EXPECT_TRUE(book.answered(newest));
}

TEST_F(Requests, LaterMeansNotBefore) {
  book.ask_later(JoinRequest{}, milliseconds(1000), now);
  EXPECT_TRUE(link.sent.empty());
  book.step(now + milliseconds(999));
  EXPECT_TRUE(link.sent.empty());
  EXPECT_GE(book.next_due(), now + milliseconds(1000));
  EXPECT_LE(book.next_due(), now + milliseconds(1500));
  book.step(book.next_due());
  EXPECT_EQ(link.sent.size(), 1U);
}

TEST(Jitter, StaysBetweenHalfAndWhole) {
  std::minstd_rand random(7);
  Duration least = std::chrono::hours(1);
  Duration most{};
  for (unsigned i = 0; i < 10'000; ++i) {
    const Duration delay = with_jitter(milliseconds(1000), random);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, milliseconds(500));
  EXPECT_LE(least, milliseconds(510));
  EXPECT_LE(most, milliseconds(1000));
  EXPECT_GE(most, milliseconds(990));
}

}  // namespace
}  // namespace moddev::client
