// Who may do what: rules over callers, rights and modules. Pure. What a caller may not read is, for it, not
// there: an answer is the same whether a module is forbidden or unknown.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/caller.h"
#include "protocol/messages.h"

namespace moddev::daemon {

enum class Right : std::uint8_t { kStatus, kFetch, kRun, kPublish, kRollback };
inline constexpr std::array kRights = {Right::kStatus, Right::kFetch, Right::kRun, Right::kPublish,
                                       Right::kRollback};
/// "status", "fetch", "run", "publish", "rollback".
[[nodiscard]] std::string_view to_string(Right right);
[[nodiscard]] std::optional<Right> right_from_string(std::string_view text);

/// The name by which rules speak of the daemon's own user.
inline constexpr std::string_view kOwnUser = "user";

struct AccessRule {
  /// Names of trusted keys, or kOwnUser; '*' stands for any part of a name, and never for the user.
  std::vector<std::string> who{};
  std::vector<Right> may{};
  /// Names of modules, with '*' for any part.
  std::vector<std::string> modules{"*"};
  /// Where it stands, for messages: "/p/moddev.toml:7".
  std::string place{};
};

/// Whether `name` is one of `pattern`, in which '*' stands for any characters.
[[nodiscard]] bool fits(std::string_view pattern, std::string_view name);

class AccessRules {
 public:
  /// Without a rule for it the user may do everything, and a trusted key may read status, fetch and run. With
  /// one or more a caller may do what any of them allows.
  explicit AccessRules(std::vector<AccessRule> rules = {}) : rules_(std::move(rules)) {}

  /// For at least one module.
  [[nodiscard]] bool may(const Caller& caller, Right right) const;
  [[nodiscard]] bool may(const Caller& caller, Right right, std::string_view module) const;
  /// For every module, also those that come later.
  [[nodiscard]] bool may_all(const Caller& caller, Right right) const;
  /// Any of kStatus, kFetch, kRun for that module: it is no secret then.
  [[nodiscard]] bool may_know(const Caller& caller, std::string_view module) const;
  [[nodiscard]] bool may_know_all(const Caller& caller) const;

  /// A sentence for each part of a rule that is for nobody or nothing, as a slip of the hand makes one: names
  /// and patterns that fit none of the `trusted` keys' names, and patterns that no module's name can fit. One
  /// that only fits no module that there is by now is fine.
  [[nodiscard]] std::vector<std::string> doubts(const std::vector<std::string>& trusted) const;

 private:
  [[nodiscard]] bool about(const AccessRule& rule, const Caller& caller) const;
  [[nodiscard]] bool has_rule(const Caller& caller) const;

  std::vector<AccessRule> rules_;
};

/// The refusal of a request that the caller has no right to, before it is carried out. `committed` and
/// `pending` are what there is.
[[nodiscard]] std::optional<ErrorReply> forbidden(const AccessRules& rules, const Caller& caller,
                                                  const RequestBody& request, const Manifest& committed,
                                                  const std::optional<AnnounceEvent>& pending);
/// Takes out of a request that may be carried out what the caller cannot have to tell: runs of modules that
/// it may not run.
void disregard(const AccessRules& rules, const Caller& caller, RequestBody& request);
/// Takes out of an answer what the caller may not know.
void conceal(const AccessRules& rules, const Caller& caller, ReplyBody& reply);

}  // namespace moddev::daemon
