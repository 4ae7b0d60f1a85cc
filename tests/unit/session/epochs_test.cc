// How an epoch becomes live in a session, and what can come between.
#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using Kind = ClientEvent::Kind;
using Epochs = SessionWorld;
using Losses = SessionWorld;
using Failures = SessionWorld;

TEST_F(Epochs, AnnouncedWithItsBytesNeedsNoFetch) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
  EXPECT_TRUE(daemon.blob_requests.empty());
  EXPECT_EQ(live("a"), "a1");
}

TEST_F(Epochs, AppliedWithinTheStepOfTheCommit) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}, {"b", "b2"}}));
  step();
  now += milliseconds(5);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
  EXPECT_EQ(session().applied_epoch(), 2U);
  EXPECT_TRUE(acked(2, AckPhase::kApplied));
  const auto applied = events_of(Kind::kApplied);
  ASSERT_EQ(applied.size(), 1U);
  EXPECT_EQ(applied[0].epoch, 2U);
  EXPECT_EQ(applied[0].modules, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(applied[0].elapsed_us, 5000);
}

// Begun and ended within one step, whose clock stands still, it was told as no time at all.
TEST_F(Epochs, ALoadWithinOneStepTookAsLongAsItTook) {
  join_at_epoch_one();
  loader.took = milliseconds(3);
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  ASSERT_TRUE(acked(2, AckPhase::kPrepared));
  EXPECT_EQ(daemon.acks.back().elapsed_us, 3000);
  daemon.commit();
  step();
  EXPECT_EQ(events_of(Kind::kApplied).at(0).elapsed_us, 3000);
}

TEST_F(Epochs, WhatDidNotComeWithTheAnnouncementIsFetched) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}), false);
  step();
  EXPECT_EQ(daemon.blob_requests.size(), 1U);
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
}

TEST_F(Epochs, WrongBytesInTheAnnouncementAreNotUsed) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  auto& announcement = std::get<AnnounceEvent>(std::get<Event>(link.inbox.back()).body);
  announcement.inline_blobs[0].bytes = share("evil");
  step();
  EXPECT_EQ(daemon.blob_requests.size(), 1U);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Epochs, UnchangedModulesAreTakenOver) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}, {"b", "b1"}}));
  step();
  const std::size_t loaded = loader.modules_loaded;
  daemon.publish(daemon.make_manifest(2, {{"a", "a1"}, {"b", "b2"}}));
  step();
  EXPECT_EQ(loader.modules_loaded, loaded + 1);
  EXPECT_EQ(live("b"), "b2");
}

TEST_F(Epochs, ADependentOfAChangedModuleIsFetchedWhenItIsNotInTheCache) {
  const std::map<std::string, std::vector<std::string>> needs{{"top", {"mid"}}, {"mid", {"low"}}};
  daemon.commit_silently(daemon.make_manifest(1, {{"top", "t"}, {"mid", "m"}, {"low", "l1"}}, needs));
  step();
  ASSERT_EQ(session().applied_epoch(), 1U);
  ASSERT_TRUE(cache.remove(digest_of("t")));
  daemon.blob_requests.clear();
  daemon.publish(daemon.make_manifest(2, {{"top", "t"}, {"mid", "m"}, {"low", "l2"}}, needs));
  step();
  EXPECT_EQ(session().applied_epoch(), 2U);
  ASSERT_EQ(daemon.blob_requests.size(), 1U);
  EXPECT_EQ(daemon.blob_requests[0].digest, digest_of("t"));
}

TEST_F(Epochs, ARemovedModuleIsGone) {
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}, {"b", "b1"}}));
  step();
  daemon.publish(daemon.make_manifest(2, {{"a", "a1"}}));
  step();
  EXPECT_EQ(session().applied_epoch(), 2U);
  EXPECT_EQ(live("b"), "(none)");
}

TEST_F(Epochs, AbortKeepsWhatIs) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.abort({{"worker-2", "a", "undefined symbol: foo"}});
  step();
  EXPECT_EQ(live("a"), "a1");
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{2}));
  const auto aborted = events_of(Kind::kAborted);
  ASSERT_EQ(aborted.size(), 1U);
  EXPECT_EQ(aborted[0].epoch, 2U);
  EXPECT_EQ(aborted[0].message,
            "Epoch 2 is not used by anyone: worker-2 cannot use a: undefined symbol: foo. Epoch 1 goes on.");
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_EQ(live("a"), "a3");
}

TEST_F(Epochs, ACanarySwitchesBeforeTheCommit) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.try_in(options.identity.id);
  step();
  EXPECT_EQ(live("a"), "a2");
  EXPECT_TRUE(acked(2, AckPhase::kApplied));
  EXPECT_EQ(session().status().committed, 2U) << "what it runs, as far as it knows";
  daemon.commit();
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_EQ(live("a"), "a3");
}

TEST_F(Epochs, WhoIsNoCanaryWaits) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.try_in(Uuid{});
  step();
  EXPECT_EQ(live("a"), "a1");
}

// It held the trial for a commit, so that the announcement, asked for again, was old news to it: it never
// switched, and the content was given up for all. Found by the simulation.
TEST_F(Epochs, ACanaryThatMissedTheAnnouncementAsksForIt) {
  join_at_epoch_one();
  daemon.heard = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heard = true;
  daemon.try_in(options.identity.id);
  run(client_limits::kSnapshotInterval);
  EXPECT_EQ(live("a"), "a2");
  EXPECT_TRUE(acked(2, AckPhase::kApplied));
}

TEST_F(Epochs, ACanaryThatIsNotReadyWhenItIsAbortedNeverRunsIt) {
  for (const bool heard : {true, false}) {
    SCOPED_TRACE(heard);
    if (heard) join_at_epoch_one();
    const Epoch epoch = daemon.head + 1;
    loader.immediate = false;
    daemon.announce(daemon.make_manifest(epoch, {{"a", "bad" + std::to_string(epoch)}}));
    step();
    daemon.try_in(options.identity.id);
    step();
    daemon.heard = heard;
    daemon.abort({{"worker-2", "a", "died"}});
    daemon.heard = true;
    daemon.heartbeat();
    step();
    loader.finish();
    loader.immediate = true;
    run(client_limits::kSnapshotInterval + client_limits::kReloadFirst);
    EXPECT_EQ(live("a"), "a1");
    EXPECT_FALSE(acked(epoch, AckPhase::kApplied));
  }
  daemon.publish(daemon.make_manifest(daemon.head + 1, {{"a", "good"}}));
  step();
  EXPECT_EQ(live("a"), "good");
}

TEST_F(Epochs, ANewerAnnouncementDropsTheOlderThatIsLoading) {
  join_at_epoch_one();
  loader.immediate = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.heard = false;
  daemon.abort();
  daemon.heard = true;
  daemon.announce(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2}));  // one at a time
  loader.finish();
  step();
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{2}));
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2, 3}));
  EXPECT_FALSE(acked(2, AckPhase::kPrepared));
  loader.finish();
  step();
  EXPECT_TRUE(acked(3, AckPhase::kPrepared));
}

TEST_F(Epochs, CommitBeforePreparedIsAppliedWhenPrepared) {
  join_at_epoch_one();
  loader.immediate = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a1");
  loader.finish();
  step();
  EXPECT_EQ(live("a"), "a2");
  EXPECT_FALSE(acked(2, AckPhase::kPrepared));
  EXPECT_TRUE(acked(2, AckPhase::kApplied));
}

TEST_F(Epochs, CommittedOnesThatCameMeanwhileAreSkipped) {
  join_at_epoch_one();
  loader.immediate = false;
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  daemon.publish(daemon.make_manifest(4, {{"a", "a4"}}));
  step();
  loader.finish();
  step();
  loader.finish();
  step();
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2, 4}));
  EXPECT_EQ(live("a"), "a4");
}

TEST_F(Epochs, AFormerViewIsRetiredWhenItsLastPinIsGone) {
  join_at_epoch_one();
  Pin pin = views.pin();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run_with_heartbeats(seconds(5));
  EXPECT_TRUE(loader.retired.empty());
  EXPECT_FALSE(acked(1, AckPhase::kDrained));
  pin = Pin();
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{1}));
  EXPECT_EQ(acks(1, AckPhase::kDrained), 1U);
  EXPECT_EQ(loader.modules_living(), 1U);
}

TEST_F(Epochs, WithoutPinsAFormerViewIsRetiredSoon) {
  join_at_epoch_one();
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run(milliseconds(10));
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{1}));
}

TEST_F(Epochs, APreparedViewIsRetiredWithTheSession) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  drop_session();
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{2}));
}

TEST_F(Epochs, AThousandInARowLeaveNothingBehind) {
  join_at_epoch_one();
  for (Epoch epoch = 2; epoch < 1000; ++epoch) {
    daemon.publish(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
    step();
    ASSERT_EQ(session().applied_epoch(), epoch);
    now += milliseconds(2);
  }
  run(milliseconds(500));
  EXPECT_EQ(loader.modules_living(), 1U);
  EXPECT_EQ(daemon.snapshots, 0U);
  EXPECT_EQ(daemon.manifest_requests, 0U);
}

// ---------------------------------------------------------------------------------------------------- losses

TEST_F(Losses, ALostAnnouncementIsRepairedAtTheCommit) {
  join_at_epoch_one();
  daemon.heard = false;
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heard = true;
  daemon.commit();
  step();
  EXPECT_EQ(daemon.snapshots, 1U);
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Losses, ALostCommitIsRepairedByTheHeartbeat) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.heard = false;
  daemon.commit();
  daemon.heard = true;
  daemon.heartbeat();
  step();
  EXPECT_EQ(live("a"), "a2");
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2}));  // what was prepared is used
}

TEST_F(Losses, ALostCommitIsRepairedByAlive) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.heard = false;
  daemon.commit();
  run(limits::kHeartbeatInterval);
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Losses, ALostAbortIsNoticed) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.heard = false;
  daemon.abort();
  daemon.heard = true;
  daemon.heartbeat();
  step();
  EXPECT_EQ(events_of(Kind::kAborted).size(), 1U);
  EXPECT_EQ(loader.retired, (std::vector<Epoch>{2}));
  // And is not asked about at each heartbeat.
  run_with_heartbeats(seconds(5));
  EXPECT_EQ(daemon.snapshots, 1U);
}

TEST_F(Losses, EverythingLostForAWhileEndsAtTheNewestEpoch) {
  join_at_epoch_one();
  for (Epoch epoch = 2; epoch <= 20; ++epoch) {
    daemon.commit_silently(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
  }
  daemon.heartbeat();
  step();
  EXPECT_EQ(session().applied_epoch(), 20U);
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{20}));
}

TEST_F(Losses, SnapshotsAreNotAskedForInACrowd) {
  join_at_epoch_one();
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<SnapshotRequest>(body)) return std::nullopt;
    return std::optional<ReplyBody>(SnapshotReply{daemon.id, 1000, daemon.committed, {}});
  };
  for (unsigned i = 0; i < 1000; ++i) {
    daemon.seq += 10;
    daemon.push(daemon.event(CommitEvent{5}));
    step();
    now += milliseconds(1);
  }
  EXPECT_LE(daemon.snapshots, 1000 / 100 + 2U);
  EXPECT_GE(daemon.snapshots, 5U);
}

TEST_F(Losses, RepetitionsDoNoHarm) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  const Event announcement = std::get<Event>(link.inbox.back());
  for (unsigned i = 0; i < 3; ++i) link.push(announcement);
  step();
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2}));
  EXPECT_EQ(acks(2, AckPhase::kPrepared), 1U);
  daemon.commit();
  const Event commit = std::get<Event>(link.inbox.back());
  for (unsigned i = 0; i < 3; ++i) link.push(commit);
  step();
  EXPECT_EQ(events_of(Kind::kApplied).size(), 1U);
  EXPECT_EQ(daemon.snapshots, 0U);
}

TEST_F(Losses, LateEventsAreIgnored) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  const Event announcement = std::get<Event>(link.inbox.back());
  step();
  daemon.abort();
  step();
  link.push(announcement);
  step();
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2}));
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  link.push(announcement);
  step();
  EXPECT_EQ(live("a"), "a3");
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2, 3}));
}

TEST_F(Losses, ASnapshotThatEventsHaveOvertakenIsAskedForAgain) {
  join_at_epoch_one();
  std::optional<Request> open;
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (!std::holds_alternative<SnapshotRequest>(body) || open) return std::nullopt;
    open = daemon.requests.back();
    return std::optional<ReplyBody>();
  };
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  ASSERT_TRUE(open);
  const SnapshotReply old{daemon.id, daemon.seq, daemon.committed, {}};
  daemon.announce(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  link.push(Reply{open->id, old});
  run(milliseconds(200));
  EXPECT_EQ(session().applied_epoch(), 2U);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a3");
}

TEST_F(Losses, AnUnknownBaseIsRepairedByTheManifest) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  auto& announcement = std::get<AnnounceEvent>(std::get<Event>(link.inbox.back()).body);
  announcement.base = 77;
  step();
  EXPECT_EQ(daemon.manifest_requests, 1U);
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
}

TEST_F(Losses, ChangesThatDoNotGiveTheAnnouncedManifestAreRepaired) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  auto& announcement = std::get<AnnounceEvent>(std::get<Event>(link.inbox.back()).body);
  announcement.changes[0].module.version = 99;
  step();
  EXPECT_EQ(daemon.manifest_requests, 1U);
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a2");
  EXPECT_EQ(views.current()->manifest(), daemon.committed);
}

TEST_F(Losses, AManifestWithAnotherDigestIsRefused) {
  join_at_epoch_one();
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  auto& announcement = std::get<AnnounceEvent>(std::get<Event>(link.inbox.back()).body);
  announcement.manifest_digest = digest_of("something else");
  step();
  EXPECT_TRUE(acked(2, AckPhase::kFailed));
  EXPECT_EQ(live("a"), "a1");
}

TEST_F(Losses, AFetchGoesOnAfterARestartOfTheDaemon) {
  join_at_epoch_one();
  daemon.instead = [&](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<BlobRequest>(body)) return std::optional<ReplyBody>();
    return std::nullopt;
  };
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  EXPECT_EQ(session().applied_epoch(), 1U);
  daemon.instead = nullptr;
  daemon.restart();
  run_with_heartbeats(milliseconds(1200));
  EXPECT_EQ(session().applied_epoch(), 2U);
}

// -------------------------------------------------------------------------------------------------- failures

TEST_F(Failures, AllOfASetAreToldTogether) {
  join_at_epoch_one();
  loader.refused[digest_of("a2")] = "undefined symbol: foo";
  loader.refused[digest_of("b2")] = "undefined symbol: bar";
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}, {"b", "b2"}, {"c", "c2"}}));
  step();
  ASSERT_TRUE(acked(2, AckPhase::kFailed));
  EXPECT_EQ(daemon.acks.back().failures,
            (std::vector<ModuleFailure>{{"a", "undefined symbol: foo"}, {"b", "undefined symbol: bar"}}));
  const auto failed = events_of(Kind::kFailed);
  ASSERT_EQ(failed.size(), 2U);
  EXPECT_EQ(failed[0].module, "a");
  EXPECT_EQ(failed[0].message, "undefined symbol: foo");
  daemon.abort({{"worker-1", "a", "undefined symbol: foo"}});
  step();
  EXPECT_TRUE(events_of(Kind::kAborted).empty());  // it knows already
  EXPECT_EQ(live("a"), "a1");
  EXPECT_EQ(session().status().failures.size(), 2U);
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_EQ(live("a"), "a3");
  EXPECT_TRUE(session().status().failures.empty());
}

TEST_F(Failures, ACommittedEpochThatDoesNotLoadHereKeepsTheLastGoodOne) {
  join_at_epoch_one();
  loader.refused[digest_of("a2")] = "undefined symbol: foo";
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  EXPECT_EQ(live("a"), "a1");
  EXPECT_TRUE(acked(2, AckPhase::kFailed));
  daemon.alives.clear();
  run_with_heartbeats(seconds(4));
  ASSERT_FALSE(daemon.alives.empty());
  EXPECT_EQ(daemon.alives.back().state, ExecutorState::kFailed);
  EXPECT_EQ(loader.prepared, (std::vector<Epoch>{2}));
  // Tried again, slowly.
  run_with_heartbeats(seconds(120));
  EXPECT_GE(loader.prepared.size(), 3U);
  EXPECT_LE(loader.prepared.size(), 7U);
  EXPECT_EQ(events_of(Kind::kFailed).size(), 1U);  // the same reason is told once
  loader.refused.clear();
  run_with_heartbeats(seconds(61));
  EXPECT_EQ(live("a"), "a2");
}

TEST_F(Failures, ANewerEpochIsTriedAtOnce) {
  join_at_epoch_one();
  loader.refused[digest_of("a2")] = "undefined symbol: foo";
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  daemon.announce(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_TRUE(acked(3, AckPhase::kPrepared));
  EXPECT_EQ(daemon.manifest_requests, 0U);  // the base is known although it does not run
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a3");
}

TEST_F(Failures, AnEpochThatFailedHereButIsCommittedAllTheSameIsTriedLater) {
  join_at_epoch_one();
  loader.refused[digest_of("a2")] = "no";
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}));
  step();
  daemon.commit();
  step();
  EXPECT_EQ(live("a"), "a1");
  loader.refused.clear();
  run_with_heartbeats(client_limits::kReloadFirst + seconds(1));
  EXPECT_EQ(live("a"), "a2");
}

// The second fetch took the first one's place, its end counted for both, and epoch 3 was refused for want of
// bytes. Found by the simulation.
TEST_F(Failures, ARetryThatTakesTheFetchOfAnAnnouncedEpochGivesItBack) {
  join_at_epoch_one();
  loader.refused[digest_of("a2")] = "no";
  daemon.commit_silently(daemon.make_manifest(2, {{"a", "a2"}}));
  daemon.heartbeat();
  step();
  loader.refused.clear();
  daemon.instead = [](const RequestBody& body) -> std::optional<std::optional<ReplyBody>> {
    const auto* wanted = std::get_if<BlobRequest>(&body);
    if (wanted == nullptr || wanted->digest == digest_of("a2")) return std::nullopt;
    return std::optional<ReplyBody>();  // those of epoch 3 stay away for now
  };
  daemon.announce(daemon.make_manifest(3, {{"a", "a3"}, {"b", "b3"}}), false);
  run_with_heartbeats(client_limits::kReloadFirst + seconds(1));
  EXPECT_EQ(live("a"), "a2");
  EXPECT_FALSE(acked(3, AckPhase::kFailed));
  daemon.instead = nullptr;
  run_with_heartbeats(client_limits::kPieceLast);
  EXPECT_TRUE(acked(3, AckPhase::kPrepared));
  EXPECT_FALSE(acked(3, AckPhase::kFailed));
}

TEST_F(Failures, ADamagedBlobInTheCacheIsFetchedAgain) {
  join_at_epoch_one();
  ASSERT_TRUE(cache.put(digest_of("a2"), as_bytes("a2")));
  unsigned tries = 0;
  loader.refuse = [&](const ModuleEntry& entry) -> std::optional<std::string> {
    if (entry.digest != digest_of("a2") || ++tries > 1) return std::nullopt;
    EXPECT_TRUE(cache.remove(entry.digest));  // as read() does with one that does not have its digest
    return "damaged";
  };
  daemon.announce(daemon.make_manifest(2, {{"a", "a2"}}), false);
  step();
  EXPECT_EQ(daemon.blob_requests.size(), 1U);
  EXPECT_TRUE(acked(2, AckPhase::kPrepared));
  EXPECT_FALSE(acked(2, AckPhase::kFailed));
}

TEST_F(Failures, BytesThatTheDaemonDoesNotHaveAreAFailureWithTheReason) {
  join_at_epoch_one();
  const Manifest manifest = daemon.make_manifest(2, {{"a", "a2"}});
  daemon.blobs.erase(digest_of("a2"));
  daemon.pending_manifest = manifest;
  ++daemon.seq;
  AnnounceEvent announcement{2, 1, manifest.digest(), diff(daemon.committed, manifest), {}};
  daemon.pending = announcement;
  daemon.push(daemon.event(announcement));
  step();
  ASSERT_TRUE(acked(2, AckPhase::kFailed));
  EXPECT_EQ(daemon.acks.back().failures[0].module, "a");
  EXPECT_NE(daemon.acks.back().failures[0].error.find("no such blob"), std::string::npos);
}

}  // namespace
}  // namespace moddev::test
