#include "tools/supervisor/fleet_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/session/fake_link.h"
#include "tests/support/session/script_daemon.h"

namespace moddev::supervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

class FollowerTest : public ::testing::Test {
 protected:
  FollowerTest() {
    daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
      if (!std::holds_alternative<StatusRequest>(request)) return std::nullopt;
      ++status_requests;
      if (!status_answered) return std::optional<ReplyBody>();
      return status;
    };
    add_executor("here", 11);
    add_executor("elsewhere", 12);
    add_executor("here", 13, ExecutorState::kGone);
  }
  void add_executor(const std::string& host, std::int64_t pid, ExecutorState state = ExecutorState::kLive) {
    ExecutorStatus executor;
    executor.identity.host = host;
    executor.identity.pid = pid;
    executor.state = state;
    status.executors.push_back(executor);
  }
  TimePoint step() { return follower.step(now); }
  void run(Duration span) {
    const TimePoint end = now + span;
    for (TimePoint next = step(); next <= end; next = step()) now = std::max(next, now);
    now = end;
    step();
  }

  TimePoint now{seconds(1000)};
  test::FakeLink link;
  test::ScriptDaemon daemon{link};
  StatusReply status;
  unsigned status_requests = 0;
  bool status_answered = true;
  FleetFollower follower{{"test", "here"}, link};
};

TEST_F(FollowerTest, TellsWhatIsCommittedAndWhoIsAMemberHere) {
  daemon.commit_silently(daemon.make_manifest(3, {{"page", "1"}}));
  step();
  EXPECT_TRUE(follower.connected());
  const auto picture = follower.take_picture();
  ASSERT_TRUE(picture.has_value());
  EXPECT_EQ(picture->committed, daemon.committed);
  EXPECT_THAT(picture->member_pids, ElementsAre(11));
  EXPECT_FALSE(follower.take_picture().has_value());
  EXPECT_TRUE(daemon.joins.empty());
}

TEST_F(FollowerTest, CommitBringsANewPictureAtOnce) {
  step();
  (void)follower.take_picture();
  daemon.publish(daemon.make_manifest(1, {{"page", "1"}}));
  step();
  const auto picture = follower.take_picture();
  ASSERT_TRUE(picture.has_value());
  EXPECT_EQ(picture->committed.epoch, 1U);
}

TEST_F(FollowerTest, AnnouncementsAndAbortsAreNoNews) {
  step();
  (void)follower.take_picture();
  daemon.announce(daemon.make_manifest(1, {{"page", "1"}}));
  daemon.abort();
  step();
  EXPECT_FALSE(follower.take_picture().has_value());
}

TEST_F(FollowerTest, LostCommitIsNoticedFromTheNextHeartbeat) {
  step();
  (void)follower.take_picture();
  daemon.commit_silently(daemon.make_manifest(1, {{"page", "1"}}));
  step();
  EXPECT_FALSE(follower.take_picture().has_value());
  daemon.heartbeat();
  step();
  EXPECT_EQ(follower.take_picture()->committed.epoch, 1U);
}

TEST_F(FollowerTest, UnansweredQuestionIsAskedAgain) {
  status_answered = false;
  step();
  EXPECT_FALSE(follower.take_picture().has_value());
  EXPECT_EQ(status_requests, 1U);
  status_answered = true;
  run(limits::kAskAgain);
  EXPECT_TRUE(follower.take_picture().has_value());
  EXPECT_EQ(daemon.snapshots, 1U);  // that one was answered
}

TEST_F(FollowerTest, CommitWhileAPictureIsAskedForIsNotForgotten) {
  status_answered = false;
  daemon.commit_silently(daemon.make_manifest(1, {{"page", "1"}}));
  step();
  status_answered = true;
  daemon.publish(daemon.make_manifest(2, {{"page", "2"}}));
  run(limits::kAskAgain);
  Epoch last = 0;
  while (auto picture = follower.take_picture()) last = picture->committed.epoch;
  EXPECT_EQ(last, 2U);
}

TEST_F(FollowerTest, SilenceEndsTheConnectionAndTheSearchBeginsAnew) {
  step();
  (void)follower.take_picture();
  daemon.answering = false;
  run(moddev::limits::kLease);
  EXPECT_FALSE(follower.connected());
  EXPECT_GE(link.resets, 1U);
  daemon.answering = true;
  daemon.commit_silently(daemon.make_manifest(5, {{"page", "5"}}));
  run(limits::kAskAgain);
  EXPECT_TRUE(follower.connected());
  EXPECT_EQ(follower.take_picture()->committed.epoch, 5U);
}

TEST_F(FollowerTest, AnotherHistoryIsTakenAlthoughItsNumbersAreSmaller) {
  daemon.commit_silently(daemon.make_manifest(5, {{"page", "5"}}));
  step();
  (void)follower.take_picture();
  daemon.restart_with_new_history();
  daemon.commit_silently(daemon.make_manifest(1, {{"page", "new"}}));
  daemon.heartbeat();
  run(milliseconds(1));
  EXPECT_EQ(follower.take_picture()->committed.epoch, 1U);
}

TEST_F(FollowerTest, RefusalIsKeptForPeopleAndAskedAgainLater) {
  bool busy = true;
  daemon.instead = [&](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<HelloRequest>(request) || !busy) return std::nullopt;
    return std::optional<ReplyBody>(ErrorReply{ErrorCode::kUnsupported, "speaks protocol 9", 2000});
  };
  step();
  EXPECT_EQ(follower.problem(), "speaks protocol 9");
  busy = false;
  run(milliseconds(1900));
  EXPECT_EQ(daemon.hellos, 1U);
  run(milliseconds(200));
  EXPECT_EQ(daemon.hellos, 2U);
  EXPECT_EQ(follower.problem(), "");
}

}  // namespace
}  // namespace moddev::supervisor
