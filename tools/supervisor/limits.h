// The bounds of the supervisor in one place. Each says what happens when it is reached.
#pragma once

#include <chrono>
#include <cstddef>

namespace moddev::supervisor::limits {

/// Workers of one supervisor; more are refused at the start.
inline constexpr unsigned kWorkers = 1024;

/// A worker that is not ready yet is asked so often.
inline constexpr auto kProbeInterval = std::chrono::milliseconds(50);
/// A --ready-command that has not ended by then is killed and started again.
inline constexpr auto kProbePatience = std::chrono::seconds(5);
/// How long a new worker may take to become ready, and a drained one to end, when nobody says otherwise.
inline constexpr auto kReadyPatience = std::chrono::seconds(30);
inline constexpr auto kDrainPatience = std::chrono::seconds(30);

/// Before a worker that ended by itself is started again: from the first to the last, doubling with every
/// end, until one has served for kStableAfter.
inline constexpr auto kBackoffFirst = std::chrono::milliseconds(100);
inline constexpr auto kBackoffLast = std::chrono::seconds(10);
inline constexpr auto kStableAfter = std::chrono::seconds(10);
/// So many ends in a row are a crash loop: it is said, once; the attempts go on at the longest pace.
inline constexpr unsigned kCrashLoop = 5;

/// At the start, workers wait so long for a daemon to say which epoch is on disk.
inline constexpr auto kFirstFleetPatience = std::chrono::milliseconds(1000);

/// Events that nobody has taken. The oldest are dropped beyond.
inline constexpr std::size_t kWaitingEvents = 10'000;
/// A message on a notify socket; longer ones are cut (sd_notify(3) knows no limit; its own are short).
inline constexpr std::size_t kNotifyBytes = 4096;
/// Descriptors that one worker and its children are looked through for, when a probe asks who listens.
inline constexpr std::size_t kDescriptorsPerWorker = 65'536;
/// Listening sockets that are passed on.
inline constexpr std::size_t kListeners = 16;

/// The follower: between two questions without an answer, and after a lost daemon.
inline constexpr auto kAskAgain = std::chrono::milliseconds(500);

}  // namespace moddev::supervisor::limits
