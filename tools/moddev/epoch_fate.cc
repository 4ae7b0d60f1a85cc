#include "tools/moddev/epoch_fate.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace moddev::tools {
namespace {

// Causes as daemon/rollback.cc and daemon/daemon_return.cc write them.
constexpr std::string_view kChange = "change";
constexpr std::string_view kReturn = "return to epoch ";
constexpr std::string_view kRollback = "rollback to epoch ";
constexpr std::string_view kRollbackOf = "rollback of ";
constexpr std::string_view kToVersion = " to version ";

std::optional<std::uint64_t> number_at(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{}) return std::nullopt;
  return number;
}

/// The epoch whose whole content an epoch with this cause brought back.
std::optional<Epoch> goes_back_to(std::string_view cause) {
  for (const std::string_view prefix : {kReturn, kRollback}) {
    if (cause.starts_with(prefix)) return number_at(cause.substr(prefix.size()));
  }
  return std::nullopt;
}

const ModuleChange* change_of(const HistoryEntry& entry, std::string_view module) {
  const auto change = std::find_if(entry.changes.begin(), entry.changes.end(),
                                   [&](const ModuleChange& one) { return one.module.name == module; });
  return change == entry.changes.end() ? nullptr : &*change;
}

/// Whether `entry` takes one module of `own` back to a version before the one that `own` gave it.
bool takes_module_back(const HistoryEntry& entry, const HistoryEntry& own) {
  const std::string_view cause = entry.cause;
  const std::size_t to = cause.rfind(kToVersion);
  if (!cause.starts_with(kRollbackOf) || to == std::string_view::npos || to < kRollbackOf.size())
    return false;
  const ModuleChange* change = change_of(own, cause.substr(kRollbackOf.size(), to - kRollbackOf.size()));
  const auto version = number_at(cause.substr(to + kToVersion.size()));
  return change != nullptr && version &&
         (change->change == ChangeKind::kRemoved || *version < change->module.version);
}

/// Whether all that `own` changed is as it wanted it with `entry`.
bool brings_the_same(const HistoryEntry& entry, const HistoryEntry& own) {
  return !own.changes.empty() && std::ranges::all_of(own.changes, [&](const ModuleChange& wanted) {
    const ModuleChange* change = change_of(entry, wanted.module.name);
    return change != nullptr &&
           (change->change == ChangeKind::kRemoved) == (wanted.change == ChangeKind::kRemoved) &&
           change->module.digest == wanted.module.digest;
  });
}

}  // namespace

bool is_return(std::string_view cause) {
  return cause.starts_with(kReturn);
}

EpochFate fate_of(const std::vector<HistoryEntry>& newest_first, Epoch epoch) {
  auto entry = std::find_if(newest_first.rbegin(), newest_first.rend(),
                            [&](const HistoryEntry& one) { return one.epoch == epoch; });
  if (entry == newest_first.rend()) return {};
  const HistoryEntry& own = *entry;
  using Kind = EpochFate::Kind;
  if (own.state == EpochState::kAnnounced) return {Kind::kUnderWay};
  EpochFate fate{Kind::kIn, own};
  if (own.state == EpochState::kAborted) fate.kind = own.failures.empty() ? Kind::kGivenUp : Kind::kRefused;
  std::map<Epoch, bool> in;  // whether it was a part of that one
  in[own.epoch] = true;
  for (++entry; entry != newest_first.rend(); ++entry) {
    if (entry->state == EpochState::kCommitted) {
      const bool was_in = fate.kind == Kind::kIn;
      bool is_in = was_in;
      if (const auto target = goes_back_to(entry->cause)) {
        is_in = *target >= epoch && (!in.contains(*target) || in[*target]);
      } else if (takes_module_back(*entry, own)) {
        is_in = false;
      } else if (!was_in && entry->cause == kChange) {
        // What comes next from the same files has all of what nobody refused.
        is_in = fate.kind == Kind::kGivenUp || brings_the_same(*entry, own);
      }
      if (is_in) fate = {Kind::kIn, own};
      if (was_in && !is_in) fate = {Kind::kTakenBack, *entry};
    }
    in[entry->epoch] = fate.kind == Kind::kIn;
  }
  return fate;
}

}  // namespace moddev::tools
