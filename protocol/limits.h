// Every bound of the protocol in one place: both sides enforce the same numbers. Reaching a limit is an error
// with ErrorCode::kLimit whose message names the limit. Bounds that only one process knows (queue lengths,
// retries) live in that folder's own limits.h (watcher/limits.h, daemon/limits.h, client/src/limits.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace moddev::limits {

/// The version that both peers speak; PROTOCOL.md says how different versions meet.
inline constexpr std::uint32_t kProtocolVersion = 1;

inline constexpr std::size_t kModuleNameBytes = 255;
inline constexpr std::size_t kPathBytes = 4096;
/// Text of any other kind: error messages, host names, endpoints.
inline constexpr std::size_t kTextBytes = 16 * 1024;
inline constexpr std::size_t kModulesPerManifest = 100'000;
inline constexpr std::size_t kDependenciesPerModule = 1'000;
inline constexpr std::size_t kExecutors = 10'000;
inline constexpr std::size_t kPinsPerExecutor = 64;
/// Files that a refresh or a build names as not published; the rest is counted.
inline constexpr std::size_t kUnpublishedTold = 32;
/// What a person should know of one executor, at the same time.
inline constexpr std::size_t kNotesPerExecutor = 8;
/// Versions of modules whose runs one message of an executor tells. The rest is told by the next one.
inline constexpr std::size_t kRunsPerMessage = 256;
inline constexpr std::size_t kFailuresPerEpoch = 1'000;
/// The reason of one failure. A sender cuts longer ones, so that kFailuresPerEpoch of them fit into a
/// request.
inline constexpr std::size_t kFailureTextBytes = 3 * 1024;
/// One module's bytes. The patch coder and msgpack sizes do not go beyond.
inline constexpr std::uint64_t kModuleBytes = 2ULL * 1024 * 1024 * 1024 - 1;
/// Base and target of a patch together: the largest window of zstd.
inline constexpr std::uint64_t kPatchBytes = 2ULL * 1024 * 1024 * 1024;
/// Encoded bytes are sent when they save at least so many.
inline constexpr std::uint64_t kEncodingGain = 4 * 1024;
/// Encodings that one request lists.
inline constexpr std::size_t kEncodings = 8;

/// A blob up to this size is kept in memory until it is committed: one write, and none when it is there.
inline constexpr std::size_t kBlobWriterBuffer = 128 * 1024;
/// Damaged blobs that are set aside for a person to look at; the next opening removes the rest.
inline constexpr std::size_t kDamagedBlobsKept = 16;
/// Blobs remembered one by one for BlobStore::sync(); beyond it the whole file system is synchronised.
inline constexpr std::size_t kUnsyncedBlobs = 1024;

/// Epochs in one answer about the history, and what is told of each; the rest are counted. Older epochs are
/// asked for again.
inline constexpr std::size_t kHistoryEntries = 100;
inline constexpr std::size_t kHistoryChanges = 64;
inline constexpr std::size_t kHistoryFailures = 16;
inline constexpr std::size_t kHistoryApplied = 64;
/// Lines of one answer about runs. Further ones are asked for again.
inline constexpr std::size_t kRunsPerReply = 1'000;

/// The msgpack part of a message.
inline constexpr std::size_t kHeaderBytes = 32UL * 1024 * 1024;
/// The same of a request: the daemon decodes what strangers send.
inline constexpr std::size_t kRequestHeaderBytes = 4UL * 1024 * 1024;
inline constexpr std::size_t kNestingDepth = 8;
/// The same while only version, id and type of a message are looked for, which another version may have sent.
inline constexpr std::size_t kEnvelopeNestingDepth = 256;
/// A longer time to wait before asking again is taken for this one.
inline constexpr auto kRetryAfterMost = std::chrono::milliseconds(3'600'000);
/// The frames of one message, envelope included.
inline constexpr std::size_t kFramesPerMessage = 80;
/// The most bytes that one reply carries; larger blobs come in pieces.
inline constexpr std::size_t kChunkBytes = 1024 * 1024;
/// Modules up to this size travel inside the announcement, so that most reloads need no fetch at all.
inline constexpr std::size_t kInlineModuleBytes = 128 * 1024;
/// All the bytes inside one announcement, and how many blobs.
inline constexpr std::size_t kInlineAnnouncementBytes = 512 * 1024;
inline constexpr std::size_t kInlineBlobs = 64;
/// The largest frame that either side accepts (ZMQ_MAXMSGSIZE).
inline constexpr std::size_t kFrameBytes = kHeaderBytes;

/// A signed statement is good for so long; a daemon makes a new one after kStatementRefresh. Whoever holds
/// messages back is noticed after this time at the latest.
inline constexpr auto kStatementValidity = std::chrono::seconds(120);
inline constexpr auto kStatementRefresh = std::chrono::seconds(10);
/// How far in the future a statement may have been made, by clocks that differ.
inline constexpr auto kClockTolerance = std::chrono::seconds(60);

inline constexpr auto kHeartbeatInterval = std::chrono::milliseconds(1000);
/// An executor that was not heard for so long is no member any more; one that heard nothing for so long is
/// stale.
inline constexpr auto kLease = 3 * kHeartbeatInterval;

}  // namespace moddev::limits
