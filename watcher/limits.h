// Every bound of the watcher in one place, each with what happens when it is reached.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "protocol/limits.h"

namespace moddev::watcher::limits {

using namespace moddev::limits;  // so that `limits::` in the watcher means both

/// The file of proofs for the next run (proof_memory.h): a larger one is not written, and not read.
inline constexpr std::uint64_t kProofMemoryBytes = 64ULL * 1024 * 1024;

// ------------------------------------------------------------------------------------------ work in one step

/// Bytes that are read and hashed in one step(). A larger file is continued in the next one, under its lease.
inline constexpr std::uint64_t kStepBytes = 8ULL * 1024 * 1024;
/// One read, small enough that hashing and writing it find it in the processor's cache.
inline constexpr std::size_t kPieceBytes = 256UL * 1024;
/// Files looked at, and directories listed, in one step().
inline constexpr std::size_t kLooksPerStep = 512;
inline constexpr std::size_t kDirectoriesPerStep = 128;
/// After a step's work events are read again, so that a file that is saved over and over goes out once. More
/// rounds wait for the next step.
inline constexpr int kRoundsPerStep = 8;
/// The blob store is made ready for the next change so long after it was used, when those who hear of this
/// one are done with it; in small portions with a pause between them.
inline constexpr auto kStoreReadyAfter = std::chrono::milliseconds(20);
inline constexpr auto kStoreReadyPause = std::chrono::milliseconds(5);

// ------------------------------------------------------------------------------------ when a file is
// finished

/// A path that vanished counts as removed only after so long: lld and mold leave a moment without a file.
inline constexpr auto kRemovalGrace = std::chrono::milliseconds(250);
/// While a writer is seen, its close event is waited for. In case that gets lost, the file is looked at again
/// after so long, doubling up to the last.
inline constexpr auto kWriterRetryFirst = std::chrono::milliseconds(500);
inline constexpr auto kWriterRetryLast = std::chrono::minutes(1);
/// The kernel tells of the last close shortly before it counts the writer as gone (__fput in
/// fs/file_table.c), and may do something else in between. After a close event the first look that still
/// finds a writer is repeated so soon, doubling.
inline constexpr auto kClosedRetryFirst = std::chrono::milliseconds(1);
/// Who creates or writes a file is likely to have it open: it is looked at when it is closed, and not before,
/// or when so long nothing was heard (truncate(2), link(2), symlink(2)).
inline constexpr auto kCloseExpected = std::chrono::milliseconds(5);
/// Without events (polling) only looking tells that the writer is done.
inline constexpr auto kPollingWriterRetryFirst = std::chrono::milliseconds(20);
inline constexpr auto kPollingWriterRetryLast = std::chrono::seconds(1);
/// An empty file may be a linker that reopens its output; one that stays empty for so long means it.
inline constexpr auto kEmptyQuiet = std::chrono::milliseconds(500);
/// Without a lease: how long nothing may happen between two looks that must find the same bytes. Longer than
/// the 200 ms that ld.bfd is known to stay silent in the middle of a large file.
inline constexpr auto kFallbackQuiet = std::chrono::milliseconds(600);
/// A file that is not whole is told about when it stays so for so long...
inline constexpr auto kTornGrace = std::chrono::milliseconds(300);
/// ... and looked at again so often, in case the event that finished it got lost. Then an event or a rescan
/// must bring it back.
inline constexpr int kTornRetries = 5;
inline constexpr auto kTornRetryFirst = std::chrono::milliseconds(300);
/// Looks that failed because the file changed or was replaced meanwhile: so many at once, then with a pause.
inline constexpr int kRestlessRetries = 3;
inline constexpr auto kRestlessPause = std::chrono::milliseconds(20);
/// When reading the file or writing the store fails: first pause and last, doubling. Never given up.
inline constexpr auto kFailureRetryFirst = std::chrono::milliseconds(250);
inline constexpr auto kFailureRetryLast = std::chrono::seconds(30);

// ------------------------------------------------------------------------------------------ what goes
// together

/// Finished files wait for so long at most for others that are still being written; then they go without,
/// with a warning that names the laggards.
inline constexpr auto kHoldLimit = std::chrono::seconds(3);
/// Files that are finished, but saved again before the batch is out, go out at least so often.
inline constexpr auto kBurstLimit = std::chrono::milliseconds(250);
/// When so many different files went out within kBurstWindow, somebody is writing a whole set of them, one
/// after the other (git checkout, cp -r): what follows is collected until nothing was heard for kBurstQuiet,
/// at most for kBurstLimit. One file, or a few, saved again and again are never held.
inline constexpr std::size_t kBurstFiles = 8;
inline constexpr auto kBurstWindow = std::chrono::milliseconds(20);
inline constexpr auto kBurstQuiet = std::chrono::milliseconds(5);
/// A build barrier that is not renewed for so long is released with a warning.
inline constexpr auto kBuildBarrierLimit = std::chrono::seconds(10);
inline constexpr std::size_t kBuildBarriers = 64;
/// A sync waits for so long at most for its cookie (then a rescan alone must do) and for writers.
inline constexpr auto kCookiePatience = std::chrono::seconds(2);
inline constexpr auto kSyncWriterPatience = std::chrono::seconds(3);
/// Paths named in one warning; the rest are counted.
inline constexpr std::size_t kPathsNamed = 4;

// ----------------------------------------------------------------------------------------------------
// scanning

/// After an overflow: the first rescan comes at once, further ones with a pause that doubles.
inline constexpr auto kOverflowPauseFirst = std::chrono::milliseconds(100);
inline constexpr auto kOverflowPauseLast = std::chrono::seconds(5);
/// So long without an overflow, and the pause starts small again.
inline constexpr auto kOverflowForgiven = std::chrono::seconds(10);
/// The slow rescan, for what no event tells: so often, and rarer in proportion beyond so many files.
inline constexpr auto kSlowRescan = std::chrono::minutes(2);
inline constexpr std::size_t kSlowRescanFiles = 20'000;
/// Content that was read so shortly after its last change that equal times prove nothing (a time stamp's
/// granularity) is read once more at a later rescan.
inline constexpr auto kStampGranularity = std::chrono::seconds(2);
/// How often a missing root directory is looked for: first and last, doubling.
inline constexpr auto kRootRetryFirst = std::chrono::milliseconds(50);
inline constexpr auto kRootRetryLast = std::chrono::seconds(2);
/// Directories without a watch, because the system has no more, are listed so often.
inline constexpr auto kUnwatchedPoll = std::chrono::seconds(1);
/// Nested deeper than this, a directory is not entered: a warning names it.
inline constexpr std::size_t kDirectoryDepth = 128;

// --------------------------------------------------------------------------------------------------- polling

/// The pause between two rounds of the polling source, and what one entry adds to it: polling must not become
/// a load of its own.
inline constexpr auto kPollInterval = std::chrono::milliseconds(250);
inline constexpr auto kPollCostPerEntry = std::chrono::microseconds(40);
/// Entries compared in one read(); the round goes on in the next.
inline constexpr std::size_t kPollEntriesPerRead = 4'096;

/// FSEvents records that nobody has read yet. More are dropped, and a rescan makes up for them.
inline constexpr std::size_t kFsEventsQueue = 65'536;

/// Bytes taken from the inotify descriptor at once, and how often in one read(): the rest waits in the
/// kernel.
inline constexpr std::size_t kInotifyBufferBytes = 64UL * 1024;
inline constexpr int kInotifyReads = 4;

}  // namespace moddev::watcher::limits
