#include "daemon/request_handler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/history.h"
#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

using MaybeReply = std::optional<ReplyBody>;

ErrorReply refusal(const Error& error) {
  return {error.code, error.message, 0};
}

/// Names that contain what was asked for, for a person who typed a part.
std::string candidates(const Manifest& manifest, const std::string& part) {
  std::string text;
  std::size_t shown = 0;
  for (const auto& [name, entry] : manifest.modules) {
    if (part.empty() || name.find(part) == std::string::npos) continue;
    if (shown++ == limits::kCandidatesShown) return text + ", ...";
    text += (text.empty() ? " Did you mean " : ", ") + name;
  }
  return text.empty() ? text : text + "?";
}

class Answer {
 public:
  Answer(Serving& serving, TimePoint now, WallTime wall) : s_(serving), now_(now), wall_(wall) {}

  MaybeReply operator()(const HelloRequest&) const {
    HelloReply reply;
    reply.daemon = s_.journal.id();
    reply.events_endpoint = s_.events_endpoint;
    reply.heartbeat_ms = std::chrono::milliseconds(limits::kHeartbeatInterval).count();
    reply.lease_ms = std::chrono::milliseconds(limits::kLease).count();
    reply.epoch = s_.journal.head();
    reply.committed_epoch = s_.journal.committed().epoch;
    reply.pid = s_.pid;
    reply.directory = s_.directory;
    reply.software = s_.software;
    reply.statement = committed_statement();
    return reply;
  }

  MaybeReply operator()(const JoinRequest& request) {
    JoinRequest join = request;
    if (join.repo != s_.journal.id().repo) join.epoch = 0;  // another history's numbers
    // What is being decided on may run in canaries.
    const bool undecided = s_.pending && join.epoch == s_.pending->epoch;
    if (join.epoch > s_.journal.committed().epoch && join.epoch <= s_.journal.head() && !undecided)
      s_.somebody_is_ahead = true;
    if (!s_.fleet.join(join, s_.journal.committed().epoch, now_)) {
      return ErrorReply{
          ErrorCode::kLimit,
          "The fleet is full: " + std::to_string(limits::kExecutors) +
              " executors (kExecutors) are members already. Stop some, then this one joins by itself.",
          std::chrono::milliseconds(limits::kLease).count()};
    }
    return snapshot();
  }

  MaybeReply operator()(const SnapshotRequest&) const { return snapshot(); }

  MaybeReply operator()(const ManifestRequest& request) const {
    if (request.epoch == s_.journal.committed().epoch) {
      return ManifestReply{s_.journal.id(), s_.journal.committed(),
                           retained_statement(s_.journal.committed())};
    }
    if (request.epoch == 0) return ManifestReply{s_.journal.id(), Manifest{}};
    auto manifest = s_.journal.manifest(request.epoch);
    if (!manifest) return refusal(manifest.error());
    ManifestReply reply{s_.journal.id(), std::move(*manifest)};
    // Of epochs that only their manifests are left of, nobody knows: those are pinned ones.
    if (const auto record = s_.journal.epoch(request.epoch)) {
      reply.aborted = record->state == EpochState::kAborted;
      if (record->state == EpochState::kCommitted) reply.statement = retained_statement(reply.manifest);
    }
    return reply;
  }

  MaybeReply operator()(const BlobRequest& request) const {
    if (request.length > limits::kChunkBytes) {
      return ErrorReply{ErrorCode::kInvalidArgument,
                        "A piece of " + std::to_string(request.length) + " bytes was asked for; at most " +
                            std::to_string(limits::kChunkBytes) + " (kChunkBytes) are given at once.",
                        0};
    }
    const auto total = s_.blobs.size(request.digest);
    if (!total) return not_there(request.digest, total.error());
    if (request.offset > *total) {
      return ErrorReply{ErrorCode::kInvalidArgument,
                        "A piece from byte " + std::to_string(request.offset) + " was asked for, but " +
                            request.digest.to_string() + " has " + std::to_string(*total) + " bytes.",
                        0};
    }
    if (s_.encoded != nullptr) {
      const EncodedBlobs::Offer offer = s_.encoded->offer(request, *total);
      if (offer.kind == EncodedBlobs::Offer::Kind::kLater) {
        return ErrorReply{ErrorCode::kUnavailable, request.digest.to_string() + " is being encoded.",
                          limits::kEncodingRetry.count()};
      }
      if (offer.kind == EncodedBlobs::Offer::Kind::kEncoded) return encoded_piece(request, offer, *total);
    }
    auto bytes = s_.blobs.read_range(request.digest, request.offset, request.length);
    if (!bytes) return not_there(request.digest, bytes.error());
    return BlobReply{request.digest, request.offset, *total, share(std::move(*bytes))};
  }

  MaybeReply operator()(const ModuleRequest& request) const {
    const Manifest& committed = s_.journal.committed();
    const ModuleEntry* entry = committed.find(request.name);
    if (entry != nullptr && (request.version == 0 || request.version == entry->version)) {
      return module_reply(request, committed.epoch, *entry);
    }
    if (request.version == 0) {
      return ErrorReply{ErrorCode::kNotFound,
                        "There is no module '" + request.name + "' in epoch " +
                            std::to_string(committed.epoch) + "." + candidates(committed, request.name),
                        0};
    }
    return old_version(request);
  }

  MaybeReply operator()(const AliveRequest& request) {
    AliveReply reply;
    reply.member = s_.fleet.alive(request, now_);
    take_runs(request.executor, request.runs, request.runs_repo);
    reply.daemon = s_.journal.id();
    reply.epoch = s_.journal.head();
    reply.committed_epoch = s_.journal.committed().epoch;
    reply.statement = committed_statement();
    return reply;
  }

  MaybeReply operator()(const AckRequest& request) {
    if (!s_.fleet.ack(request, now_)) {
      return ErrorReply{
          ErrorCode::kNotFound,
          "Executor " + request.executor.to_string() + " is no member of the fleet: join again.", 0};
    }
    // A commit or a trial is needed for this to be true, so a stranger to the history cannot write into it.
    if (request.phase == AckPhase::kApplied &&
        (request.epoch <= s_.journal.committed().epoch || s_.fleet.tries(request.executor, request.epoch))) {
      if (s_.applied.size() >= limits::kWaitingAppliedRecords) s_.applied.pop_front();
      const std::int64_t loaded_in =
          s_.fleet.prepared_in_us(request.executor, request.epoch).value_or(request.elapsed_us);
      s_.applied.push_back({request.epoch, *s_.fleet.identity(request.executor), wall_, loaded_in});
    }
    return OkReply{};
  }

  MaybeReply operator()(const LeaveRequest& request) {
    take_runs(request.executor, request.runs, request.runs_repo);
    s_.fleet.leave(request.executor, now_);
    return OkReply{};
  }

  MaybeReply operator()(const RefreshRequest&) const { return std::nullopt; }
  MaybeReply operator()(const HistoryRequest& request) const {
    auto reply = history_of(s_.journal, request);
    if (!reply) return refusal(reply.error());
    return std::move(*reply);
  }

  MaybeReply operator()(const RunsRequest& request) const {
    auto reply = runs_of(s_.journal, request);
    if (!reply) return refusal(reply.error());
    return std::move(*reply);
  }

  MaybeReply operator()(const RollbackRequest&) const { return std::nullopt; }

  MaybeReply operator()(const BuildRequest&) const { return std::nullopt; }

  MaybeReply operator()(const StatusRequest&) const {
    StatusReply reply;
    reply.daemon = s_.journal.id();
    reply.endpoint = s_.endpoint;
    reply.pid = s_.pid;
    reply.directory = s_.directory;
    reply.backend = s_.backend;
    reply.epoch = s_.journal.head();
    reply.committed_epoch = s_.journal.committed().epoch;
    reply.modules.reserve(s_.journal.committed().modules.size());
    for (const auto& [name, entry] : s_.journal.committed().modules) reply.modules.push_back(entry);
    reply.transfers = s_.sent;
    reply.executors = s_.fleet.status(reply.committed_epoch, now_);
    reply.holds = report_holds(s_.journal.holds());
    return reply;
  }

 private:
  void take_runs(const Uuid& executor, const std::vector<RunReport>& runs, const Uuid& repo) {
    if (runs.empty() || repo != s_.journal.id().repo) return;
    const ExecutorIdentity* member = s_.fleet.identity(executor);
    if (member != nullptr) s_.runs.take(*member, runs, s_.journal.last_versions(), now_, wall_);
  }

  SnapshotReply snapshot() const {
    return SnapshotReply{s_.journal.id(), s_.seq, s_.journal.committed(), s_.pending, committed_statement()};
  }

  std::optional<SignedStatement> committed_statement() const {
    if (s_.signing == nullptr) return std::nullopt;
    return s_.signing->committed(s_.journal.id().repo, s_.journal.committed(), wall_);
  }

  std::optional<SignedStatement> retained_statement(const Manifest& manifest) const {
    if (s_.signing == nullptr) return std::nullopt;
    return s_.signing->retained(s_.journal.id().repo, manifest, wall_);
  }

  MaybeReply encoded_piece(const BlobRequest& request, const EncodedBlobs::Offer& offer,
                           std::uint64_t total) const {
    const Bytes& all = *offer.bytes;
    const std::uint64_t begin = std::min<std::uint64_t>(request.offset, all.size());
    const std::uint64_t end = begin + std::min<std::uint64_t>(request.length, all.size() - begin);
    BlobReply reply;
    reply.digest = request.digest;
    reply.offset = request.offset;
    reply.total = total;
    reply.bytes = share(Bytes(all.begin() + static_cast<std::ptrdiff_t>(begin),
                              all.begin() + static_cast<std::ptrdiff_t>(end)));
    reply.encoding = offer.encoding;
    reply.wire_total = all.size();
    return reply;
  }

  MaybeReply module_reply(const ModuleRequest& request, Epoch epoch, const ModuleEntry& entry) const {
    ModuleReply reply;
    reply.daemon = s_.journal.id();
    reply.epoch = epoch;
    reply.module = entry;
    reply.latest = request.have == entry.version && request.repo == reply.daemon.repo;
    if (reply.latest || entry.size > limits::kChunkBytes) return reply;
    auto bytes = s_.blobs.read_range(entry.digest, 0, entry.size);
    if (!bytes) return not_there(entry.digest, bytes.error().with_context("Module '" + entry.name + "'"));
    reply.bytes = share(std::move(*bytes));
    return reply;
  }

  MaybeReply not_there(const Digest& digest, const Error& error) const {
    if (s_.restoration == nullptr || !s_.restoration->lost(digest, error, now_)) return refusal(error);
    return ErrorReply{
        ErrorCode::kUnavailable,
        "The stored bytes of " + digest.to_string() + " are read again from the watched directory.",
        limits::kLostBytesRetry.count()};
  }

  MaybeReply old_version(const ModuleRequest& request) const {
    auto found = s_.journal.version(request.name, request.version);
    if (!found) return refusal(found.error());
    return module_reply(request, found->epoch, found->module);
  }

  Serving& s_;
  TimePoint now_;
  WallTime wall_;
};

}  // namespace

void count_sent(const ReplyBody& reply, TransferReport& sent) {
  if (const auto* module = std::get_if<ModuleReply>(&reply)) {
    if (module->bytes) sent.plain_bytes += module->bytes->size();
    return;
  }
  const auto* blob = std::get_if<BlobReply>(&reply);
  if (blob == nullptr || !blob->bytes) return;
  const std::uint64_t size = blob->bytes->size();
  if (blob->encoding == Encoding::kPlain) {
    sent.plain_bytes += size;
    return;
  }
  (blob->encoding == Encoding::kPatch ? sent.patch_bytes : sent.zstd_bytes) += size;
  // Counted once for the whole, with its last piece.
  if (size > 0 && blob->offset + size == blob->wire_total && blob->total > blob->wire_total)
    sent.saved_bytes += blob->total - blob->wire_total;
}

std::optional<ReplyBody> answer(const RequestBody& request, Serving& serving, TimePoint now, WallTime wall) {
  return std::visit(Answer(serving, now, wall), request);
}

}  // namespace moddev::daemon
