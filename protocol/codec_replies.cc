#include <algorithm>

#include "protocol/codec.h"
#include "protocol/codec_envelope.h"
#include "protocol/codec_values.h"

namespace moddev {
namespace {

using codec::Document;
using codec::Reader;
using codec::Writer;

constexpr std::size_t kEnvelopePairs = 3;
constexpr std::size_t kDaemonPairs = 2;

void begin(Writer& out, std::uint64_t id, std::string_view type, std::size_t body_pairs) {
  out.map(kEnvelopePairs + body_pairs);
  out.key("v").number(limits::kProtocolVersion);
  out.key("id").number(id);
  out.key("type").text(type);
}

template <typename R>
std::size_t outcome_pairs(const R& reply) {
  return (reply.unpublished.empty() ? 0 : 2) + (reply.refused == 0 ? 0 : 1);
}

template <typename R>
void write_outcome(Writer& out, const R& reply) {
  if (reply.refused != 0) out.key("refused").number(reply.refused);
  if (reply.unpublished.empty()) return;
  out.key("unpublished").array(reply.unpublished.size());
  for (const UnpublishedFile& file : reply.unpublished) {
    out.map(2);
    out.key("path").free_text(file.path, limits::kPathBytes);
    out.key("reason").free_text(file.reason);
  }
  out.key("unpublished_files").number(reply.unpublished_files);
}

template <typename R>
void read_outcome(const Reader& map, R& reply) {
  if (const Reader refused = map.at("refused", true); refused.present()) reply.refused = refused.number();
  const Reader files = map.at("unpublished", true);
  if (!files.present()) return;
  for (const Reader& file : files.items(limits::kUnpublishedTold)) {
    reply.unpublished.push_back({file.at("path").text(limits::kPathBytes), file.at("reason").text()});
  }
  if (const Reader count = map.at("unpublished_files", true); count.present())
    reply.unpublished_files = count.number();
}

struct ReplyWriter {
  Writer& out;
  std::uint64_t id;

  void operator()(const HelloReply& r) const {
    begin(out, id, "hello", kDaemonPairs + 8 + codec::pairs_of(r.statement));
    codec::write(out, r.daemon);
    out.key("events_endpoint").free_text(r.events_endpoint);
    out.key("heartbeat_ms").signed_number(r.heartbeat_ms);
    out.key("lease_ms").signed_number(r.lease_ms);
    out.key("epoch").number(r.epoch);
    out.key("committed_epoch").number(r.committed_epoch);
    out.key("pid").signed_number(r.pid);
    out.key("directory").free_text(r.directory);
    out.key("software").free_text(r.software);
    codec::write(out, r.statement);
  }
  void operator()(const SnapshotReply& r) const {
    begin(out, id, "snapshot", kDaemonPairs + 2 + (r.pending ? 1 : 0) + codec::pairs_of(r.statement));
    codec::write(out, r.daemon);
    out.key("seq").number(r.seq);
    codec::write(out.key("committed"), r.committed);
    if (r.pending) codec::write(out.key("pending"), *r.pending);
    codec::write(out, r.statement);
  }
  void operator()(const ManifestReply& r) const {
    begin(out, id, "manifest", kDaemonPairs + 1 + codec::pairs_of(r.statement) + (r.aborted ? 1 : 0));
    codec::write(out, r.daemon);
    codec::write(out.key("manifest"), r.manifest);
    codec::write(out, r.statement);
    if (r.aborted) out.key("aborted").boolean(true);
  }
  void operator()(const BlobReply& r) const {
    const bool encoded = r.encoding != Encoding::kPlain;
    begin(out, id, "blob", encoded ? 5 : 3);
    out.key("digest").binary(r.digest.bytes);
    out.key("offset").number(r.offset);
    out.key("total").number(r.total);
    if (!encoded) return;
    out.key("encoding").text(to_string(r.encoding));
    out.key("wire_total").number(r.wire_total);
  }
  void operator()(const ModuleReply& r) const {
    begin(out, id, "module", kDaemonPairs + 3);
    codec::write(out, r.daemon);
    out.key("latest").boolean(r.latest);
    out.key("epoch").number(r.epoch);
    codec::write(out.key("module"), r.module);
  }
  void operator()(const AliveReply& r) const {
    begin(out, id, "alive", kDaemonPairs + 3 + codec::pairs_of(r.statement));
    codec::write(out, r.daemon);
    out.key("member").boolean(r.member);
    out.key("epoch").number(r.epoch);
    out.key("committed_epoch").number(r.committed_epoch);
    codec::write(out, r.statement);
  }
  void operator()(const RefreshReply& r) const {
    begin(out, id, "refresh", 2 + outcome_pairs(r));
    out.key("epoch").number(r.epoch);
    out.key("committed_epoch").number(r.committed_epoch);
    write_outcome(out, r);
  }
  void operator()(const StatusReply& r) const {
    const bool sent = r.transfers != TransferReport{};
    begin(out, id, "status",
          kDaemonPairs + 8 + (r.holds.empty() ? 0 : 1) + (sent ? 1 : 0) + (r.refused == 0 ? 0 : 1));
    codec::write(out, r.daemon);
    out.key("endpoint").free_text(r.endpoint);
    out.key("pid").signed_number(r.pid);
    out.key("directory").free_text(r.directory);
    out.key("backend").free_text(r.backend);
    out.key("epoch").number(r.epoch);
    out.key("committed_epoch").number(r.committed_epoch);
    out.key("modules").array(r.modules.size());
    for (const auto& module : r.modules) codec::write(out, module);
    out.key("executors").array(r.executors.size());
    for (const auto& executor : r.executors) {
      out.map(6);
      codec::write(out.key("identity"), executor.identity);
      out.key("state").text(to_string(executor.state));
      out.key("epoch").number(executor.epoch);
      codec::write(out.key("pins"), executor.pins);
      out.key("retired_bytes").number(executor.retired_bytes);
      out.key("detail").free_text(executor.detail);
    }
    if (!r.holds.empty()) codec::write(out.key("holds"), r.holds);
    if (r.refused != 0) out.key("refused").number(r.refused);
    if (!sent) return;
    out.key("transfers").map(5);
    out.key("announced_bytes").number(r.transfers.announced_bytes);
    out.key("plain_bytes").number(r.transfers.plain_bytes);
    out.key("zstd_bytes").number(r.transfers.zstd_bytes);
    out.key("patch_bytes").number(r.transfers.patch_bytes);
    out.key("saved_bytes").number(r.transfers.saved_bytes);
  }
  void operator()(const HistoryReply& r) const {
    begin(out, id, "history", codec::kHistoryReplyPairs);
    codec::write_body(out, r);
  }
  void operator()(const RunsReply& r) const {
    begin(out, id, "runs", codec::kRunsReplyPairs);
    codec::write_body(out, r);
  }
  void operator()(const RollbackReply& r) const {
    begin(out, id, "rollback", codec::kRollbackReplyPairs);
    codec::write_body(out, r);
  }
  void operator()(const OkReply&) const { begin(out, id, "ok", 0); }
  void operator()(const ErrorReply& r) const {
    begin(out, id, "error", 3);
    out.key("code").text(to_string(r.code));
    out.key("message").free_text(r.message);
    out.key("retry_after_ms").signed_number(r.retry_after_ms);
  }
  void operator()(const BuildReply& r) const {
    begin(out, id, "build", kDaemonPairs + 6 + outcome_pairs(r));
    codec::write(out, r.daemon);
    out.key("build").binary(r.build.bytes);
    out.key("lease_ms").signed_number(r.lease_ms);
    out.key("unbroken").boolean(r.unbroken);
    out.key("files").number(r.files);
    out.key("epoch").number(r.epoch);
    out.key("committed_epoch").number(r.committed_epoch);
    write_outcome(out, r);
  }
};

/// The payload frame of a reply that has one, else null.
SharedBytes payload_of(const ReplyBody& body) {
  if (const auto* blob = std::get_if<BlobReply>(&body)) return blob->bytes;
  if (const auto* module = std::get_if<ModuleReply>(&body)) return module->bytes;
  return nullptr;
}

/// Whoever adds it to a time need not fear that it overflows.
std::int64_t read_wait_ms(const Reader& field) {
  return std::clamp<std::int64_t>(field.signed_number(), 0, limits::kRetryAfterMost.count());
}

HelloReply read_hello(const Reader& map) {
  HelloReply reply;
  reply.daemon = codec::read_daemon(map);
  reply.events_endpoint = map.at("events_endpoint").text();
  reply.heartbeat_ms = read_wait_ms(map.at("heartbeat_ms"));
  reply.lease_ms = read_wait_ms(map.at("lease_ms"));
  reply.epoch = map.at("epoch").number();
  reply.committed_epoch = map.at("committed_epoch").number();
  reply.pid = map.at("pid").signed_number();
  reply.directory = map.at("directory").text();
  reply.software = map.at("software").text();
  reply.statement = codec::read_statement(map);
  return reply;
}

BlobReply read_blob(const Reader& map, SharedBytes payload) {
  BlobReply reply{map.at("digest").digest(), map.at("offset").number(), map.at("total").number(),
                  std::move(payload)};
  const Reader encoding = map.at("encoding", true);
  if (const auto known = encoding_from_string(encoding.text())) {
    reply.encoding = *known;
  } else {
    encoding.fail(ErrorCode::kUnsupported, "names an encoding that was not asked for");
  }
  reply.wire_total = map.at("wire_total", true).number();
  return reply;
}

StatusReply read_status(const Reader& map) {
  StatusReply reply;
  reply.daemon = codec::read_daemon(map);
  reply.endpoint = map.at("endpoint").text();
  reply.pid = map.at("pid").signed_number();
  reply.directory = map.at("directory").text();
  reply.backend = map.at("backend").text();
  reply.epoch = map.at("epoch").number();
  reply.committed_epoch = map.at("committed_epoch").number();
  for (const auto& item : map.at("modules").items(limits::kModulesPerManifest)) {
    reply.modules.push_back(codec::read_module(item));
  }
  for (const auto& item : map.at("executors").items(limits::kExecutors)) {
    ExecutorStatus executor;
    executor.identity = codec::read_identity(item.at("identity"));
    executor.state = codec::read_state(item.at("state"));
    executor.epoch = item.at("epoch").number();
    executor.pins = codec::read_pins(item.at("pins"));
    executor.retired_bytes = item.at("retired_bytes").number();
    executor.detail = item.at("detail").text();
    reply.executors.push_back(std::move(executor));
  }
  reply.holds = codec::read_holds(map.at("holds", true));
  if (const Reader refused = map.at("refused", true); refused.present()) reply.refused = refused.number();
  if (const Reader sent = map.at("transfers", true); sent.present()) {
    reply.transfers.announced_bytes = sent.at("announced_bytes").number();
    reply.transfers.plain_bytes = sent.at("plain_bytes").number();
    reply.transfers.zstd_bytes = sent.at("zstd_bytes").number();
    reply.transfers.patch_bytes = sent.at("patch_bytes").number();
    reply.transfers.saved_bytes = sent.at("saved_bytes").number();
  }
  return reply;
}

SnapshotReply read_snapshot(const Reader& map) {
  SnapshotReply reply;
  reply.daemon = codec::read_daemon(map);
  reply.seq = map.at("seq").number();
  reply.committed = codec::read_manifest(map.at("committed"));
  if (const Reader pending = map.at("pending", true); pending.present())
    reply.pending = codec::read_announce(pending);
  reply.statement = codec::read_statement(map);
  return reply;
}

/// An error can be read in every version of the protocol: it is how versions meet.
Result<Reply> of_another_version(const codec::Envelope& envelope, std::uint64_t version) {
  if (envelope.type != "error") {
    return Error{ErrorCode::kUnsupported,
                 "the daemon speaks version " + std::to_string(version) +
                     " of the protocol, this client speaks version " +
                     std::to_string(limits::kProtocolVersion) + "; update the older of the two",
                 0};
  }
  const ErrorCode code = error_code_from_string(envelope.code.value_or("")).value_or(ErrorCode::kInternal);
  return Reply{envelope.id.value_or(0),
               ErrorReply{code, clean_text(envelope.message.value_or(""), limits::kTextBytes), 0}};
}

ErrorReply read_error(const Reader& map) {
  ErrorReply reply;
  // A code of a newer daemon is still an error.
  reply.code = error_code_from_string(map.at("code").text()).value_or(ErrorCode::kInternal);
  reply.message = map.at("message").text();
  if (const Reader retry = map.at("retry_after_ms", true); retry.present()) {
    reply.retry_after_ms = read_wait_ms(retry);
  }
  return reply;
}

std::optional<ReplyBody> read_body(std::string_view type, const Reader& map, SharedBytes payload) {
  if (type == "hello") return read_hello(map);
  if (type == "snapshot") return read_snapshot(map);
  if (type == "manifest") {
    ManifestReply reply{codec::read_daemon(map), codec::read_manifest(map.at("manifest")),
                        codec::read_statement(map)};
    if (const Reader aborted = map.at("aborted", true); aborted.present()) reply.aborted = aborted.boolean();
    return reply;
  }
  if (type == "blob") {
    return read_blob(map, std::move(payload));
  }
  if (type == "module") {
    return ModuleReply{codec::read_daemon(map), map.at("latest").boolean(), map.at("epoch").number(),
                       codec::read_module(map.at("module")), std::move(payload)};
  }
  if (type == "alive") {
    return AliveReply{codec::read_daemon(map), map.at("member").boolean(), map.at("epoch").number(),
                      map.at("committed_epoch").number(), codec::read_statement(map)};
  }
  if (type == "refresh") {
    RefreshReply reply{map.at("epoch").number(), map.at("committed_epoch").number()};
    read_outcome(map, reply);
    return reply;
  }
  if (type == "status") return read_status(map);
  if (type == "history") return codec::read_history_reply(map);
  if (type == "runs") return codec::read_runs_reply(map);
  if (type == "rollback") return codec::read_rollback_reply(map);
  if (type == "ok") return OkReply{};
  if (type == "error") return read_error(map);
  if (type == "build") {
    BuildReply reply{codec::read_daemon(map),           map.at("build").uuid(),
                     read_wait_ms(map.at("lease_ms")),  map.at("unbroken").boolean(),
                     map.at("files").number(),          map.at("epoch").number(),
                     map.at("committed_epoch").number()};
    read_outcome(map, reply);
    return reply;
  }
  return std::nullopt;
}

}  // namespace

Frames encode(const Reply& reply) {
  Writer out;
  std::visit(ReplyWriter{out, reply.id}, reply.body);
  Bytes header = out.take();
  if (header.size() > limits::kHeaderBytes) {
    return encode(
        Reply{reply.id, ErrorReply{ErrorCode::kLimit,
                                   "The answer would have a header of " + std::to_string(header.size()) +
                                       " bytes; the limit is " + std::to_string(limits::kHeaderBytes) +
                                       " (kHeaderBytes). Watch a smaller directory.",
                                   0}});
  }
  Frames frames{share(std::move(header))};
  if (SharedBytes payload = payload_of(reply.body)) frames.push_back(std::move(payload));
  return frames;
}

Result<Reply> decode_reply(const Frames& frames) {
  // Before any limit: those of another version are not ours.
  const codec::Envelope envelope =
      frames.empty() ? codec::Envelope{} : codec::read_envelope(*frames[0], limits::kHeaderBytes);
  if (envelope.version && *envelope.version != limits::kProtocolVersion)
    return of_another_version(envelope, *envelope.version);
  if (frames.empty() || frames.size() > 2) {
    return Error{ErrorCode::kCorrupt, "a reply of " + std::to_string(frames.size()) + " frames", 0};
  }
  auto document = Document::parse(*frames[0]);
  if (!document) return document.error();
  Reader::Problem problem;
  const Reader map = document->root(problem);
  (void)map.at("v").number();  // ours, or a problem
  const std::string type = map.at("type").text(64);
  Reply reply;
  reply.id = map.at("id").number();
  if (problem.error) return *problem.error;
  auto body = read_body(type, map, frames.size() > 1 ? frames[1] : nullptr);
  if (!body) return Error{ErrorCode::kUnsupported, "there is no reply of type '" + type + "'", 0};
  reply.body = std::move(*body);
  return codec::finish(problem, std::move(reply));
}

}  // namespace moddev
