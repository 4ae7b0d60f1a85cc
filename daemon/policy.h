// What becomes of an epoch, given how far the members have come with it, and when what went live is to be
// taken back. Pure: the fleet counts, this decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

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
  kAll,       // one refusal, and everyone keeps the old epoch
  kMajority,  // more than half are ready: they switch, the others follow when they can
  kNone,      // everyone switches as soon as it is ready; nobody waits for anybody
};
/// "all", "majority", "none".
[[nodiscard]] std::string_view to_string(SyncPolicy policy);
[[nodiscard]] std::optional<SyncPolicy> sync_policy_from_string(std::string_view text);

[[nodiscard]] Verdict decide(SyncPolicy policy, const Tally& tally);

/// The same where all that were asked cannot use the committed epoch. They have nothing to lose, so that the
/// refusal of one is none for the others; but what none of them can use goes live for nobody.
[[nodiscard]] Verdict decide_for_nobody_else(SyncPolicy policy, const Tally& tally);

/// Who switches first, while the others wait and see. Nobody: everyone switches together.
struct CanaryChoice {
  std::size_t count = 0;             // so many, the first by name
  std::vector<std::string> names{};  // and those with these names
  [[nodiscard]] bool wanted() const { return count > 0 || !names.empty(); }
};
/// What a person wrote after `--canary`: a number, or a name. Errors: kInvalidArgument for an empty one.
Status add_canary(std::string_view text, CanaryChoice& choice);
/// Which of the executors with these names, sorted, are canaries: indices. Nobody when that would be all of
/// them: then there is nobody to be spared.
[[nodiscard]] std::vector<std::size_t> choose_canaries(const CanaryChoice& choice,
                                                       const std::vector<std::string>& names);
/// Whether canaries are wanted by name alone, and there are executors, but none with such a name.
[[nodiscard]] bool canaries_are_missing(const CanaryChoice& choice, const std::vector<std::string>& names);

/// Whether content is to be blamed: `died` of the `switched` executors that began to run it died at once, in
/// all `deaths` times, because some were started again. One death can be anything; a few in a large fleet as
/// well.
[[nodiscard]] bool blames_content(std::size_t switched, std::size_t died, std::size_t deaths);

}  // namespace moddev::daemon
