// What of the requests is noted for the owner, and when the notes are written: never in the middle of a
// switch.
#include <utility>

#include "daemon/daemon_state.h"

namespace moddev::daemon {
namespace {

std::string version_text(const ModuleEntry& module) {
  return module.name + " " + std::to_string(module.version);
}

/// The name by which a manifest or an announcement knows these bytes.
std::string name_of(const Digest& digest, const Manifest& committed,
                    const std::optional<AnnounceEvent>& pending) {
  for (const auto& [name, entry] : committed.modules)
    if (entry.digest == digest) return version_text(entry);
  if (!pending) return "";
  for (const ModuleChange& change : pending->changes)
    if (change.module.digest == digest) return version_text(change.module);
  return "";
}

/// What a request that was carried out is to the audit; nothing for what only looks.
class Noted {
 public:
  using Note = std::optional<AuditNote>;
  Noted(const std::optional<ReplyBody>& reply, const Fleet& fleet) : reply_(reply), fleet_(fleet) {}

  Note operator()(const BlobRequest& request) const {
    const auto* reply = answered<BlobReply>();
    if (reply == nullptr) return {};
    AuditNote note{.act = AuditAct::kFetched, .digest = request.digest};
    note.count = request.offset == 0 ? 1 : 0;  // the other pieces belong to the first
    return note;
  }
  Note operator()(const ModuleRequest& /*request*/) const {
    const auto* reply = answered<ModuleReply>();
    if (reply == nullptr || reply->bytes == nullptr) return {};
    return AuditNote{
        .act = AuditAct::kFetched, .what = version_text(reply->module), .digest = reply->module.digest};
  }
  Note operator()(const AckRequest& request) const {
    if (answered<OkReply>() == nullptr) return {};
    const std::string epoch = "epoch " + std::to_string(request.epoch);
    if (request.phase == AckPhase::kApplied)
      return AuditNote{.act = AuditAct::kApplied, .executor = name(request.executor), .what = epoch};
    if (request.phase != AckPhase::kFailed) return {};
    AuditNote note{.act = AuditAct::kFailed, .executor = name(request.executor), .what = epoch};
    if (!request.failures.empty()) {
      const ModuleFailure& first = request.failures.front();
      note.what += ": " + (first.module.empty() ? "" : first.module + ": ") + first.error;
    }
    return note;
  }
  Note operator()(const RollbackRequest& request) const {
    return AuditNote{.act = AuditAct::kAsked,
                     .what = "rollback" + (request.module.empty() ? "" : " of " + request.module) +
                             (request.to == 0 ? "" : " to " + std::to_string(request.to))};
  }
  Note operator()(const RefreshRequest& /*request*/) const {
    return AuditNote{.act = AuditAct::kAsked, .what = "refresh"};
  }
  Note operator()(const BuildRequest& request) const {
    if (request.action == BuildAction::kRenew) return {};
    return AuditNote{.act = AuditAct::kAsked, .what = "build " + std::string(to_string(request.action))};
  }
  template <typename Other>
  Note operator()(const Other& /*request*/) const {
    return {};
  }

 private:
  template <typename R>
  [[nodiscard]] const R* answered() const {
    return reply_ ? std::get_if<R>(&*reply_) : nullptr;
  }
  [[nodiscard]] std::string name(const Uuid& executor) const {
    const ExecutorIdentity* identity = fleet_.identity(executor);
    return identity == nullptr ? "" : identity->name;
  }

  const std::optional<ReplyBody>& reply_;
  const Fleet& fleet_;
};

}  // namespace

void Daemon::State::note_request(const IncomingRequest& request, const std::optional<ReplyBody>& reply,
                                 TimePoint now, WallTime wall) {
  std::optional<AuditNote> note = std::visit(Noted(reply, fleet), request.request.body);
  if (!note) return;
  note->who = request.peer.caller.who();
  note->address = request.peer.caller.address;
  audit.note(std::move(*note), now, wall);
}

/// A switch goes before, for as long as a switch takes; a trial takes longer.
TimePoint Daemon::State::audit_due() const {
  if (audit.due() == kNever || !fleet.busy()) return audit.due();
  return audit.due() + limits::kAuditPatience;
}

void Daemon::State::write_audit(TimePoint now) {
  if (audit.due() == kNever || now < audit_due()) return;
  const Status recorded = journal.record_audit(audit.unwritten(
      [this](const Digest& digest) { return name_of(digest, journal.committed(), serving.pending); }));
  if (now == kNever) return;
  if (recorded) {
    audit.written(now);
    audit_failing = false;
    return;
  }
  audit.not_written(now);
  if (!std::exchange(audit_failing, true))
    journal_refused("Who did what is missing in the audit", recorded.error());
}

}  // namespace moddev::daemon
