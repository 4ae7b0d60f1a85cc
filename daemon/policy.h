// What becomes of an epoch, given how far the members have come with it. Pure: the fleet counts, this
// decides. A further policy (majority, none, canaries) is one more function of a Tally; the fleet does not
// change.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moddev::daemon {

/// How the voters of one switch stand. Every voter is in exactly one of the five counts.
struct Tally {
  std::size_t silent = 0;    // have not answered yet
  std::size_t prepared = 0;  // are ready to switch
  std::size_t failed = 0;    // refused
  std::size_t excluded = 0;  // died or let the deadline pass: no say any more
  std::size_t left = 0;      // said goodbye: as if they had never voted
  /// Whether the time is over in which further reasons for a refusal are collected.
  bool refusal_grace_over = false;
};

enum class Verdict : std::uint8_t { kWait, kCommit, kAbort };

enum class SyncPolicy : std::uint8_t {
  kAll,  // one refusal, and everyone keeps the old epoch
};

[[nodiscard]] Verdict decide(SyncPolicy policy, const Tally& tally);

}  // namespace moddev::daemon
