#include "daemon/speakers.h"

#include <type_traits>
#include <variant>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

/// The executor that a request is about, or null.
const Uuid* executor_of(const RequestBody& request) {
  return std::visit(
      [](const auto& one) -> const Uuid* {
        using Kind = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<Kind, JoinRequest>) return &one.executor.id;
        if constexpr (std::is_same_v<Kind, AliveRequest> || std::is_same_v<Kind, AckRequest> ||
                      std::is_same_v<Kind, LeaveRequest>)
          return &one.executor;
        return nullptr;
      },
      request);
}

bool may_speak(const Caller& caller, const Caller& joined) {
  if (caller.kind == Caller::Kind::kUser) return true;
  return joined.kind == Caller::Kind::kKey && (joined.name == caller.name || joined.key == caller.key);
}

}  // namespace

std::optional<ErrorReply> Speakers::refusal(const Caller& caller, const RequestBody& request,
                                            const IsMember& is_member) {
  const Uuid* executor = executor_of(request);
  if (executor == nullptr) return std::nullopt;
  const auto known = joined_as_.find(*executor);
  if (known != joined_as_.end()) {
    if (may_speak(caller, known->second)) return std::nullopt;
    return ErrorReply{ErrorCode::kPermission,
                      "'" + caller.who() + "' may not speak for executor " + executor->to_string() +
                          ", which joined as somebody else.",
                      0};
  }
  if (!std::holds_alternative<JoinRequest>(request)) return std::nullopt;
  if (joined_as_.size() >= limits::kSpeakers)
    std::erase_if(joined_as_, [&](const auto& one) { return !is_member(one.first); });
  joined_as_.emplace(*executor, caller);
  return std::nullopt;
}

}  // namespace moddev::daemon
