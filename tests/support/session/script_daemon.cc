#include "tests/support/session/script_daemon.h"

#include <algorithm>

#include "protocol/limits.h"

namespace moddev::test {
namespace {

Uuid numbered(std::uint8_t number) {
  Uuid uuid;
  uuid.bytes[15] = number;
  return uuid;
}

}  // namespace

ScriptDaemon::ScriptDaemon(FakeLink& given) : link(given), id{numbered(1), numbered(101)} {
  link.on_send = [this](const Request& request) {
    requests.push_back(request);
    if (auto reply = answer_to(request.body)) link.push(Reply{request.id, std::move(*reply)});
  };
}

Manifest ScriptDaemon::make_manifest(Epoch epoch, const Contents& contents,
                                     const std::map<std::string, std::vector<std::string>>& depends_on) {
  Manifest manifest;
  manifest.epoch = epoch;
  for (const auto& [name, content] : contents) {
    ModuleEntry entry;
    entry.name = name;
    entry.kind = ModuleKind::kBlob;
    entry.version = epoch;
    entry.digest = digest_of(content);
    entry.size = content.size();
    entry.path = name;
    if (const auto needs = depends_on.find(name); needs != depends_on.end()) entry.depends_on = needs->second;
    // Unchanged modules keep their version.
    if (const ModuleEntry* before = committed.find(name);
        before != nullptr && before->digest == entry.digest) {
      entry.version = before->version;
    }
    blobs[entry.digest] = share(content);
    manifest.modules.emplace(name, std::move(entry));
  }
  return manifest;
}

Event ScriptDaemon::event(std::variant<AnnounceEvent, CommitEvent, AbortEvent, HeartbeatEvent> body) {
  return {id, seq, std::move(body)};
}

void ScriptDaemon::push(Event event) {
  if (before_push) before_push(event);
  if (heard && !link.subscribed_to.empty()) link.push(std::move(event));
}

void ScriptDaemon::announce(const Manifest& manifest, bool inline_bytes) {
  ++seq;
  head = manifest.epoch;
  manifests[manifest.epoch] = manifest;
  pending_manifest = manifest;
  AnnounceEvent announcement;
  announcement.epoch = manifest.epoch;
  announcement.base = committed.epoch;
  announcement.manifest_digest = manifest.digest();
  announcement.changes = diff(committed, manifest);
  release.fill(static_cast<std::uint8_t>(manifest.epoch));
  announcement.statement =
      stated(Purpose::kProposed, manifest.epoch, announcement.manifest_digest, release_digest(release));
  pending = announcement;
  if (inline_bytes) {
    for (const ModuleChange& change : announcement.changes) {
      if (change.change == ChangeKind::kRemoved || change.module.size > limits::kInlineModuleBytes) continue;
      announcement.inline_blobs.push_back({change.module.digest, blobs.at(change.module.digest)});
    }
  }
  push(event(std::move(announcement)));
}

void ScriptDaemon::commit() {
  ++seq;
  committed = pending_manifest;
  pending.reset();
  CommitEvent commit{committed.epoch};
  if (signing_key) commit.release = release;
  push(event(std::move(commit)));
}

void ScriptDaemon::try_in(const Uuid& canary) {
  ++seq;
  push(event(CommitEvent{pending_manifest.epoch, {canary}}));
}

void ScriptDaemon::abort(std::vector<ExecutorFailure> failures) {
  ++seq;
  pending.reset();
  push(event(AbortEvent{head, std::move(failures)}));
}

void ScriptDaemon::heartbeat() {
  push(event(HeartbeatEvent{head, committed.epoch, committed_statement()}));
}

std::optional<SignedStatement> ScriptDaemon::stated(Purpose purpose, Epoch epoch, const Digest& manifest,
                                                    const Digest& detail) const {
  if (!signing_key) return std::nullopt;
  const std::int64_t issued = wall.time_since_epoch().count();
  const std::int64_t validity = Duration(limits::kStatementValidity).count();
  return sign(*signing_key, {purpose, id.repo, epoch, manifest, detail, issued, issued + validity});
}

void ScriptDaemon::commit_silently(const Manifest& manifest) {
  const bool before = std::exchange(heard, false);
  publish(manifest);
  heard = before;
}

void ScriptDaemon::restart() {
  ++id.incarnation.bytes[0];
  seq = 0;
  pending.reset();
}

void ScriptDaemon::restart_with_new_history() {
  restart();
  ++id.repo.bytes[0];
  head = 0;
  committed = {};
  manifests.clear();
}

std::optional<ReplyBody> ScriptDaemon::answer_to(const RequestBody& request) {
  if (!answering) return std::nullopt;
  if (const auto* join = std::get_if<JoinRequest>(&request)) joins.push_back(*join);
  if (const auto* ack = std::get_if<AckRequest>(&request)) acks.push_back(*ack);
  if (const auto* alive = std::get_if<AliveRequest>(&request)) alives.push_back(*alive);
  if (const auto* blob = std::get_if<BlobRequest>(&request)) blob_requests.push_back(*blob);
  if (std::holds_alternative<HelloRequest>(request)) ++hellos;
  if (std::holds_alternative<SnapshotRequest>(request)) ++snapshots;
  if (std::holds_alternative<ManifestRequest>(request)) ++manifest_requests;
  if (std::holds_alternative<LeaveRequest>(request)) ++leaves;
  if (instead) {
    if (auto other = instead(request)) return *other;
  }
  if (std::holds_alternative<HelloRequest>(request)) {
    HelloReply reply;
    reply.daemon = id;
    reply.events_endpoint = "events";
    reply.heartbeat_ms = std::chrono::milliseconds(limits::kHeartbeatInterval).count();
    reply.lease_ms = std::chrono::milliseconds(limits::kLease).count();
    reply.epoch = head;
    reply.committed_epoch = committed.epoch;
    reply.statement = committed_statement();
    return reply;
  }
  if (std::holds_alternative<JoinRequest>(request) || std::holds_alternative<SnapshotRequest>(request)) {
    if (std::holds_alternative<JoinRequest>(request)) member = true;
    return SnapshotReply{id, seq, committed, pending, committed_statement()};
  }
  if (const auto* wanted = std::get_if<ManifestRequest>(&request)) {
    const auto found = manifests.find(wanted->epoch);
    if (found == manifests.end()) return ErrorReply{ErrorCode::kNotFound, "no such epoch", 0};
    return ManifestReply{id, found->second,
                         stated(Purpose::kRetained, wanted->epoch, found->second.digest())};
  }
  if (const auto* piece = std::get_if<BlobRequest>(&request)) {
    const auto blob = blobs.find(piece->digest);
    if (blob == blobs.end()) return ErrorReply{ErrorCode::kNotFound, "no such blob", 0};
    const Bytes& all = *blob->second;
    const auto begin =
        all.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(piece->offset, all.size()));
    const auto length = std::min<std::uint64_t>(piece->length, static_cast<std::uint64_t>(all.end() - begin));
    return BlobReply{piece->digest, piece->offset, all.size(),
                     share(Bytes(begin, begin + static_cast<std::ptrdiff_t>(length)))};
  }
  if (std::holds_alternative<AliveRequest>(request)) {
    return AliveReply{id, member, head, committed.epoch, committed_statement()};
  }
  if (std::holds_alternative<AckRequest>(request) && !member) {
    return ErrorReply{ErrorCode::kNotFound, "no member", 0};
  }
  return OkReply{};
}

}  // namespace moddev::test
