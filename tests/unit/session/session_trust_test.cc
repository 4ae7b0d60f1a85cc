// A session that believes one signer: each way to make it run something else, or to keep it from what is new.
// Whatever happens, nothing is loaded that was not signed, and the last good epoch goes on.
#include <gmock/gmock.h>

#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using Kind = ClientEvent::Kind;
using ::testing::HasSubstr;

class Signed : public SessionWorld {
 protected:
  Signed() {
    daemon.signing_key = key;
    options.trust = client::Trust({key->public_key()}, {});
  }

  [[nodiscard]] std::string last_message(Kind kind) const {
    const auto found = events_of(kind);
    return found.empty() ? "(no event)" : found.back().message;
  }
  /// Nothing was loaded, and epoch 1 goes on.
  void expect_epoch_one() {
    EXPECT_EQ(session().applied_epoch(), 1U);
    EXPECT_EQ(live("a"), "a1");
    EXPECT_TRUE(loader.prepared.empty());
    EXPECT_TRUE(events_of(Kind::kApplied).empty());
  }
  /// After an attack: the daemon's own next epoch gets through.
  void expect_next_epoch_gets_through(Epoch epoch) {
    daemon.before_push = {};
    daemon.instead = {};
    run_with_heartbeats(seconds(8));
    daemon.publish(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
    run_with_heartbeats(seconds(2));
    EXPECT_EQ(session().applied_epoch(), epoch);
    EXPECT_EQ(live("a"), "a" + std::to_string(epoch));
  }

  std::shared_ptr<const SigningKey> key = std::make_shared<SigningKey>(SigningKey::generate());
  std::shared_ptr<const SigningKey> stranger = std::make_shared<SigningKey>(SigningKey::generate());
};

TEST_F(Signed, EpochsAreAppliedAtTheCommit) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
  EXPECT_EQ(session().applied_epoch(), 1U);
  daemon.commit();
  step();
  EXPECT_EQ(session().applied_epoch(), 2U);
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Signed, WhatIsSignedAboutTheAppliedEpochIsKnownAfterAHeartbeat) {
  join_at_epoch_one();
  ASSERT_TRUE(session().applied_statement());
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_FALSE(session().applied_statement());
  daemon.heartbeat();
  step();
  EXPECT_EQ(session().applied_statement(), daemon.committed_statement());
}

TEST_F(Signed, ANewSignerIsBelievedFromWhenItIsOnTheListAndTheFormerOneUntilItIsNot) {
  join_at_epoch_one();
  session().change_trust({key->public_key(), stranger->public_key()}, {});
  run_with_heartbeats(seconds(1));
  EXPECT_TRUE(session().connected());
  daemon.signing_key = stranger;  // the daemon's new key
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(session().applied_epoch(), 2U);
  session().change_trust({stranger->public_key()}, {});
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(session().applied_epoch(), 3U);
  loader.prepared.clear();
  daemon.signing_key = key;  // whoever has the former one
  daemon.publish(daemon.make_manifest(4, {{"a", "a4"}}));
  run_with_heartbeats(seconds(10));
  EXPECT_EQ(session().applied_epoch(), 3U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("It is signed by " + key->public_key().to_string()));
}

TEST_F(Signed, WhatWasProposedUnderASignerThatIsGoneIsNotSwitchedTo) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  ASSERT_TRUE(acked(2, AckPhase::kPrepared));
  session().change_trust({stranger->public_key()}, {});
  daemon.commit();
  run_with_heartbeats(seconds(5));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_EQ(live("a"), "a1");
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("It is signed by"));
}

TEST_F(Signed, WhenTheLastSignerIsGoneNobodyIsBelieved) {
  join_at_epoch_one();
  session().change_trust({}, {});
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(5));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("No signer is left whom this executor believes"));
  session().change_trust({key->public_key()}, {});
  run_with_heartbeats(seconds(5));
  EXPECT_EQ(session().applied_epoch(), 2U);
}

TEST_F(Signed, AModuleThatMayNoLongerComeInKeepsTheNextEpochOut) {
  join_at_epoch_one();
  session().change_trust({key->public_key()}, {"b"});
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(live("a"), "a1") << "what runs goes on";
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(session().applied_epoch(), 1U);
  EXPECT_THAT(last_message(Kind::kFailed), HasSubstr("its `modules` are b"));
}

TEST_F(Signed, ADaemonThatDoesNotSignIsRefused) {
  daemon.signing_key = nullptr;
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  run(seconds(10));
  EXPECT_EQ(session().applied_epoch(), 0U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_TRUE(daemon.joins.empty());
  ASSERT_EQ(events_of(Kind::kStale).size(), 1U);
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("is not believed. It is not signed"));
  // It is asked again, but not in haste.
  EXPECT_GE(daemon.hellos, 8U);
  EXPECT_LE(daemon.hellos, 12U);
  daemon.signing_key = key;
  daemon.restart();
  run(seconds(3));
  EXPECT_EQ(session().applied_epoch(), 1U);
}

TEST_F(Signed, AnotherSignerIsRefused) {
  daemon.signing_key = stranger;
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  run(seconds(3));
  EXPECT_EQ(session().applied_epoch(), 0U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr(stranger->public_key().to_string()));
}

TEST_F(Signed, AnAnnouncementWithoutTheSignersWordIsRefused) {
  join_at_epoch_one();
  daemon.before_push = [](Event& event) {
    if (auto* announce = std::get_if<AnnounceEvent>(&event.body)) announce->statement.reset();
  };
  daemon.announce(daemon.make_manifest(2, {{"a", "evil"}}));
  step();
  expect_epoch_one();
  EXPECT_TRUE(acked(2, AckPhase::kFailed));
  EXPECT_THAT(last_message(Kind::kFailed), HasSubstr("Epoch 2 is not believed here. It is not signed"));
  daemon.abort();
  expect_next_epoch_gets_through(3);
}

TEST_F(Signed, AnAnnouncementWhoseModulesWereMixedIsRefused) {
  join_at_epoch_one();
  daemon.before_push = [this](Event& event) {
    auto* announce = std::get_if<AnnounceEvent>(&event.body);
    if (announce == nullptr) return;
    // What was signed, with one module of another set and the digest that belongs to that.
    const Manifest mixed = daemon.make_manifest(2, {{"a", "a2"}, {"b", "of another epoch"}});
    announce->changes = diff(daemon.committed, mixed);
    announce->manifest_digest = mixed.digest();
  };
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  expect_epoch_one();
  EXPECT_THAT(last_message(Kind::kFailed), HasSubstr("not the set that was signed"));
  expect_next_epoch_gets_through(3);
}

TEST_F(Signed, ChangesThatDoNotMakeTheSignedSetAreAskedForAndThenRefused) {
  join_at_epoch_one();
  daemon.before_push = [this](Event& event) {
    if (auto* announce = std::get_if<AnnounceEvent>(&event.body))
      announce->changes = diff(daemon.committed, daemon.make_manifest(2, {{"a", "evil"}}));
  };
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<ManifestRequest>(request)) return std::nullopt;
    const Manifest evil = daemon.make_manifest(2, {{"a", "evil"}});
    return ManifestReply{daemon.id, evil,
                         daemon.stated(Purpose::kRetained, 2, daemon.pending_manifest.digest())};
  };
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  expect_epoch_one();
  EXPECT_THAT(last_message(Kind::kFailed), HasSubstr("does not have the digest that was announced"));
}

TEST_F(Signed, AForgedAnnouncementDoesNotPushOutTheTrueOne) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  ASSERT_TRUE(acked(2, AckPhase::kPrepared));
  AnnounceEvent forged;
  forged.epoch = std::uint64_t{1} << 62;
  forged.base = 1;
  forged.manifest_digest = digest_of("evil");
  forged.statement = SignedStatement{};
  link.push(daemon.event(forged));
  step();
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Signed, ACommitWithoutProofIsNotFollowed) {
  join_at_epoch_one();
  for (const bool some : {false, true}) {
    SCOPED_TRACE(some);
    daemon.acks.clear();
    const Epoch epoch = daemon.head + 1;
    daemon.announce(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
    step();
    ASSERT_TRUE(acked(epoch, AckPhase::kPrepared));
    CommitEvent forged{epoch};
    if (some) forged.release = Release{};
    Event event = daemon.event(forged);
    ++event.seq;
    link.push(event);
    step();
    EXPECT_EQ(session().applied_epoch(), 1U);
    EXPECT_EQ(live("a"), "a1");
    EXPECT_THAT(last_message(Kind::kFailed), HasSubstr("does not come from whoever signed it"));
    EXPECT_FALSE(acked(epoch, AckPhase::kApplied));
  }
  daemon.commit();
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(session().applied_epoch(), daemon.committed.epoch);
}

TEST_F(Signed, ALostCommitIsHeardOfInTheNextHeartbeat) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.heard = false;
  daemon.commit();
  daemon.heard = true;
  daemon.heartbeat();
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Signed, HeartbeatsAndAnswersWithOtherNumbersAreRefused) {
  join_at_epoch_one();
  daemon.before_push = [](Event& event) {
    if (auto* beat = std::get_if<HeartbeatEvent>(&event.body)) beat->committed_epoch = 9;
  };
  daemon.heartbeat();
  step();
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("is about epoch 1"));
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("Epoch 1 goes on here"));
  expect_epoch_one();
  expect_next_epoch_gets_through(2);
}

TEST_F(Signed, ASnapshotOfAnotherSetIsRefused) {
  join_at_epoch_one();
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<JoinRequest>(request)) return std::nullopt;
    Manifest evil = daemon.make_manifest(2, {{"a", "evil"}});
    return SnapshotReply{daemon.id, daemon.seq, evil, std::nullopt,
                         daemon.stated(Purpose::kCommitted, 2, digest_of("what was signed"))};
  };
  daemon.restart();
  daemon.heartbeat();
  run(seconds(1));
  expect_epoch_one();
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("not the set that was signed"));
  expect_next_epoch_gets_through(3);
}

TEST_F(Signed, AnEpochBeforeTheLiveOneIsRefused) {
  join_at_epoch_one();
  const Manifest first = daemon.committed;
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  ASSERT_EQ(live("a"), "a2");
  // The same history as it was before, with a signature that is not even old.
  daemon.restart();
  daemon.committed = first;
  daemon.heartbeat();
  run(seconds(5));
  EXPECT_EQ(live("a"), "a2");
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("but epoch 2 was committed before"));
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("A rollback would be a new epoch"));
}

TEST_F(Signed, WhatRanLastTimeIsNotGoneBackBefore) {
  const Manifest two = daemon.make_manifest(2, {{"a", "a2"}});
  const Manifest one = daemon.make_manifest(1, {{"a", "a1"}});
  daemon.wall = wall_at(now);
  ASSERT_TRUE(options.trust.accept_remembered(*daemon.stated(Purpose::kCommitted, 2, two.digest()),
                                              daemon.id.repo, two));
  daemon.commit_silently(one);
  run(seconds(5));
  EXPECT_EQ(session().applied_epoch(), 0U);
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("but epoch 2 was committed before"));
}

TEST_F(Signed, AnIntendedRollbackIsANewEpoch) {
  join_at_epoch_one();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.publish(daemon.make_manifest(3, {{"a", "a1"}}));
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(session().applied_epoch(), 3U);
  EXPECT_EQ(live("a"), "a1");
}

TEST_F(Signed, AVoiceThatIsHeldBackIsNoticed) {
  join_at_epoch_one();
  // From now on what it said once is played again, answers included.
  const auto old = daemon.committed_statement();
  daemon.before_push = [old](Event& event) {
    if (auto* beat = std::get_if<HeartbeatEvent>(&event.body)) beat->statement = old;
  };
  daemon.instead = [this, old](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<AliveRequest>(request)) return AliveReply{daemon.id, true, 1, 1, old};
    if (!std::holds_alternative<HelloRequest>(request)) return std::nullopt;
    HelloReply reply;
    reply.daemon = daemon.id;
    reply.committed_epoch = 1;
    reply.statement = old;
    return reply;
  };
  run_with_heartbeats(limits::kStatementValidity - seconds(2));
  EXPECT_TRUE(events_of(Kind::kStale).empty());
  run_with_heartbeats(seconds(5));
  ASSERT_FALSE(events_of(Kind::kStale).empty());
  EXPECT_THAT(last_message(Kind::kStale), HasSubstr("played again"));
  expect_epoch_one();
  expect_next_epoch_gets_through(2);
}

TEST_F(Signed, ATrialIsForThoseThatWereNamed) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  Uuid other;
  other.bytes[0] = 9;
  CommitEvent trial{2, {options.identity.id}};
  const Digest manifest = daemon.pending_manifest.digest();
  // Signed for another one; signed for nobody.
  for (const auto& statement :
       {daemon.stated(Purpose::kTrial, 2, manifest, audience_digest(std::array{other})),
        daemon.stated(Purpose::kCommitted, 2, manifest), std::optional<SignedStatement>()}) {
    trial.statement = statement;
    link.push(daemon.event(trial));
    step();
    EXPECT_EQ(session().applied_epoch(), 1U);
  }
  trial.statement = daemon.stated(Purpose::kTrial, 2, manifest, audience_digest(trial.only));
  link.push(daemon.event(trial));
  step();
  EXPECT_EQ(session().applied_epoch(), 2U);
  // The daemon goes on to say that epoch 1 is the newest committed one, and is believed.
  daemon.heartbeat();
  step();
  EXPECT_TRUE(session().connected());
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Signed, AnOlderEpochIsPinnedOnlyWhenItIsSignedAsRetained) {
  join_at_epoch_one();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(2));
  ASSERT_EQ(live("a"), "a2");
  std::optional<Result<Pin>> got;
  const auto pin = [&] {
    got.reset();
    session().pin_epoch(1, now + seconds(5), [&](Result<Pin> answer) { got.emplace(std::move(answer)); });
    run(seconds(1));
  };
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<ManifestRequest>(request)) return std::nullopt;
    return ManifestReply{daemon.id, daemon.make_manifest(1, {{"a", "evil"}}),
                         daemon.stated(Purpose::kRetained, 1, daemon.manifests.at(1).digest())};
  };
  pin();
  ASSERT_TRUE(got);
  ASSERT_FALSE(got->ok());
  EXPECT_THAT(got->error().message, HasSubstr("not the set that was signed"));
  daemon.instead = {};
  pin();
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->ok());
}

TEST_F(Signed, ForgedNumbersOfEventsDoNotSilenceTheTrueOnes) {
  join_at_epoch_one();
  Event forged = daemon.event(AbortEvent{77, {}});
  forged.seq = std::uint64_t{1} << 60;
  link.push(forged);
  step();
  expect_next_epoch_gets_through(2);
}

TEST_F(SessionWorld, AForbiddenModuleIsRefusedWithItsMessage) {
  options.trust = client::Trust({}, {"a", "b*"});
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}, {"scorer", "s1"}}));
  step();
  EXPECT_TRUE(loader.prepared.empty());
  EXPECT_TRUE(daemon.blob_requests.empty());
  ASSERT_TRUE(acked(2, AckPhase::kFailed));
  ASSERT_EQ(daemon.acks.back().failures.size(), 1U);
  EXPECT_EQ(daemon.acks.back().failures[0].module, "scorer");
  EXPECT_THAT(daemon.acks.back().failures[0].error, HasSubstr("its `modules` are a, b*"));
  daemon.abort();
  step();
  EXPECT_EQ(live("a"), "a1");
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}, {"bear", "b1"}}));
  step();
  EXPECT_EQ(live("a"), "a3");
}

TEST_F(SessionWorld, ACommittedEpochWithAForbiddenModuleDoesNotRunHereEither) {
  options.trust = client::Trust({}, {"a"});
  join_at_epoch_one();
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}, {"scorer", "s1"}}));
  run_with_heartbeats(seconds(20));
  EXPECT_EQ(live("a"), "a1");
  EXPECT_TRUE(loader.prepared.empty());
  ASSERT_EQ(events_of(Kind::kFailed).size(), 1U);
  EXPECT_EQ(events_of(Kind::kFailed)[0].module, "scorer");
}

TEST_F(SessionWorld, InlineBytesOfAnotherSizeOrOfNothingAreNotKept) {
  join_at_epoch_one();
  daemon.before_push = [](Event& event) {
    auto* announce = std::get_if<AnnounceEvent>(&event.body);
    if (announce == nullptr) return;
    const std::string more(100'000, 'x');
    announce->inline_blobs.push_back({digest_of(more), share(more)});
    announce->changes[0].module.size += 1;
  };
  const Manifest two = daemon.make_manifest(2, {{"a", "a2"}});
  daemon.announce(two);
  step();
  // The declared size is not the one that was digested either: the manifest is asked for.
  EXPECT_EQ(daemon.manifest_requests, 1U);
  EXPECT_EQ(daemon.blob_requests.size(), 1U);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
}

}  // namespace
}  // namespace moddev::test
