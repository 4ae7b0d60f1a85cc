// How a session finds its daemon, becomes a member, and stays one.
#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using Kind = ClientEvent::Kind;
using Joining = SessionWorld;
using Staying = SessionWorld;

template <typename Body>
std::size_t index_of_first(const std::vector<Request>& requests) {
  return static_cast<std::size_t>(
      std::find_if(requests.begin(), requests.end(),
                   [](const Request& request) { return std::holds_alternative<Body>(request.body); }) -
      requests.begin());
}

TEST_F(Joining, HelloThenSubscriptionThenJoin) {
  bool subscribed_at_join = false;
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<JoinRequest>(body)) subscribed_at_join = link.subscribed_to == "events";
    return std::nullopt;
  };
  step();
  EXPECT_TRUE(session().connected());
  EXPECT_LT(index_of_first<HelloRequest>(daemon.requests), index_of_first<JoinRequest>(daemon.requests));
  EXPECT_TRUE(subscribed_at_join);
  ASSERT_EQ(daemon.joins.size(), 1U);
  EXPECT_EQ(daemon.joins[0].executor.name, "worker-1");
  EXPECT_EQ(daemon.joins[0].epoch, 0U);
  ASSERT_EQ(events_of(Kind::kJoined).size(), 1U);
  EXPECT_EQ(events_of(Kind::kJoined)[0].epoch, 0U);
}

TEST_F(Joining, WhyTheLinkDoesNotConnectIsToldOnceAlsoAfterItWasSaidThatNobodyAnswers) {
  daemon.answering = false;
  run(limits::kLease + seconds(1));
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  link.trouble = Error{ErrorCode::kPermission, "The daemon does not trust the key."};
  run(seconds(20));
  ASSERT_EQ(events_of(Kind::kStale).size(), 2U);
  EXPECT_EQ(events_of(Kind::kStale)[1].message, "The daemon does not trust the key.");
  EXPECT_EQ(session().status().problem, "The daemon does not trust the key.");
}

TEST_F(Joining, ReasonsThatTakeTurnsAreToldOnceEachAndNoMoreThanSomeUntilItConnects) {
  daemon.answering = false;
  for (std::size_t i = 0; i < 3 * client_limits::kTroublesTold; ++i) {
    link.trouble = Error{ErrorCode::kPermission, "reason " + std::to_string(i)};
    run(milliseconds(10));
    link.trouble = Error{ErrorCode::kPermission, "reason 0"};
    run(milliseconds(10));
  }
  EXPECT_EQ(events_of(Kind::kStale).size(), client_limits::kTroublesTold);
  link.trouble.reset();
  daemon.answering = true;
  run(seconds(5));
  ASSERT_TRUE(session().connected());
  daemon.answering = false;
  link.trouble = Error{ErrorCode::kPermission, "reason 0"};
  run(seconds(10));
  EXPECT_EQ(events_of(Kind::kStale).size(), client_limits::kTroublesTold + 1);
}

TEST_F(Joining, HelloIsRepeatedLessAndLessOften) {
  daemon.answering = false;
  std::vector<TimePoint> hellos;
  link.on_send = [&](const Request& request) {
    if (std::holds_alternative<HelloRequest>(request.body)) hellos.push_back(now);
  };
  run(seconds(20));
  ASSERT_GT(hellos.size(), 10U);
  EXPECT_LE(hellos[1] - hellos[0], client_limits::kHelloFirst);
  for (std::size_t i = 1; i < hellos.size(); ++i) {
    EXPECT_LE(hellos[i] - hellos[i - 1], client_limits::kHelloLast) << i;
    EXPECT_GE(hellos[i] - hellos[i - 1], client_limits::kHelloFirst / 2) << i;
  }
  EXPECT_GE(hellos.back() - hellos[hellos.size() - 2], client_limits::kHelloLast / 2);
}

TEST_F(Joining, TwoSessionsDoNotSayHelloAtTheSameMoments) {
  std::vector<std::vector<TimePoint>> hellos(2);
  for (std::size_t who = 0; who < 2; ++who) {
    now = TimePoint(seconds(1000));
    options.seed = who + 1;
    drop_session();
    link.on_send = [&](const Request&) { hellos[who].push_back(now); };
    run(seconds(5));
  }
  std::size_t same = 0;
  for (const TimePoint moment : hellos[0]) {
    same += static_cast<std::size_t>(std::count(hellos[1].begin(), hellos[1].end(), moment));
  }
  EXPECT_LE(same, 1U);  // the first
}

TEST_F(Joining, WithoutADaemonItSaysSoOnce) {
  daemon.answering = false;
  run(seconds(30));
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  EXPECT_EQ(events_of(Kind::kStale)[0].message,
            "No daemon answers at ipc:///run/test.sock. Is `moddev watch DIR` running?");
  daemon.answering = true;
  run(seconds(2));
  EXPECT_TRUE(session().connected());
}

TEST_F(Joining, LoadsTheCommittedEpoch) {
  daemon.commit_silently(daemon.make_manifest(3, {{"a", "a3"}, {"b", "b3"}}));
  step();
  EXPECT_EQ(session().applied_epoch(), 3U);
  EXPECT_EQ(live("a"), "a3");
  EXPECT_EQ(live("b"), "b3");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, Kind::kJoined);
  EXPECT_EQ(events[1].kind, Kind::kApplied);
  EXPECT_EQ(events[1].modules, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(acked(3, AckPhase::kApplied));
}

TEST_F(Joining, WhatIsInTheCacheIsNotFetched) {
  daemon.commit_silently(daemon.make_manifest(3, {{"a", "a3"}, {"b", "b3"}}));
  ASSERT_TRUE(cache.put(digest_of("a3"), as_bytes("a3")));
  step();
  EXPECT_EQ(session().applied_epoch(), 3U);
  ASSERT_EQ(daemon.blob_requests.size(), 1U);
  EXPECT_EQ(daemon.blob_requests[0].digest, digest_of("b3"));
}

TEST_F(Joining, AnAnnouncedEpochIsPreparedAfterTheCommittedOne) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  daemon.heard = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heard = true;
  step();
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{1, 2}));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Joining, EventsDuringTheJoinAreKept) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  Request join;
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<JoinRequest>(body)) return std::optional<ReplyBody>();  // later
    return std::nullopt;
  };
  step();
  join = daemon.requests.back();
  const SnapshotReply snapshot{daemon.id, daemon.seq, daemon.committed, {}};
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_TRUE(loader.prepared.empty());
  daemon.instead = nullptr;
  link.push(Reply{join.id, snapshot});
  step();
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
  EXPECT_EQ(daemon.snapshots, 0U);
}

TEST_F(Joining, MoreEventsDuringTheJoinThanCanBeKeptEndInASnapshot) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<JoinRequest>(body)) return std::optional<ReplyBody>();
    return std::nullopt;
  };
  step();
  const Request join = daemon.requests.back();
  const SnapshotReply snapshot{daemon.id, daemon.seq, daemon.committed, {}};
  Epoch epoch = 1;
  for (std::size_t i = 0; i < client_limits::kHeldEvents; ++i) {
    ++epoch;
    daemon.publish(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
  }
  step();
  daemon.instead = nullptr;
  link.push(Reply{join.id, snapshot});
  step();
  EXPECT_EQ(daemon.snapshots, 1U);
  EXPECT_EQ(session().applied_epoch(), epoch);
}

TEST_F(Joining, ABusyDaemonIsAskedAgainAfterTheTimeItSays) {
  unsigned refused = 0;
  std::vector<TimePoint> joins;
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<JoinRequest>(body)) return std::nullopt;
    joins.push_back(now);
    if (++refused <= 2)
      return std::optional<ReplyBody>(ErrorReply{ErrorCode::kLimit, "The fleet is full.", 2500});
    return std::nullopt;
  };
  run_with_heartbeats(seconds(12));
  ASSERT_EQ(joins.size(), 3U);
  EXPECT_GE(joins[1] - joins[0], milliseconds(2500));
  EXPECT_LE(joins[1] - joins[0], milliseconds(4000));
  EXPECT_TRUE(session().connected());
  ASSERT_GE(events_of(Kind::kStale).size(), 1U);
  EXPECT_NE(events_of(Kind::kStale)[0].message.find("The fleet is full."), std::string::npos);
}

TEST_F(Joining, ADaemonOfAnotherVersionIsToldAndRarelyAsked) {
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<HelloRequest>(body)) return std::nullopt;
    return std::optional<ReplyBody>(
        ErrorReply{ErrorCode::kUnsupported, "This daemon speaks version 2, not 1.", 0});
  };
  run(seconds(60));
  EXPECT_LE(daemon.hellos, 8U);
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  EXPECT_NE(events_of(Kind::kStale)[0].message.find("version 2, not 1"), std::string::npos);
}

// --------------------------------------------------------------------------------------------------------

TEST_F(Staying, TellsThatItLivesEveryHeartbeat) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(10));
  EXPECT_GE(daemon.alives.size(), 9U);
  EXPECT_LE(daemon.alives.size(), 11U);
  EXPECT_EQ(daemon.alives.back().state, ExecutorState::kLive);
  EXPECT_EQ(daemon.alives.back().epoch, 1U);
}

TEST_F(Staying, TellsWhoHoldsWhatSinceWhen) {
  join_at_epoch_one();
  const Pin pin = views.pin();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.alives.clear();
  run_with_heartbeats(seconds(3));
  ASSERT_FALSE(daemon.alives.empty());
  ASSERT_EQ(daemon.alives.back().pins.size(), 1U);
  EXPECT_EQ(daemon.alives.back().pins[0].epoch, 1U);
  EXPECT_EQ(daemon.alives.back().pins[0].count, 1U);
  EXPECT_GE(daemon.alives.back().pins[0].age_ms, 1000);
}

TEST_F(Staying, JoinsAgainWhenItIsToldThatItIsNoMember) {
  join_at_epoch_one();
  const std::size_t joins = daemon.joins.size();
  daemon.member = false;
  run_with_heartbeats(seconds(3));
  EXPECT_EQ(daemon.joins.size(), joins + 1);
  EXPECT_EQ(daemon.joins.back().epoch, 1U);
  EXPECT_EQ(daemon.joins.back().repo, daemon.id.repo);
  EXPECT_TRUE(loader.prepared.empty());  // nothing was reloaded
}

TEST_F(Staying, IsStaleWhenItIsToldThatItMayNotBeServedAnyMore) {
  join_at_epoch_one();
  daemon.instead = [](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<AliveRequest>(request) || std::holds_alternative<JoinRequest>(request))
      return ReplyBody(ErrorReply{ErrorCode::kPermission, "Your key is not trusted any more.", 0});
    return std::nullopt;
  };
  run_with_heartbeats(seconds(3));
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  EXPECT_EQ(
      events_of(Kind::kStale)[0].message,
      "The daemon at ipc:///run/test.sock does not serve this executor any more: Your key is not trusted "
      "any more.");
  daemon.instead = nullptr;
  run_with_heartbeats(seconds(3));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(events_of(Kind::kJoined).size(), 1U);
}

TEST_F(Staying, JoinsAgainWhenItsAckIsRefused) {
  join_at_epoch_one();
  daemon.member = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_TRUE(daemon.member);  // by the join
  EXPECT_EQ(acks(2, AckPhase::kPrepared), 2U);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Staying, SilenceMakesItStaleOnceAndResetsTheLink) {
  join_at_epoch_one();
  daemon.answering = false;
  daemon.heard = false;
  run(limits::kLease + milliseconds(1));
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  EXPECT_EQ(events_of(Kind::kStale)[0].message,
            "The daemon at ipc:///run/test.sock has not answered for 3000 ms. Epoch 1 goes on here.");
  EXPECT_FALSE(session().connected());
  EXPECT_EQ(link.resets, 1U);
  EXPECT_EQ(live("a"), "a1");
  run(seconds(30));
  EXPECT_EQ(events_of(Kind::kStale).size(), 1U);

  daemon.answering = true;
  daemon.heard = true;
  loader.prepared.clear();
  run(seconds(2));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(events_of(Kind::kJoined).size(), 1U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_EQ(session().applied_epoch(), 1U);
}

TEST_F(Staying, RepliesWithoutEventsRenewTheSubscription) {
  join_at_epoch_one();
  daemon.heard = false;
  const unsigned subscriptions = link.subscriptions;
  run(limits::kLease + seconds(1));
  EXPECT_EQ(link.subscriptions, subscriptions + 1);
  EXPECT_EQ(link.resets, 0U);
  EXPECT_TRUE(session().connected());
  EXPECT_GE(daemon.snapshots, 1U);
}

TEST_F(Staying, AStoppedProcessDoesNotBlameTheDaemon) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  now += seconds(60);  // SIGSTOP ... SIGCONT
  step();
  EXPECT_TRUE(events_of(Kind::kStale).empty());
  EXPECT_EQ(link.resets, 0U);
  run_with_heartbeats(seconds(5));
  EXPECT_TRUE(session().connected());
}

TEST_F(Staying, ANewIncarnationIsJoinedAndNothingIsReloaded) {
  join_at_epoch_one();
  daemon.restart();
  run_with_heartbeats(seconds(2));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(daemon.joins.back().epoch, 1U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_EQ(daemon.joins.size(), 2U);
  // Its events count from the beginning.
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Staying, ANewHistoryReplacesWhatRunsEvenWithASmallerEpoch) {
  daemon.commit_silently(daemon.make_manifest(7, {{"a", "a7"}}));
  step();
  ASSERT_EQ(session().applied_epoch(), 7U);
  daemon.restart_with_new_history();
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "other"}}));
  events.clear();
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_EQ(session().applied_repo(), daemon.id.repo);
  EXPECT_EQ(live("a"), "other");
  ASSERT_EQ(events_of(Kind::kApplied).size(), 1U);
  EXPECT_NE(events_of(Kind::kApplied)[0].message.find("its epoch 1 replaces epoch 7"), std::string::npos);
}

TEST_F(Staying, AnEmptyNewHistoryReplacesNothingYet) {
  join_at_epoch_one();
  daemon.restart_with_new_history();
  run_with_heartbeats(seconds(2));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(live("a"), "a1");
  daemon.publish(daemon.make_manifest(1, {{"a", "new"}}));
  step();
  EXPECT_EQ(live("a"), "new");
}

TEST_F(Staying, AnEpochOfTheSameHistoryNeverGoesBack) {
  daemon.commit_silently(daemon.make_manifest(7, {{"a", "a7"}}));
  step();
  daemon.restart();  // with a journal that lost its end
  daemon.committed = daemon.make_manifest(5, {{"a", "a5"}});
  daemon.head = 5;
  run_with_heartbeats(seconds(3));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(session().applied_epoch(), 7U);
  daemon.push(daemon.event(CommitEvent{5}));
  step();
  EXPECT_EQ(session().applied_epoch(), 7U);
  // It goes on from what the daemon has, although that base is unknown here.
  daemon.publish(daemon.make_manifest(8, {{"a", "a8"}}));
  step();
  EXPECT_EQ(session().applied_epoch(), 8U);
  EXPECT_EQ(live("a"), "a8");
}

TEST_F(Staying, AnsweredOrNotRequestsAreRepeatedUnderNewIds) {
  join_at_epoch_one();
  std::vector<std::uint64_t> ids;
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<AckRequest>(body)) return std::nullopt;
    return std::optional<ReplyBody>();
  };
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(2));
  for (const Request& request : daemon.requests) {
    if (const auto* ack = std::get_if<AckRequest>(&request.body); ack != nullptr && ack->epoch == 2) {
      ids.push_back(request.id);
    }
  }
  ASSERT_GE(ids.size(), 3U);
  EXPECT_EQ(std::set<std::uint64_t>(ids.begin(), ids.end()).size(), ids.size());
  EXPECT_LE(ids.size(), 6U);
  daemon.instead = nullptr;
  run_with_heartbeats(seconds(3));
  const std::size_t answered = acks(2, AckPhase::kPrepared);
  run_with_heartbeats(seconds(3));
  EXPECT_EQ(acks(2, AckPhase::kPrepared), answered);
}

TEST_F(Staying, AReplyToAnAbandonedRequestIsDropped) {
  join_at_epoch_one();
  Manifest stranger = daemon.make_manifest(9, {{"a", "a9"}});
  link.push(Reply{12345, SnapshotReply{daemon.id, 99, stranger, {}}});
  link.push(Reply{12346, HelloReply{}});
  link.push(Reply{12347, ErrorReply{ErrorCode::kNotFound, "", 0}});
  step();
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_TRUE(session().connected());
}

TEST_F(Staying, SaysGoodbye) {
  join_at_epoch_one();
  session().leave();
  EXPECT_FALSE(session().left());
  step();
  EXPECT_TRUE(session().left());
  EXPECT_EQ(daemon.leaves, 1U);
  const std::size_t requests = daemon.requests.size();
  run(seconds(10));
  EXPECT_EQ(daemon.requests.size(), requests);
}

TEST_F(Staying, WithoutADaemonThereIsNobodyToSayGoodbyeTo) {
  daemon.answering = false;
  step();
  session().leave();
  EXPECT_TRUE(session().left());
}

TEST_F(Staying, EventsThatNobodyTakesAreBounded) {
  join_at_epoch_one();
  for (std::size_t i = 0; i < client_limits::kWaitingEvents + 10; ++i) {
    daemon.restart();
    daemon.heartbeat();
    session().step(now);
    now += milliseconds(60);
    session().step(now);
  }
  const auto taken = session().take_events();
  EXPECT_EQ(taken.size(), client_limits::kWaitingEvents);
}

// ------------------------------------------------------------------------------------------ without a daemon

using Offline = SessionWorld;

TEST_F(Offline, WhatRanLastTimeIsLoadedFromTheCache) {
  daemon.answering = false;
  ASSERT_TRUE(cache.put(digest_of("a4"), as_bytes("a4")));
  session().remember(daemon.id.repo, daemon.make_manifest(4, {{"a", "a4"}}));
  run(client_limits::kOfflineAfter - milliseconds(1));
  EXPECT_EQ(session().applied_epoch(), 0U);
  run(milliseconds(1));
  EXPECT_EQ(session().applied_epoch(), 4U);
  EXPECT_EQ(live("a"), "a4");
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, Kind::kStale);
  EXPECT_EQ(events[1].kind, Kind::kApplied);
  EXPECT_FALSE(session().connected());
  // The daemon comes: nothing to reload.
  daemon.answering = true;
  daemon.commit_silently(daemon.make_manifest(4, {{"a", "a4"}}));
  run(seconds(2));
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(daemon.joins[0].epoch, 4U);
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{4}));
}

TEST_F(Offline, WithADaemonItIsNotLooked) {
  ASSERT_TRUE(cache.put(digest_of("a4"), as_bytes("a4")));
  session().remember(daemon.id.repo, daemon.make_manifest(4, {{"a", "a4"}}));
  daemon.commit_silently(daemon.make_manifest(5, {{"a", "a5"}}));
  run(seconds(1));
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{5}));
}

TEST_F(Offline, AnIncompleteCacheIsNotEnough) {
  daemon.answering = false;
  ASSERT_TRUE(cache.put(digest_of("a4"), as_bytes("a4")));
  session().remember(daemon.id.repo, daemon.make_manifest(4, {{"a", "a4"}, {"b", "b4"}}));
  run(seconds(10));
  EXPECT_TRUE(loader.prepared.empty());
  daemon.answering = true;
  daemon.commit_silently(daemon.make_manifest(4, {{"a", "a4"}, {"b", "b4"}}));
  run(seconds(2));
  EXPECT_EQ(session().applied_epoch(), 4U);
  ASSERT_EQ(daemon.blob_requests.size(), 1U);
}

TEST_F(Offline, AnotherHistoryReplacesIt) {
  daemon.answering = false;
  ASSERT_TRUE(cache.put(digest_of("a4"), as_bytes("a4")));
  Uuid other;
  other.bytes[3] = 9;
  session().remember(other, daemon.make_manifest(4, {{"a", "a4"}}));
  run(seconds(1));
  ASSERT_EQ(session().applied_epoch(), 4U);
  daemon.answering = true;
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "x"}}));
  run(seconds(2));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_EQ(live("a"), "x");
}

}  // namespace
}  // namespace moddev::test
