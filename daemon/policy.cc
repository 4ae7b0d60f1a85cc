#include "daemon/policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

constexpr std::array<std::pair<SyncPolicy, std::string_view>, 3> kPolicies = {{
    {SyncPolicy::kAll, "all"},
    {SyncPolicy::kMajority, "majority"},
    {SyncPolicy::kNone, "none"},
}};

Verdict decide_all(const Tally& tally) {
  // The outcome is known with the first refusal; the short wait only collects the reasons of the others, so
  // that a person reads all of them at once.
  if (tally.failed > 0) {
    return tally.silent == 0 || tally.refusal_grace_over ? Verdict::kAbort : Verdict::kWait;
  }
  if (tally.silent > 0) return Verdict::kWait;
  if (tally.prepared > 0) return Verdict::kCommit;
  // Everyone who was asked died over it: the content is suspect. Nobody was asked, or all said goodbye: there
  // is nobody whom it could hurt.
  return tally.excluded > 0 ? Verdict::kAbort : Verdict::kCommit;
}

Verdict decide_majority(const Tally& tally) {
  const std::size_t asked = tally.silent + tally.prepared + tally.failed + tally.excluded;
  if (asked == 0 || 2 * tally.prepared > asked) return Verdict::kCommit;
  if (2 * (tally.prepared + tally.silent) > asked) return Verdict::kWait;
  // It cannot be reached any more; further reasons are collected as above.
  const bool more_to_hear = tally.failed > 0 && tally.silent > 0 && !tally.refusal_grace_over;
  return more_to_hear ? Verdict::kWait : Verdict::kAbort;
}

}  // namespace

std::string_view to_string(SyncPolicy policy) {
  for (const auto& [known, text] : kPolicies) {
    if (known == policy) return text;
  }
  return "unknown";
}

std::optional<SyncPolicy> sync_policy_from_string(std::string_view text) {
  for (const auto& [policy, name] : kPolicies) {
    if (name == text) return policy;
  }
  return std::nullopt;
}

Verdict decide(SyncPolicy policy, const Tally& tally) {
  switch (policy) {
    case SyncPolicy::kAll:
      return decide_all(tally);
    case SyncPolicy::kMajority:
      return decide_majority(tally);
    case SyncPolicy::kNone:
      return Verdict::kCommit;
  }
  return Verdict::kWait;
}

Verdict decide_for_nobody_else(SyncPolicy policy, const Tally& tally) {
  if (policy == SyncPolicy::kNone) return Verdict::kCommit;
  if (tally.silent > 0) return Verdict::kWait;
  if (tally.prepared > 0) return Verdict::kCommit;
  return tally.failed + tally.excluded > 0 ? Verdict::kAbort : Verdict::kCommit;
}

Status add_canary(std::string_view text, CanaryChoice& choice) {
  std::size_t count = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (problem == std::errc{} && end == text.data() + text.size() && count > 0) {
    choice.count = std::max(choice.count, count);
    return {};
  }
  if (text.empty() || text == "0") {
    return Error{ErrorCode::kInvalidArgument,
                 "'" + std::string(text) +
                     "' names no canaries. Give a number of executors above 0, or an executor's name.",
                 0};
  }
  choice.names.emplace_back(text);
  return {};
}

std::vector<std::size_t> choose_canaries(const CanaryChoice& choice, const std::vector<std::string>& names) {
  std::vector<std::size_t> chosen;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const bool by_name = std::find(choice.names.begin(), choice.names.end(), names[n]) != choice.names.end();
    if (n < choice.count || by_name) chosen.push_back(n);
  }
  if (chosen.size() == names.size()) chosen.clear();
  return chosen;
}

bool canaries_are_missing(const CanaryChoice& choice, const std::vector<std::string>& names) {
  return choice.count == 0 && !choice.names.empty() && !names.empty() &&
         std::find_first_of(names.begin(), names.end(), choice.names.begin(), choice.names.end()) ==
             names.end();
}

bool blames_content(std::size_t switched, std::size_t died, std::size_t deaths) {
  return deaths >= limits::kBlamingDeaths && 2 * died > switched;
}

}  // namespace moddev::daemon
