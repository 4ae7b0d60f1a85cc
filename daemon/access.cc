#include "daemon/access.h"

#include <algorithm>
#include <utility>

#include "protocol/names.h"
#include "protocol/suggest.h"

namespace moddev::daemon {
namespace {

bool contains(const std::vector<Right>& rights, Right right) {
  return std::find(rights.begin(), rights.end(), right) != rights.end();
}

bool fits_any(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return fits(pattern, name); });
}

bool fits_all(const std::vector<std::string>& patterns) {
  return std::find(patterns.begin(), patterns.end(), "*") != patterns.end();
}

ErrorReply no_right(const Caller& caller, Right right, std::string_view for_what = "") {
  return {ErrorCode::kPermission,
          "'" + caller.who() + "' may not " + std::string(to_string(right)) + std::string(for_what) +
              ". The daemon's owner can allow it with an [[access]] rule in moddev.toml.",
          0};
}

ErrorReply unknown_module(const std::string& name) {
  return {ErrorCode::kNotFound, "There is no module '" + name + "' that you may read.", 0};
}

class Judge {
 public:
  Judge(const AccessRules& rules, const Caller& caller, const Manifest& committed,
        const std::optional<AnnounceEvent>& pending)
      : rules_(rules), caller_(caller), committed_(committed), pending_(pending) {}

  using Verdict = std::optional<ErrorReply>;

  // Everybody who is let in may know that there is a daemon.
  Verdict operator()(const HelloRequest& /*request*/) const { return {}; }
  Verdict operator()(const JoinRequest& /*request*/) const { return need(Right::kRun); }
  Verdict operator()(const AliveRequest& /*request*/) const { return need(Right::kRun); }
  Verdict operator()(const AckRequest& /*request*/) const { return need(Right::kRun); }
  Verdict operator()(const LeaveRequest& /*request*/) const { return need(Right::kRun); }
  Verdict operator()(const SnapshotRequest& /*request*/) const { return need_to_know(); }
  Verdict operator()(const ManifestRequest& /*request*/) const { return need_to_know(); }
  Verdict operator()(const StatusRequest& /*request*/) const { return need(Right::kStatus); }
  Verdict operator()(const BlobRequest& request) const {
    if (!may_take_any()) return no_right(caller_, Right::kFetch);
    if (takes_all() || is_readable(request.digest)) return {};
    return ErrorReply{ErrorCode::kNotFound,
                      "There is no blob " + request.digest.to_string() + " that you may read.", 0};
  }
  Verdict operator()(const ModuleRequest& request) const {
    if (!may_take_any()) return no_right(caller_, Right::kFetch);
    if (takes_all()) return {};
    // What is not there is answered here too: the usual answer names similar modules.
    const bool known = committed_.find(request.name) != nullptr || request.version != 0;
    if (known && may_take(request.name)) return {};
    return unknown_module(request.name);
  }
  Verdict operator()(const HistoryRequest& request) const { return need_to_look_up(request.module); }
  Verdict operator()(const RunsRequest& request) const { return need_to_look_up(request.module); }
  Verdict operator()(const RefreshRequest& /*request*/) const { return need_all(Right::kPublish); }
  Verdict operator()(const BuildRequest& /*request*/) const { return need_all(Right::kPublish); }
  Verdict operator()(const RollbackRequest& request) const {
    if (auto refused = need(Right::kRollback)) return refused;
    if (rules_.may_all(caller_, Right::kRollback) && rules_.may_know_all(caller_)) return {};
    if (request.module.empty()) return no_right(caller_, Right::kRollback, " all modules together");
    if (!rules_.may_know(caller_, request.module) || committed_.find(request.module) == nullptr)
      return unknown_module(request.module);
    if (rules_.may(caller_, Right::kRollback, request.module)) return {};
    return no_right(caller_, Right::kRollback, " '" + request.module + "'");
  }

 private:
  Verdict need(Right right) const {
    if (rules_.may(caller_, right)) return {};
    return no_right(caller_, right);
  }
  Verdict need_all(Right right) const {
    if (rules_.may_all(caller_, right)) return {};
    return no_right(caller_, right, rules_.may(caller_, right) ? " everything, which this would be" : "");
  }
  Verdict need_to_know() const {
    for (const Right right : {Right::kStatus, Right::kFetch, Right::kRun})
      if (rules_.may(caller_, right)) return {};
    return no_right(caller_, Right::kStatus);
  }
  /// `module` empty: all that it may know.
  Verdict need_to_look_up(const std::string& module) const {
    if (auto refused = need(Right::kStatus)) return refused;
    if (module.empty() || rules_.may_know_all(caller_)) return {};
    if (committed_.find(module) != nullptr && rules_.may_know(caller_, module)) return {};
    return unknown_module(module);
  }
  // Who may run a module may have its bytes.
  [[nodiscard]] bool may_take_any() const {
    return rules_.may(caller_, Right::kFetch) || rules_.may(caller_, Right::kRun);
  }
  [[nodiscard]] bool takes_all() const {
    return rules_.may_all(caller_, Right::kFetch) || rules_.may_all(caller_, Right::kRun);
  }
  [[nodiscard]] bool may_take(std::string_view module) const {
    return rules_.may(caller_, Right::kFetch, module) || rules_.may(caller_, Right::kRun, module);
  }
  [[nodiscard]] bool is_readable(const Digest& digest) const {
    for (const auto& [name, entry] : committed_.modules)
      if (entry.digest == digest && may_take(name)) return true;
    if (!pending_) return false;
    return std::any_of(pending_->changes.begin(), pending_->changes.end(), [&](const ModuleChange& change) {
      return change.module.digest == digest && may_take(change.module.name);
    });
  }

  const AccessRules& rules_;
  const Caller& caller_;
  const Manifest& committed_;
  const std::optional<AnnounceEvent>& pending_;
};

/// Takes out of answers what may not be known.
class Veil {
 public:
  Veil(const AccessRules& rules, const Caller& caller) : rules_(rules), caller_(caller) {}

  void operator()(SnapshotReply& reply) const {
    veil(reply.committed);
    if (!reply.pending) return;
    veil(reply.pending->changes);
    // The digest is over what this caller is shown.
    Manifest next = reply.committed;
    next.epoch = reply.pending->epoch;
    for (const ModuleChange& change : reply.pending->changes) {
      if (change.change == ChangeKind::kRemoved) {
        next.modules.erase(change.module.name);
      } else {
        next.modules[change.module.name] = change.module;
      }
    }
    reply.pending->manifest_digest = next.digest();
  }
  void operator()(ManifestReply& reply) const { veil(reply.manifest); }
  void operator()(ModuleReply& reply) const { veil(reply.module); }
  void operator()(StatusReply& reply) const {
    std::erase_if(reply.modules, [this](const ModuleEntry& entry) { return hidden(entry.name); });
    for (ModuleEntry& entry : reply.modules) veil(entry);
    veil(reply.holds);
    for (ExecutorStatus& executor : reply.executors) executor.detail.clear();  // may name modules
  }
  void operator()(HistoryReply& reply) const {
    for (HistoryEntry& entry : reply.entries) {
      const std::size_t before = entry.changes.size();
      veil(entry.changes);
      if (entry.changes.size() < before || entry.changes_total > before) entry.cause = "change";
      entry.changes_total = entry.changes.size();
      std::erase_if(entry.failures,
                    [this](const ExecutorFailure& failure) { return hidden(failure.module); });
      for (ExecutorFailure& failure : entry.failures) failure.error = kWithheld;
    }
  }
  void operator()(RunsReply& reply) const {
    std::erase_if(reply.runs, [this](const ExecutorRuns& one) { return hidden(one.run.module); });
  }
  void operator()(RollbackReply& reply) const {
    veil(reply.changes);
    veil(reply.holds);
  }
  void operator()(RefreshReply& reply) const { veil(reply.unpublished); }
  void operator()(BuildReply& reply) const { veil(reply.unpublished); }
  void operator()(ErrorReply& reply) const {
    if (reply.code == ErrorCode::kRefused)
      reply.message = "The executors refuse it, so everyone keeps what is live. " + std::string(kWithheld);
  }
  template <typename Other>
  void operator()(Other& /*reply*/) const {}

 private:
  /// In the place of a text that may name modules: a loader's reason, a file's.
  static constexpr std::string_view kWithheld = "The reason is told to those who may know every module.";

  [[nodiscard]] bool hidden(std::string_view module) const { return !rules_.may_know(caller_, module); }
  /// A module that it may know can need one that it may not.
  void veil(ModuleEntry& entry) const {
    std::erase_if(entry.depends_on, [this](const std::string& needed) { return hidden(needed); });
  }
  void veil(Manifest& manifest) const {
    std::erase_if(manifest.modules, [this](const auto& module) { return hidden(module.first); });
    for (auto& [name, entry] : manifest.modules) veil(entry);
  }
  void veil(std::vector<ModuleChange>& changes) const {
    std::erase_if(changes, [this](const ModuleChange& change) { return hidden(change.module.name); });
    for (ModuleChange& change : changes) veil(change.module);
  }
  void veil(std::vector<UnpublishedFile>& files) const {
    std::erase_if(files, [this](const UnpublishedFile& file) {
      const auto module = identify_module(file.path);
      return !module || hidden(module->name);
    });
    for (UnpublishedFile& file : files) file.reason = kWithheld;
  }
  void veil(std::vector<HoldReport>& holds) const {
    std::erase_if(holds, [this](const HoldReport& hold) { return hidden(hold.module); });
  }

  const AccessRules& rules_;
  const Caller& caller_;
};

/// Whether a module could be called so: with each '*' for one letter, or for none.
bool can_be_module(const std::string& pattern) {
  for (const char* filling : {"x", ""}) {
    std::string name;
    for (const char c : pattern) name += c == '*' ? std::string(filling) : std::string(1, c);
    if (validate_module_name(name)) return true;
  }
  return false;
}

bool is_for_somebody(const std::string& pattern, const std::vector<std::string>& trusted) {
  if (pattern == kOwnUser) return true;
  return std::any_of(trusted.begin(), trusted.end(),
                     [&](const std::string& name) { return fits(pattern, name); });
}

std::string for_nobody(const AccessRule& rule, const std::string& who,
                       const std::vector<std::string>& trusted) {
  std::string near = did_you_mean(who, trusted);
  if (near.empty()) near = ".";
  return rule.place + ": this [[access]] is for '" + who + "', but no trusted key is called so" + near +
         " `moddev trust list` shows who is trusted; whom no rule names may read status, fetch and run "
         "everything. Your own account is called `" +
         std::string(kOwnUser) + "`.";
}

}  // namespace

std::string_view to_string(Right right) {
  switch (right) {
    case Right::kFetch:
      return "fetch";
    case Right::kRun:
      return "run";
    case Right::kPublish:
      return "publish";
    case Right::kRollback:
      return "rollback";
    case Right::kStatus:
      break;
  }
  return "status";
}

std::optional<Right> right_from_string(std::string_view text) {
  for (const Right right : kRights)
    if (to_string(right) == text) return right;
  return std::nullopt;
}

bool fits(std::string_view pattern, std::string_view name) {
  // Where the last '*' was, and what it had swallowed: at most so many steps as both are long together.
  std::size_t at = 0;
  std::size_t in = 0;
  std::size_t star = std::string_view::npos;
  std::size_t swallowed = 0;
  while (in < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      swallowed = in;
    } else if (at < pattern.size() && pattern[at] == name[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in = ++swallowed;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

bool AccessRules::about(const AccessRule& rule, const Caller& caller) const {
  if (caller.kind == Caller::Kind::kKey) {
    return std::any_of(rule.who.begin(), rule.who.end(), [&](const std::string& pattern) {
      return pattern != kOwnUser && fits(pattern, caller.name);
    });
  }
  return std::find(rule.who.begin(), rule.who.end(), kOwnUser) != rule.who.end();
}

bool AccessRules::has_rule(const Caller& caller) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [&](const AccessRule& rule) { return about(rule, caller); });
}

bool AccessRules::may(const Caller& caller, Right right) const {
  if (!has_rule(caller)) return may_all(caller, right);
  return std::any_of(rules_.begin(), rules_.end(), [&](const AccessRule& rule) {
    return about(rule, caller) && contains(rule.may, right) && !rule.modules.empty();
  });
}

bool AccessRules::may(const Caller& caller, Right right, std::string_view module) const {
  if (!has_rule(caller)) return may_all(caller, right);
  return std::any_of(rules_.begin(), rules_.end(), [&](const AccessRule& rule) {
    return about(rule, caller) && contains(rule.may, right) && fits_any(rule.modules, module);
  });
}

bool AccessRules::may_all(const Caller& caller, Right right) const {
  if (!has_rule(caller)) {
    return caller.kind == Caller::Kind::kUser || right == Right::kStatus || right == Right::kFetch ||
           right == Right::kRun;
  }
  return std::any_of(rules_.begin(), rules_.end(), [&](const AccessRule& rule) {
    return about(rule, caller) && contains(rule.may, right) && fits_all(rule.modules);
  });
}

bool AccessRules::may_know(const Caller& caller, std::string_view module) const {
  return may(caller, Right::kStatus, module) || may(caller, Right::kFetch, module) ||
         may(caller, Right::kRun, module);
}

bool AccessRules::may_know_all(const Caller& caller) const {
  return may_all(caller, Right::kStatus) || may_all(caller, Right::kFetch) || may_all(caller, Right::kRun);
}

std::vector<std::string> AccessRules::doubts(const std::vector<std::string>& trusted) const {
  std::vector<std::string> result;
  for (const AccessRule& rule : rules_) {
    for (const std::string& who : rule.who)
      if (!is_for_somebody(who, trusted)) result.push_back(for_nobody(rule, who, trusted));
    for (const std::string& pattern : rule.modules) {
      if (can_be_module(pattern)) continue;
      result.push_back(rule.place + ": '" + pattern +
                       "' in this [[access]] fits no module that there can be. A module's name is like "
                       "`scorer` or `ui/menu.json`, and '*' stands for any part of it.");
    }
  }
  return result;
}

std::optional<ErrorReply> forbidden(const AccessRules& rules, const Caller& caller,
                                    const RequestBody& request, const Manifest& committed,
                                    const std::optional<AnnounceEvent>& pending) {
  return std::visit(Judge(rules, caller, committed, pending), request);
}

void disregard(const AccessRules& rules, const Caller& caller, RequestBody& request) {
  std::vector<RunReport>* runs = nullptr;
  if (auto* alive = std::get_if<AliveRequest>(&request)) runs = &alive->runs;
  if (auto* leave = std::get_if<LeaveRequest>(&request)) runs = &leave->runs;
  if (runs == nullptr || runs->empty() || rules.may_all(caller, Right::kRun)) return;
  std::erase_if(*runs, [&](const RunReport& run) { return !rules.may(caller, Right::kRun, run.module); });
}

void conceal(const AccessRules& rules, const Caller& caller, ReplyBody& reply) {
  if (rules.may_know_all(caller)) return;
  std::visit(Veil(rules, caller), reply);
}

}  // namespace moddev::daemon
