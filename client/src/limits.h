// The bounds that only the client knows. Each says what happens when it is reached.
#pragma once

#include <chrono>
#include <cstddef>

#include "protocol/limits.h"

namespace moddev::client::limits {

using namespace moddev::limits;  // so that `limits::` in the client means both

/// Between two hellos without an answer: from the first to the last, doubling, with a random part. After the
/// last it stays there: a client waits for its daemon for ever.
inline constexpr auto kHelloFirst = std::chrono::milliseconds(50);
inline constexpr auto kHelloLast = std::chrono::milliseconds(1000);
/// A daemon that speaks another version of the protocol is asked again only so often: one of the two has to
/// be updated first.
inline constexpr auto kUnsupportedRetry = std::chrono::seconds(10);
/// Any other request is repeated after so long without an answer; doubles from the first to the last.
inline constexpr auto kRequestFirst = std::chrono::milliseconds(200);
inline constexpr auto kRequestLast = std::chrono::milliseconds(2000);
/// Repetitions of one request whose answers still count. Those beyond, the oldest, are longer ago than a
/// lease.
inline constexpr std::size_t kAttemptsKept = 8;
/// Requests waiting for their answer, pieces of blobs apart. The oldest is forgotten beyond: it was an ack,
/// and what acks say is told again by the next `alive`.
inline constexpr std::size_t kOpenRequests = 32;
/// Snapshots are asked for at most so often, however many gaps are noticed.
inline constexpr auto kSnapshotInterval = std::chrono::milliseconds(100);
/// Messages taken in one step before what is due has its turn.
inline constexpr std::size_t kInputsPerStep = 256;
/// Rounds of taking and sending in one step; after them the step ends and comes again at once.
inline constexpr unsigned kRoundsPerStep = 64;
/// What a hello reply may ask for; anything else is brought into these bounds.
inline constexpr auto kShortestHeartbeat = std::chrono::milliseconds(10);
inline constexpr auto kLongestHeartbeat = std::chrono::seconds(60);
/// Events kept while a join is under way. The oldest are dropped beyond; their numbers then show the gap.
inline constexpr std::size_t kHeldEvents = 16;
/// Different reasons why the link does not connect that are told until it does. Further ones are not.
inline constexpr std::size_t kTroublesTold = 4;
/// The lists of signers and modules are looked at so often: whoever is taken from them is believed so long.
inline constexpr auto kTrustLook = std::chrono::milliseconds(1000);
/// Events for the user that nobody has taken. The oldest are dropped beyond.
inline constexpr std::size_t kWaitingEvents = 1'000;
/// A step that comes so much later than it asked for means that the process was stopped: the daemon's silence
/// in that time is not held against it.
inline constexpr auto kLateStep = std::chrono::milliseconds(500);

/// Without an answer for so long after the start, what ran last time is loaded from the cache.
inline constexpr auto kOfflineAfter = std::chrono::milliseconds(250);
/// A committed epoch that does not load here is tried again after so long, doubling from the first to the
/// last, until a newer one comes.
inline constexpr auto kReloadFirst = std::chrono::seconds(5);
inline constexpr auto kReloadLast = std::chrono::seconds(60);

/// Pieces asked for and not answered: so many, and so many bytes. More wait their turn.
inline constexpr std::size_t kOpenPieces = 16;
inline constexpr std::size_t kOpenPieceBytes = 4 * kChunkBytes;
/// Fetched and announced modules of one epoch that are kept in memory until they are loaded. Those beyond go
/// through the cache on disk, as do all that are larger than one piece.
inline constexpr std::size_t kBytesInMemory = 16UL * 1024 * 1024;
/// Frames of this size and up to one piece are received into memory that is kept, so many at most, as long as
/// the connection.
inline constexpr std::size_t kPooledFrameBytes = 64UL * 1024;
inline constexpr std::size_t kPooledFrames = 4;
/// Without any piece for so long, what is open is asked for again; doubles from the first to the last.
inline constexpr auto kPieceFirst = std::chrono::milliseconds(1000);
inline constexpr auto kPieceLast = std::chrono::milliseconds(8000);
/// Downloads of one blob whose bytes did not have its digest, before its module counts as failed.
inline constexpr unsigned kFetchAttempts = 3;

/// An epoch is remembered for a start without a daemon so long after it was applied, or when the daemon is
/// lost: making a file takes a disk up to a millisecond, which is not to be in the way of the switch.
inline constexpr auto kRememberAfter = std::chrono::milliseconds(50);
/// And a part of this, each process its own: those of one machine share the file, and who comes later finds
/// it written.
inline constexpr auto kRememberSpread = std::chrono::milliseconds(100);

/// Epochs that are loaded beside the live one because somebody pinned them by number. Another one is refused
/// until the last pin of one of these is dropped.
inline constexpr std::size_t kEpochsBeside = 8;
/// Pins by number that wait for their epoch. More are refused.
inline constexpr std::size_t kWaitingPins = 256;

/// Versions of modules whose runs are remembered. Of further ones runs are not counted, until older versions
/// that the daemon knows all of have been forgotten for them.
inline constexpr std::size_t kRunVersions = 8'192;

/// Blobs of this size are asked for in an encoding, if the session accepts any. Decoding needs base, result
/// and encoding in memory, and keeps the session from anything else: larger ones come whole.
inline constexpr std::uint64_t kEncodedFrom = 256UL * 1024;
inline constexpr std::uint64_t kEncodedUpTo = 128UL * 1024 * 1024;
inline constexpr std::uint64_t kEncodedInMemory = 64UL * 1024 * 1024;

/// When somebody else fetches a blob into the shared cache: looked again so often.
inline constexpr auto kSharedFetchPoll = std::chrono::milliseconds(2);
/// After so long it is fetched here, too: who began may have been stopped.
inline constexpr auto kSharedFetchPatience = std::chrono::seconds(1);
/// How often the list of a cache's user is read while he is changing it; then all that was ever in it counts.
inline constexpr unsigned kTableReads = 1'000;
/// What ran last at an endpoint is kept in the cache for so long.
inline constexpr auto kRememberedAge = std::chrono::hours(30 * 24);

/// Retired versions that cannot be unloaded may hold so much until a person is advised to restart the
/// process.
inline constexpr std::uint64_t kRetiredAdvice = 256UL * 1024 * 1024;

/// When former views are looked at: after the first, then less and less often up to the last.
inline constexpr auto kCollectFirst = std::chrono::milliseconds(10);
inline constexpr auto kCollectLast = std::chrono::milliseconds(250);

/// ZeroMQ's own queues, in whole messages. Beyond it drops, and the session asks again.
inline constexpr int kRequestQueue = 64;
inline constexpr int kReplyQueue = 64;
inline constexpr int kEventQueue = 256;
/// ZeroMQ reconnects after so long; it adds a random part by itself.
inline constexpr auto kReconnectFirst = std::chrono::milliseconds(20);
inline constexpr auto kReconnectLast = std::chrono::milliseconds(500);
inline constexpr auto kHandshakePatience = std::chrono::milliseconds(3'000);

/// How long a client that is destroyed waits for the daemon to hear its goodbye.
inline constexpr auto kLeavePatience = std::chrono::milliseconds(100);
/// A longer wait_for() ends after this.
inline constexpr auto kLongestWait = std::chrono::hours(24 * 365);
/// Modules named in the message of a wait_for() that ended without the module.
inline constexpr std::size_t kNamesShown = 8;

}  // namespace moddev::client::limits
