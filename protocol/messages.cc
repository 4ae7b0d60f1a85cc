#include "protocol/messages.h"

#include <array>

namespace moddev {
namespace {

constexpr std::array<std::pair<ExecutorState, std::string_view>, 7> kStates = {{
    {ExecutorState::kJoining, "joining"},
    {ExecutorState::kLive, "live"},
    {ExecutorState::kPreparing, "preparing"},
    {ExecutorState::kStale, "stale"},
    {ExecutorState::kFailed, "failed"},
    {ExecutorState::kFenced, "fenced"},
    {ExecutorState::kGone, "gone"},
}};

constexpr std::array<std::pair<AckPhase, std::string_view>, 4> kPhases = {{
    {AckPhase::kPrepared, "prepared"},
    {AckPhase::kFailed, "failed"},
    {AckPhase::kApplied, "applied"},
    {AckPhase::kDrained, "drained"},
}};

constexpr std::array<std::pair<BuildAction, std::string_view>, 3> kBuildActions = {{
    {BuildAction::kBegin, "begin"},
    {BuildAction::kRenew, "renew"},
    {BuildAction::kEnd, "end"},
}};

template <typename Table, typename Value>
std::string_view name_of(const Table& table, Value value) {
  for (const auto& [known, text] : table) {
    if (known == value) return text;
  }
  return "unknown";
}

template <typename Value, std::size_t N>
std::optional<Value> value_of(const std::array<std::pair<Value, std::string_view>, N>& table,
                              std::string_view text) {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view to_string(ExecutorState state) {
  return name_of(kStates, state);
}
std::optional<ExecutorState> executor_state_from_string(std::string_view text) {
  return value_of(kStates, text);
}
std::string_view to_string(AckPhase phase) {
  return name_of(kPhases, phase);
}
std::optional<AckPhase> ack_phase_from_string(std::string_view text) {
  return value_of(kPhases, text);
}
std::string_view to_string(BuildAction action) {
  return name_of(kBuildActions, action);
}
std::optional<BuildAction> build_action_from_string(std::string_view text) {
  return value_of(kBuildActions, text);
}

std::string_view to_string(EpochState state) {
  switch (state) {
    case EpochState::kAnnounced:
      return "announced";
    case EpochState::kCommitted:
      return "committed";
    case EpochState::kAborted:
      return "aborted";
  }
  return "announced";
}

std::optional<EpochState> epoch_state_from_string(std::string_view text) {
  for (const EpochState state : {EpochState::kAnnounced, EpochState::kCommitted, EpochState::kAborted}) {
    if (text == to_string(state)) return state;
  }
  return std::nullopt;
}

}  // namespace moddev
