// The daemon's step from end to end: publishing, switching, serving, restarting.
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

TEST_F(DaemonTest, PublishesNothingBeforeTheFirstScan) {
  settle();
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(journal->head(), 0U);
}

TEST_F(DaemonTest, AnEmptyDirectoryIsNoEpoch) {
  write({});
  EXPECT_EQ(journal->head(), 0U);
}

TEST_F(DaemonTest, TheFirstScanIsOneEpochAndLiveAtOnceWithNobodyThere) {
  write({{"a", "1"}, {"b", "2"}});
  EXPECT_EQ(journal->committed().epoch, 1U);
  EXPECT_EQ(journal->committed().modules.size(), 2U);
  ASSERT_EQ(all<PublishedEvent>().size(), 1U);
  EXPECT_EQ(all<PublishedEvent>()[0].changes.size(), 2U);
  ASSERT_EQ(all<CommittedEvent>().size(), 1U);
  EXPECT_EQ(all<CommittedEvent>()[0].changes.size(), 2U);
  const auto events = sent();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].seq, 1U);
  EXPECT_EQ(events[1].seq, 2U);
  EXPECT_TRUE(std::get<AnnounceEvent>(events[0].body).inline_blobs.empty()) << "there is nobody to read them";
}

TEST_F(DaemonTest, SmallModulesTravelInsideTheAnnouncement) {
  Executor& executor = add("w");
  const std::string large(limits::kInlineModuleBytes + 1, 'x');
  write({{"a", "first"}, {"same", "first"}, {"large", large}, {"b", "second"}});
  const auto announce = std::get<AnnounceEvent>(sent().at(0).body);
  ASSERT_EQ(announce.inline_blobs.size(), 2U);
  for (const AnnounceEvent::Inline& blob : announce.inline_blobs)
    EXPECT_EQ(digest_of(*blob.bytes), blob.digest);
  EXPECT_EQ(announce.manifest_digest, journal->committed().digest());
  EXPECT_EQ(executor.runs, 1U);
}

TEST_F(DaemonTest, BytesInsideAnAnnouncementAreBounded) {
  add("w");
  std::map<std::string, std::string> content;
  for (int i = 0; i < 8; ++i)
    content["m" + std::to_string(i)] = std::string(limits::kInlineModuleBytes - 1, char('a' + i));
  write(content);
  std::size_t total = 0;
  const auto first = std::get<AnnounceEvent>(sent().at(0).body);
  for (const auto& blob : first.inline_blobs) total += blob.bytes->size();
  EXPECT_LE(total, limits::kInlineAnnouncementBytes);
  EXPECT_GT(total, limits::kInlineAnnouncementBytes / 2);

  content.clear();
  for (int i = 0; i < 100; ++i) content["n" + std::to_string(i)] = std::to_string(i);
  write(content);
  EXPECT_EQ(std::get<AnnounceEvent>(sent().at(2).body).inline_blobs.size(), limits::kInlineBlobs);
}

TEST_F(DaemonTest, EveryoneSwitchesTogetherAndItIsToldAndRecorded) {
  add("w1");
  add("w2");
  write({{"m", "1"}});
  EXPECT_EQ(executors[0]->runs, 1U);
  EXPECT_EQ(executors[1]->runs, 1U);
  ASSERT_EQ(all<PublishedEvent>().size(), 1U);
  EXPECT_EQ(all<PublishedEvent>()[0].executors, 2U);
  ASSERT_EQ(all<CommittedEvent>().size(), 1U);
  EXPECT_EQ(all<CommittedEvent>()[0].applied, 2U);
  EXPECT_EQ(all<CommittedEvent>()[0].excluded, 0U);
  EXPECT_EQ(journal->applied(1)->size(), 2U);
}

TEST_F(DaemonTest, AnExecutorWhoseBytesAreMissingHoldsTheCommitUpForAll) {
  add("w1");
  Executor& slow = add("w2");
  slow.mute = true;
  write({{"m", "1"}});
  EXPECT_EQ(journal->head(), 1U);
  EXPECT_EQ(journal->committed().epoch, 0U);
  EXPECT_EQ(executors[0]->runs, 0U);
  slow.mute = false;
  slow.ack(1, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(journal->committed().epoch, 1U);
  EXPECT_EQ(slow.runs, 1U);
}

TEST_F(DaemonTest, WhatChangesDuringASwitchWaitsAndIsMerged) {
  Executor& executor = add("w");
  executor.mute = true;
  write({{"a", "1"}});
  write({{"a", "2"}});
  write({{"a", "3"}, {"b", "1"}});
  EXPECT_EQ(journal->head(), 1U);
  executor.mute = false;
  executor.ack(1, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(journal->committed().epoch, 2U);
  EXPECT_EQ(journal->committed().find("a")->version, 2U) << "the stale build in between was never published";
  EXPECT_EQ(executor.runs, 2U);
}

TEST_F(DaemonTest, BytesThatTheStoreLostAreReadAgainFromTheDirectory) {
  Executor& executor = add("w");
  write({{"m", "current"}});
  write({{"m", "newer"}});
  ASSERT_TRUE(blobs.remove(digest_of("newer")));
  ASSERT_TRUE(blobs.remove(digest_of("current")));
  const auto error = std::get<ErrorReply>(ask(executor, BlobRequest{digest_of("newer"), 0, 100}));
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_GT(error.retry_after_ms, 0);
  EXPECT_EQ(feed.to_read_again, std::vector<std::string>{"m"});
  ASSERT_EQ(all<WarningEvent>().size(), 1U);
  EXPECT_EQ(all<WarningEvent>()[0].code, "stored_bytes_read_again");
  // Asked again, and of what the directory does not have.
  (void)ask(executor, BlobRequest{digest_of("newer"), 0, 100});
  EXPECT_EQ(feed.to_read_again.size(), 1U) << "once is enough for a while";
  now += limits::kLookForLostBytes;
  EXPECT_EQ(std::get<ErrorReply>(ask(executor, BlobRequest{digest_of("current"), 0, 100})).code,
            ErrorCode::kNotFound);
  // The watcher has read it.
  ASSERT_TRUE(blobs.put(digest_of("newer"), as_bytes("newer")));
  EXPECT_TRUE(std::holds_alternative<BlobReply>(ask(executor, BlobRequest{digest_of("newer"), 0, 100})));
}

TEST_F(DaemonTest, ARefreshLooksForBytesThatTheStoreLost) {
  Executor& executor = add("w");
  write({{"m", "1"}, {"n", "2"}});
  ASSERT_TRUE(blobs.remove(digest_of("2")));
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_EQ(feed.to_read_again, std::vector<std::string>{"n"});
}

// So many once, and then none ever again.
TEST_F(DaemonTest, RefreshesLookForSoManyLostBytesAtOnceAndForMoreLater) {
  Executor& executor = add("w");
  std::map<std::string, std::string> content;
  for (std::size_t i = 0; i < limits::kLostBytesAtOnce + 3; ++i)
    content["m" + std::to_string(i)] = std::to_string(i);
  write(content);
  for (const auto& [name, bytes] : content) ASSERT_TRUE(blobs.remove(digest_of(bytes)));
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_EQ(feed.to_read_again.size(), limits::kLostBytesAtOnce);
  now += limits::kReadAgainFor;
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_EQ(feed.to_read_again.size(), 2 * limits::kLostBytesAtOnce);
}

TEST_F(DaemonTest, ChangedAndChangedBackIsNothing) {
  Executor& executor = add("w");
  write({{"a", "1"}});
  executor.mute = true;
  write({{"a", "2"}});
  write({{"a", "1"}});
  executor.mute = false;
  executor.ack(2, AckPhase::kFailed);
  settle();
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(journal->committed().epoch, 1U);
}

TEST_F(DaemonTest, ARefreshIsAnsweredWhenWhatItFoundIsDecided) {
  Executor& executor = add("w");
  write({{"a", "1"}});
  feed.hold_syncs = true;
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_FALSE(executor.last_reply()) << "not synced yet";
  executor.mute = true;
  feed.write(blobs, {{"a", "2"}}, now);
  feed.hold_syncs = false;
  settle();
  EXPECT_FALSE(executor.last_reply()) << "not decided yet";
  executor.mute = false;
  executor.ack(2, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(executor.last<RefreshReply>(), (RefreshReply{2, 2}));
}

TEST_F(DaemonTest, ARefreshThatFindsNothingIsAnsweredAtOnce) {
  Executor& executor = add("w");
  write({{"a", "1"}});
  EXPECT_EQ(std::get<RefreshReply>(ask(executor, RefreshRequest{})), (RefreshReply{1, 1}));
}

TEST_F(DaemonTest, ARefreshBeforeTheFirstScanWaitsForIt) {
  Executor& executor = add("w");
  feed.hold_syncs = true;
  executor.ask(RefreshRequest{});
  settle();
  EXPECT_FALSE(executor.last_reply());
  feed.hold_syncs = false;
  write({});
  EXPECT_EQ(std::get<RefreshReply>(executor.last_reply().value()), (RefreshReply{0, 0}));
}

TEST_F(DaemonTest, WaitingRefreshesAreBoundedAndEachIsAnsweredInTime) {
  Executor& executor = add("w");
  write({});
  feed.hold_syncs = true;
  for (std::size_t n = 0; n < limits::kWaitingRefreshes; ++n) executor.ask(RefreshRequest{});
  settle();
  executor.replies.clear();
  const ReplyBody busy = ask(executor, RefreshRequest{});
  EXPECT_EQ(std::get<ErrorReply>(busy).code, ErrorCode::kLimit);
  EXPECT_GT(std::get<ErrorReply>(busy).retry_after_ms, 0);
  executor.replies.clear();
  pass(limits::kRefreshPatience);
  std::size_t timeouts = 0;
  for (const Reply& reply : executor.replies) {
    const auto* error = std::get_if<ErrorReply>(&reply.body);
    timeouts += error != nullptr && error->code == ErrorCode::kTimeout ? 1 : 0;
  }
  EXPECT_EQ(timeouts, limits::kWaitingRefreshes);
}

TEST_F(DaemonTest, AJoinerDuringASwitchGetsCommittedAndPending) {
  Executor& first = add("w1");
  write({{"a", "1"}});
  first.mute = true;
  write({{"a", "2"}});
  Executor& joiner = add("w2");
  EXPECT_EQ(joiner.last_snapshot.committed.epoch, 1U);
  ASSERT_TRUE(joiner.last_snapshot.pending);
  EXPECT_EQ(joiner.last_snapshot.pending->epoch, 2U);
  EXPECT_TRUE(joiner.last_snapshot.pending->inline_blobs.empty());
  EXPECT_EQ(joiner.last_snapshot.seq, 3U);
  first.mute = false;
  first.ack(2, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(joiner.runs, 2U);
  EXPECT_EQ(first.runs, 2U);
  EXPECT_EQ(all<CommittedEvent>().back().applied, 2U);
}

/// Every answer to an ack would wake a process that the others have to share the processors with.
TEST_F(DaemonTest, AcksAreAnsweredWhenTheSwitchIsOver) {
  add("slow");
  add("quick");
  executors[0]->mute = true;
  write({{"m", "1"}});
  ASSERT_EQ(executors[1]->acks_answered(), 0U);
  pass(limits::kLateReplyDelay - milliseconds(1));
  EXPECT_EQ(executors[1]->acks_answered(), 0U);
  pass(milliseconds(1));
  EXPECT_EQ(executors[1]->acks_answered(), 1U) << "it would be asked again";
  executors[0]->ack(1, AckPhase::kPrepared);
  settle();
  executors[0]->ack(1, AckPhase::kApplied);
  settle();
  EXPECT_EQ(journal->committed().epoch, 1U);
  EXPECT_EQ(executors[0]->acks_answered(), 2U);
  EXPECT_EQ(executors[1]->acks_answered(), 2U);
}

TEST_F(DaemonTest, AnswersThatWaitAreBounded) {
  Executor& other = add("quick");
  add("slow").mute = true;
  other.mute = true;
  write({{"m", "1"}});
  for (std::size_t n = 0; n <= limits::kLateReplies; ++n) other.ack(1, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(other.acks_answered(), 1U);
}

TEST_F(DaemonTest, NumbersOfAnotherRepoMeanNothing) {
  write({{"a", "1"}});
  Executor stranger(transport, "stranger");
  stranger.mute = true;
  stranger.runs = 1;
  stranger.join(Uuid::random());
  stranger.ask(StatusRequest{});
  settle();
  stranger.turn();
  EXPECT_EQ(stranger.last<StatusReply>().value().executors.at(0).epoch, 0U);
}

TEST_F(DaemonTest, ThePersonIsToldOfAnExecutorThatCannotUseTheCommittedEpoch) {
  write({{"m", "1"}});
  Executor fresh(transport, "fresh");
  fresh.mute = true;
  fresh.join();
  fresh.ack(1, AckPhase::kFailed);
  fresh.ack(1, AckPhase::kFailed);
  settle();
  ASSERT_EQ(all<WarningEvent>().size(), 1U);
  EXPECT_EQ(all<WarningEvent>()[0].code, "executor_failed");
  EXPECT_EQ(all<WarningEvent>()[0].message,
            "fresh cannot use epoch 1: m: undefined symbol. It has nothing else to run.");
}

TEST_F(DaemonTest, WhatAnExecutorHasToSayIsToldThePersonOnceForAsLongAsItIsSo) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  for (int i = 0; i < 3; ++i) executor.alive({"It cannot unload 'm'."});
  settle();
  ASSERT_EQ(all<WarningEvent>().size(), 1U);
  EXPECT_EQ(all<WarningEvent>()[0].code, "executor_note");
  EXPECT_EQ(all<WarningEvent>()[0].message, "w: It cannot unload 'm'.");
  executor.alive();
  executor.alive({"It cannot unload 'm'.", "Nor 'n'."});
  settle();
  ASSERT_EQ(all<WarningEvent>().size(), 3U);
  EXPECT_EQ(all<WarningEvent>()[2].message, "w: Nor 'n'.");
}

TEST_F(DaemonTest, HeartbeatsTellTheHeadAndTakeNoSeq) {
  add("w");
  write({{"a", "1"}});
  const std::size_t before = transport.published().size();
  pass(seconds(10));
  std::size_t beats = 0;
  for (std::size_t n = before; n < transport.published().size(); ++n) {
    const Event& event = transport.published()[n];
    ++beats;
    EXPECT_EQ(std::get<HeartbeatEvent>(event.body), (HeartbeatEvent{1, 1}));
    EXPECT_EQ(event.seq, 2U);
  }
  EXPECT_EQ(beats, 10U);
}

TEST_F(DaemonTest, RequestsOfOneStepAreBounded) {
  Executor& executor = add("w");
  write({});
  for (std::size_t n = 0; n < limits::kRequestsPerStep + 1; ++n) executor.ask(StatusRequest{});
  executor.replies.clear();
  EXPECT_EQ(daemon->step(now, wall()), now) << "there is more to do";
  executor.turn();
  EXPECT_EQ(executor.replies.size(), limits::kRequestsPerStep);
  settle();
  EXPECT_EQ(executor.replies.size(), limits::kRequestsPerStep + 1);
}

TEST_F(DaemonTest, UntakenEventsAreBoundedAndTheLossIsTold) {
  write({});
  for (std::size_t n = 0; n < limits::kWaitingEvents + 3; ++n) feed.output.rejections.push_back({"p", "r"});
  daemon->step(now, wall());
  const auto events = daemon->take_events();
  ASSERT_EQ(events.size(), limits::kWaitingEvents + 1);
  EXPECT_EQ(std::get<WarningEvent>(events.front()).code, "events_dropped");
  EXPECT_TRUE(std::get<WarningEvent>(events.front()).message.starts_with("3 ")) << "says how many";
}

TEST_F(DaemonTest, BlobsComeInPieces) {
  Executor& executor = add("w");
  const std::string large(limits::kChunkBytes + 10, 'x');
  write({{"large", large}});
  const Digest digest = digest_of(large);
  const auto first = std::get<BlobReply>(ask(executor, BlobRequest{digest, 0, limits::kChunkBytes}));
  EXPECT_EQ(first.bytes->size(), limits::kChunkBytes);
  EXPECT_EQ(first.total, large.size());
  const auto rest =
      std::get<BlobReply>(ask(executor, BlobRequest{digest, limits::kChunkBytes, limits::kChunkBytes}));
  EXPECT_EQ(rest.bytes->size(), 10U);
  const auto code = [&](RequestBody body) {
    return std::get<ErrorReply>(ask(executor, std::move(body))).code;
  };
  EXPECT_EQ(code(BlobRequest{digest, 0, limits::kChunkBytes + 1}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(BlobRequest{digest, large.size() + 1, 1}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(BlobRequest{Digest{}, 0, 1}), ErrorCode::kNotFound);
}

TEST_F(DaemonTest, GetModuleSaysLatestOrGivesTheBytes) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  write({{"m", "2"}});
  const Uuid repo = journal->id().repo;
  const auto get = [&](Version have, Uuid of, Version version) {
    return ask(executor, ModuleRequest{"m", have, of, version});
  };
  const auto newest = std::get<ModuleReply>(get(0, {}, 0));
  EXPECT_FALSE(newest.latest);
  EXPECT_EQ(newest.module.version, 2U);
  EXPECT_EQ(as_text(*newest.bytes), "2");
  EXPECT_TRUE(std::get<ModuleReply>(get(2, repo, 0)).latest);
  EXPECT_FALSE(std::get<ModuleReply>(get(2, Uuid::random(), 0)).latest) << "another repo's numbers";
  EXPECT_FALSE(std::get<ModuleReply>(get(1, repo, 0)).latest);
  const auto old = std::get<ModuleReply>(get(0, {}, 1));
  EXPECT_EQ(old.module.version, 1U);
  EXPECT_EQ(old.epoch, 1U);
  EXPECT_EQ(as_text(*old.bytes), "1");
  EXPECT_EQ(std::get<ErrorReply>(get(0, {}, 9)).code, ErrorCode::kNotFound);
  write({{"scorer", "1"}});
  const auto unknown = std::get<ErrorReply>(ask(executor, ModuleRequest{"scor", 0, {}, 0}));
  EXPECT_EQ(unknown.message, "There is no module 'scor' in epoch 3. Did you mean scorer?");
}

TEST_F(DaemonTest, HelloManifestAndStatusTellWhatThereIs) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  const auto hello = std::get<HelloReply>(ask(executor, HelloRequest{"x"}));
  EXPECT_EQ(hello.daemon, journal->id());
  EXPECT_EQ(hello.events_endpoint, "fake-events");
  EXPECT_EQ(hello.heartbeat_ms, 1000);
  EXPECT_EQ(hello.lease_ms, 3000);
  EXPECT_EQ(hello.pid, 42);
  EXPECT_EQ(hello.committed_epoch, 1U);
  EXPECT_EQ(std::get<ManifestReply>(ask(executor, ManifestRequest{1})).manifest, journal->committed());
  EXPECT_TRUE(std::get<ManifestReply>(ask(executor, ManifestRequest{0})).manifest.modules.empty());
  EXPECT_EQ(std::get<ErrorReply>(ask(executor, ManifestRequest{5})).code, ErrorCode::kNotFound);
  const auto status = std::get<StatusReply>(ask(executor, StatusRequest{}));
  EXPECT_EQ(status.directory, "/project/build");
  EXPECT_EQ(status.backend, "scripted");
  ASSERT_EQ(status.modules.size(), 1U);
  ASSERT_EQ(status.executors.size(), 1U);
  EXPECT_EQ(status.executors[0].state, ExecutorState::kLive);
}

TEST_F(DaemonTest, AStrangersAckAndAliveAreAnsweredWithJoinAgain) {
  Executor stranger(transport, "stranger");
  stranger.ask(AliveRequest{});
  settle();
  stranger.turn();
  EXPECT_FALSE(std::get<AliveReply>(stranger.last_reply().value()).member);
  stranger.ack(1, AckPhase::kPrepared);
  settle();
  stranger.turn();
  EXPECT_EQ(std::get<ErrorReply>(stranger.last_reply().value()).code, ErrorCode::kNotFound);
}

TEST_F(DaemonTest, AfterARestartAnUnchangedDirectoryPublishesNothingAndChangesAreOneChangeset) {
  write({{"a", "1"}, {"b", "1"}});
  start();
  feed.restart(now);
  settle();
  EXPECT_EQ(journal->head(), 1U);
  start();
  feed.change_unseen(blobs, {{"a", "2"}, {"c", "1"}});
  feed.restart(now);
  settle();
  EXPECT_EQ(journal->head(), 2U);
  EXPECT_EQ(journal->epoch(2)->changes.size(), 3U);
}

TEST_F(DaemonTest, ARefusalHoldsAcrossARestartUntilSomebodyIsThereToBeAsked) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  executor.refuses = true;
  write({{"m", "broken"}});
  ASSERT_EQ(journal->committed().epoch, 1U);
  executors.clear();
  start();
  feed.restart(now);
  settle();
  pass(seconds(5));
  EXPECT_EQ(journal->head(), 2U) << "nobody was there to agree";
  add("new");
  pass(seconds(2));
  EXPECT_EQ(journal->committed().epoch, 3U);
}

// Restarted over a refused epoch, and with a first scan that takes long (no leases), the daemon wanted to
// retry at once, could not, and was stepped again and again. Found by the simulation.
TEST_F(DaemonTest, ARetryThatHasToWaitForTheFirstScanDoesNotSpin) {
  Executor& executor = add("w");
  write({{"m", "1"}});
  executor.refuses = true;
  write({{"m", "broken"}});
  start();
  executor.refuses = false;
  executor.join();
  settle();
  pass(seconds(2));
  EXPECT_GT(due, now);
  feed.restart(now);
  settle();
  EXPECT_EQ(journal->committed().find("m")->version, 2U);
}

TEST_F(DaemonTest, ALongSleepCostsNobodyTheirPlace) {
  add("w");
  write({{"m", "1"}});
  now += seconds(3600);
  settle();
  pass(seconds(2));
  for (const ExecutorEvent& event : all<ExecutorEvent>()) EXPECT_EQ(event.kind, ExecutorEvent::Kind::kJoined);
}

TEST_F(DaemonTest, AnIdleDaemonSleepsUntilItsHeartbeat) {
  write({});
  EXPECT_EQ(due, now + limits::kHeartbeatInterval);
}

}  // namespace
}  // namespace moddev::daemon
