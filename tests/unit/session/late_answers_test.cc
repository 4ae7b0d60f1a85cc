// Answers that take their time, and answers that are no good: a session must come through with both, without
// anybody's help.
#include <deque>
#include <utility>

#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using Kind = ClientEvent::Kind;

/// What the daemon says arrives after a while; what is under way when the sockets are made anew is lost.
class SlowLink : public SessionWorld, public ::testing::WithParamInterface<int> {
 protected:
  SlowLink() {
    link.on_send = [this](const Request& request) {
      daemon.requests.push_back(request);
      if (auto reply = daemon.answer_to(request.body))
        under_way.push_back({now + delay, link.resets, Reply{request.id, std::move(*reply)}});
    };
  }
  void deliver() {
    for (; !under_way.empty() && under_way.front().due <= now; under_way.pop_front()) {
      if (under_way.front().resets == link.resets) link.push(std::move(under_way.front().reply));
    }
  }
  void run_slowly(Duration span) {
    const TimePoint end = now + span;
    TimePoint beat = now;
    while (now < end) {
      if (now >= beat) {
        daemon.heartbeat();
        beat += limits::kHeartbeatInterval;
      }
      deliver();
      const TimePoint next = step();
      now = std::min({end, beat, std::max(next, now), under_way.empty() ? kNever : under_way.front().due});
    }
  }

  struct UnderWay {
    TimePoint due;
    unsigned resets = 0;
    Reply reply;
  };
  Duration delay = milliseconds(GetParam());
  std::deque<UnderWay> under_way;
};

TEST_P(SlowLink, JoinsStaysAndFollows) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  run_slowly(4 * delay + seconds(4));
  ASSERT_TRUE(session().connected());
  ASSERT_EQ(session().applied_epoch(), 1U);
  events.clear();
  const unsigned resets = link.resets;
  const std::size_t joins = daemon.joins.size();
  run_slowly(seconds(20));
  // Nobody tells it of this one.
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  run_slowly(4 * delay + seconds(4));
  EXPECT_EQ(live("a"), "a2");
  EXPECT_GT(session().in_lease_until(), now);
  EXPECT_EQ(link.resets, resets);
  EXPECT_EQ(daemon.joins.size(), joins);
  EXPECT_TRUE(events_of(Kind::kStale).empty());
}

INSTANTIATE_TEST_SUITE_P(There, SlowLink, ::testing::Values(1, 150, 450, 700, 1100, 1500, 1900));

using Denied = SessionWorld;

/// As where the daemon could not tell whose process is at the other end of that connection.
TEST_F(Denied, AtItsJoinItConnectsAnew) {
  join_at_epoch_one();
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (link.resets > 0 || std::holds_alternative<HelloRequest>(request)) return std::nullopt;
    return ReplyBody(ErrorReply{ErrorCode::kPermission, "Only you may connect.", 0});
  };
  run_with_heartbeats(2 * limits::kLease);
  EXPECT_EQ(link.resets, 1U);
  EXPECT_TRUE(session().connected());
}

TEST_F(Denied, AtItsHelloItConnectsAnew) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  daemon.instead = [this](const RequestBody&) -> std::optional<std::optional<ReplyBody>> {
    if (link.resets > 0) return std::nullopt;
    return ReplyBody(ErrorReply{ErrorCode::kPermission, "Only you may connect.", 0});
  };
  run_with_heartbeats(2 * limits::kLease);
  EXPECT_EQ(link.resets, 1U);
  EXPECT_EQ(session().applied_epoch(), 1U);
}

TEST_F(Denied, ForGoodItConnectsNoMoreThanOnceInALease) {
  join_at_epoch_one();
  daemon.instead = [](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<HelloRequest>(request)) return std::nullopt;
    return ReplyBody(ErrorReply{ErrorCode::kPermission, "Only you may connect.", 0});
  };
  run_with_heartbeats(10 * limits::kLease);
  EXPECT_GE(link.resets, 3U);
  EXPECT_LE(link.resets, 10U);
  EXPECT_EQ(events_of(Kind::kStale).size(), 1U);
}

}  // namespace
}  // namespace moddev::test
