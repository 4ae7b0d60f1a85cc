// The bounds that only the daemon knows. Each says what happens when it is reached.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "protocol/limits.h"

namespace moddev::daemon::limits {

using namespace moddev::limits;  // so that `limits::` in the daemon means both

/// Requests answered in one step before watcher and fleet get their turn again. The rest wait in the sockets.
inline constexpr std::size_t kRequestsPerStep = 256;
/// Answers to acks that wait for the end of a switch, at most so many and so long: far below the time after
/// which an executor repeats its request. One more is sent at once.
inline constexpr std::size_t kLateReplies = 2 * kExecutors;
/// Executors of which is known who may speak for them: more than are members, so that those who were lost are
/// not forgotten at once.
inline constexpr std::size_t kSpeakers = 2 * kExecutors;
inline constexpr auto kLateReplyDelay = std::chrono::milliseconds(20);
/// Refreshes waiting for their answer. One more is answered with kLimit and a retry-after.
inline constexpr std::size_t kWaitingRefreshes = 256;
/// A refresh that is not decided for so long is answered with kTimeout.
inline constexpr auto kRefreshPatience = std::chrono::seconds(60);
/// Builds that ended and are remembered, so that the end can be asked for again when its answer got lost. The
/// oldest are forgotten first; asked for again, they begin and end anew, which finds nothing to publish.
inline constexpr std::size_t kEndedBuilds = 64;
/// Answers that ends of builds wait for. One more is answered with kLimit and a retry-after.
inline constexpr std::size_t kWaitingBuildEnds = 256;
/// Rollbacks waiting for their turn; one more is answered with kLimit and a retry-after. And the last ones,
/// whose answers are remembered in case that they got lost.
inline constexpr std::size_t kWaitingRollbacks = 16;
inline constexpr std::size_t kEndedRollbacks = 64;
/// How long a starting daemon waits for the locks of one that is going, and how often it looks.
inline constexpr auto kHandover = std::chrono::milliseconds(1'000);
inline constexpr auto kHandoverPause = std::chrono::milliseconds(5);
/// Events for the terminal that nobody has taken yet. The oldest are dropped and counted in a warning.
inline constexpr std::size_t kWaitingEvents = 10'000;
/// How often the journal is asked again after it refused a record; doubles from the first to the last.
inline constexpr auto kJournalRetryFirst = std::chrono::milliseconds(250);
inline constexpr auto kJournalRetryLast = std::chrono::seconds(8);
/// "Who applied what" is written behind the hot path: so many records a step, and so many wait at most. The
/// oldest are dropped beyond (the history then lacks them; nothing else depends on them).
inline constexpr std::size_t kAppliedRecordsPerStep = 64;
inline constexpr std::size_t kWaitingAppliedRecords = 20'000;
/// What executors told of their runs is written together, so long after the first, not while a switch is
/// under way (2 s at most, kAuditPatience), so many records a step; and again so long after the journal
/// refused it.
inline constexpr auto kRunsDelay = std::chrono::seconds(3);
inline constexpr auto kRunsRetry = std::chrono::seconds(8);
inline constexpr std::size_t kRunRecordsPerStep = 64;
/// So many records wait at most, and so many of one executor. What is new beyond is left out until it is told
/// again.
inline constexpr std::size_t kWaitingRunRecords = 20'000;
inline constexpr std::size_t kWaitingRunsOfOne = 1'024;
/// So many are written before a question about them is answered: others wait for that meanwhile.
inline constexpr std::size_t kRunRecordsPerQuestion = 2'000;
/// Records that are kept, and of one executor: it cannot drive the others' out alone. Those that were not
/// told for the longest time go first, so many at a time.
inline constexpr std::uint64_t kRunRecords = 100'000;
inline constexpr std::uint64_t kRunRecordsSlack = 1'000;
inline constexpr std::uint64_t kRunRecordsOfOne = 4'096;
/// A number of runs or of their nanoseconds; a greater one is taken for this one, so that they can be added
/// up.
inline constexpr std::uint64_t kMostRuns = 1'000'000'000'000'000'000;
/// The audit: repetitions are merged for so long, and so many different ones are told apart within that time,
/// so that a flood of strangers writes little. The rest is one entry with a count for each act.
inline constexpr auto kAuditInterval = std::chrono::seconds(60);
inline constexpr std::size_t kAuditOpenRefusals = 64;
inline constexpr std::size_t kAuditOpenEntries = 1'024;
/// Entries are written together, so long after the first; and again so long after the journal refused them.
/// So many wait for a journal that refuses for longer than the interval; the oldest are dropped beyond.
inline constexpr auto kAuditDelay = std::chrono::milliseconds(250);
/// A switch that is under way is waited for, but not for longer.
inline constexpr auto kAuditPatience = std::chrono::seconds(2);
inline constexpr auto kAuditRetry = std::chrono::seconds(2);
inline constexpr std::size_t kAuditWaiting = 1'024;
/// Entries that are kept: of refusals, and of all other acts, so that neither kind drives the other out. The
/// oldest go first, so many at a time.
inline constexpr std::uint64_t kAuditRefusals = 10'000;
inline constexpr std::uint64_t kAuditEntries = 10'000;
inline constexpr std::uint64_t kAuditSlack = 256;
/// A text of the audit; longer ones are cut.
inline constexpr std::size_t kAuditTextBytes = 512;
/// Pages of 4 KiB in the journal's log. From the first number on they are brought into the file when there is
/// time; from the second on at once, although an epoch may wait for it.
inline constexpr int kJournalTidyPages = 256;
inline constexpr int kJournalLogPages = 4'096;
/// Damaged journals that are set aside for a person to look at; the oldest go first.
inline constexpr std::size_t kDamagedJournalsKept = 4;
/// How much of the past is kept, when there is time to look: so many epochs, and so many bytes of blobs.
/// Older epochs are forgotten first; the committed one, the one before it and what an executor pins never
/// are.
inline constexpr std::size_t kRetainedEpochs = 1'000;
inline constexpr std::uint64_t kRetainedBytes = 8ULL * 1024 * 1024 * 1024;
/// There is time when nothing happened for so long. Then, after so many new epochs, the past is looked at.
inline constexpr auto kQuietBeforeTidying = std::chrono::seconds(2);
inline constexpr std::uint64_t kEpochsBetweenLooks = 20;
/// Blobs removed in one step; the rest waits for the next one.
inline constexpr std::size_t kRemovalsPerStep = 64;
/// How often one refused content is proposed again because the executors that refused it have gone. After
/// that only a refresh or different bytes cause another try: an executor that dies while loading, and is
/// started again by a supervisor, must not die for ever.
inline constexpr unsigned kRefusedRetries = 3;
/// Such a retry waits for so long after the last join, so that a fleet that comes back together votes
/// together.
inline constexpr auto kRefusedRetryDelay = std::chrono::seconds(1);
/// One that was seen as a process and is silent for so long is looked at: it may have ended.
inline constexpr auto kLooksDead = kHeartbeatInterval * 3 / 2;
/// After a restart of the daemon, how long an executor of this machine that cannot be seen is waited for.
inline constexpr auto kRejoinHere = kHeartbeatInterval * 3 / 2;
/// When an executor joins, so many of its name and host are looked at, those that are silent for the longest
/// time first: they may have ended. The others are found by their silence.
inline constexpr std::size_t kNamesakesLookedAt = 4;
/// After a death, for so long: whether those that a switch would ask are still there is looked at before it.
inline constexpr auto kTurbulence = std::chrono::seconds(10);
/// So many executors must have died right after they switched before their content is blamed: one can be
/// anything. And it must be more than half of those that switched. Of an epoch that nobody ran, so many must
/// have died before they had loaded it.
inline constexpr std::size_t kBlamingDeaths = 2;
/// One that died once is missed when none of its name is there so long after that was noticed: a restart is
/// no sign.
inline constexpr auto kBackAfterDeath = std::chrono::milliseconds(1'000);
/// Among those of one name and host so many are looked at for the one that replaces another, or that it
/// replaces; beyond, one more executor is counted.
inline constexpr std::size_t kReplacementsLookedAt = 256;
/// Only switches within so long after the commit are looked at.
inline constexpr auto kAftermath = std::chrono::seconds(30);
/// A return looks back over so many committed epochs for one that somebody ran; beyond it there is none.
inline constexpr unsigned kEpochsLookedBack = 1'000;
/// Executors named in one message; the rest are left out.
inline constexpr std::size_t kNamesShown = 4;
/// Names listed in the answer to a request for an unknown module.
inline constexpr std::size_t kCandidatesShown = 8;
/// Executors that left, died or were fenced, and are still shown in `status`; the oldest are forgotten first.
inline constexpr std::size_t kRememberedLeavers = 256;
inline constexpr auto kRememberLeaver = std::chrono::minutes(2);

/// Whole messages that may wait for one slow peer: replies (each up to limits::kChunkBytes), events,
/// requests. Beyond it ZeroMQ drops for that peer only; it repairs the loss by asking again.
inline constexpr int kReplyQueue = 64;
inline constexpr int kEventQueue = 256;
inline constexpr int kRequestQueue = 256;
/// What a subscriber may send in one frame, and how many subscriptions it may have: an event's topic is
/// short, and there are two. Beyond either the connection is ended.
inline constexpr std::size_t kSubscriptionBytes = 1'024;
inline constexpr std::size_t kSubscriptionsPerPeer = 64;
/// What may have come over a TCP connection since its last whole message, and over all together: a request is
/// at most kRequestHeaderBytes. Beyond, the connection is ended. What trickles in (pings) is forgiven, in
/// bytes a second.
inline constexpr std::uint64_t kUnfinishedBytes = 6UL * 1024 * 1024;
inline constexpr std::uint64_t kUnfinishedBytesTogether = 4 * kUnfinishedBytes;
inline constexpr std::uint64_t kTrickle = 64;
/// How often that is looked at: so long, and so much longer for each connection, and so long at most.
inline constexpr auto kLookFirst = std::chrono::milliseconds(100);
inline constexpr auto kLookMore = std::chrono::milliseconds(1);
inline constexpr auto kLookLast = std::chrono::milliseconds(1'000);
/// Different refusals that nobody has taken yet; of more than these only the number is told.
inline constexpr std::size_t kWaitingRefusals = 64;
/// The same refusal is told again only after so long, and so many different ones are told within that time.
inline constexpr auto kRefusalSilence = std::chrono::seconds(10);
inline constexpr std::size_t kToldRefusals = 64;
/// How often the self-test of a start looks whether a stranger's key was refused, and how long it waits in
/// between.
inline constexpr int kSelfTestLooks = 250;
inline constexpr auto kSelfTestPause = std::chrono::milliseconds(20);
/// Connections waiting to be accepted.
inline constexpr int kListenBacklog = 1'024;
inline constexpr auto kHandshakePatience = std::chrono::milliseconds(3'000);
/// ZeroMQ's own pings: only to notice peers that vanished without closing.
inline constexpr auto kPingInterval = std::chrono::milliseconds(5'000);
inline constexpr auto kPingPatience = std::chrono::milliseconds(15'000);
/// How long closing the sockets waits for the last messages to leave.
inline constexpr auto kLinger = std::chrono::milliseconds(200);
/// Endpoints of one daemon.
inline constexpr std::size_t kEndpoints = 16;
/// Frames smaller than this are copied into ZeroMQ's message; larger ones are lent to it.
inline constexpr std::size_t kCopyFrameBytes = 4'096;

/// Blobs of this size, and bases and targets together up to that one, are sent encoded where a client asks
/// for it: below, the whole is as fast; above, encoding takes longer than a client waits.
inline constexpr std::uint64_t kEncodeFrom = 256UL * 1024;
inline constexpr std::uint64_t kEncodeUpTo = 128UL * 1024 * 1024;
inline constexpr std::uint64_t kEncodeTogether = 2 * kEncodeUpTo;
/// Encodings that wait for their turn. Blobs beyond are sent whole.
inline constexpr std::size_t kWaitingEncodings = 64;
/// Encoded blobs that are kept, and their bytes together; the least recently used go first.
inline constexpr std::size_t kEncodedBlobs = 256;
inline constexpr std::uint64_t kEncodedBytes = 256UL * 1024 * 1024;
/// So many bytes of what a rollback brings back are verified before it begins, which takes a fifth of a
/// second.
inline constexpr std::uint64_t kRollbackVerifies = 256UL * 1024 * 1024;
/// How many epochs are compared to find the one whose content a rollback brought back.
inline constexpr std::size_t kRollbackLooksBack = 64;

/// Bytes that the store lost are looked for in the directory at most so often, as long as that takes, and of
/// so many modules at once; who asks for them is told to come again after a moment.
inline constexpr auto kLookForLostBytes = std::chrono::milliseconds(100);
inline constexpr auto kReadAgainFor = std::chrono::seconds(5);
inline constexpr std::size_t kLostBytesAtOnce = 1'024;
inline constexpr auto kLostBytesRetry = std::chrono::milliseconds(50);

/// When to ask again for a blob that is being encoded.
inline constexpr auto kEncodingRetry = std::chrono::milliseconds(5);

/// Messages waiting in one direction of an in-process link; more are dropped, as on a real link.
inline constexpr std::size_t kInProcessQueue = 1'024;

}  // namespace moddev::daemon::limits
