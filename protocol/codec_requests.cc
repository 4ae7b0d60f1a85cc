#include <algorithm>
#include <span>

#include "protocol/codec.h"
#include "protocol/codec_envelope.h"
#include "protocol/codec_values.h"

namespace moddev {
namespace {

using codec::Document;
using codec::Reader;
using codec::Writer;

/// How many pairs stand before those of the body: v, id, type.
constexpr std::size_t kEnvelopePairs = 3;

void begin(Writer& out, std::uint64_t id, std::string_view type, std::size_t body_pairs) {
  out.map(kEnvelopePairs + body_pairs);
  out.key("v").number(limits::kProtocolVersion);
  out.key("id").number(id);
  out.key("type").text(type);
}

struct RequestWriter {
  Writer& out;
  std::uint64_t id;

  void operator()(const HelloRequest& r) const {
    begin(out, id, "hello", 1);
    out.key("software").free_text(r.software);
  }
  void operator()(const JoinRequest& r) const {
    begin(out, id, "join", 3);
    codec::write(out.key("executor"), r.executor);
    out.key("repo").binary(r.repo.bytes);
    out.key("epoch").number(r.epoch);
  }
  void operator()(const SnapshotRequest&) const { begin(out, id, "snapshot", 0); }
  void operator()(const ManifestRequest& r) const {
    begin(out, id, "manifest", 1);
    out.key("epoch").number(r.epoch);
  }
  void operator()(const BlobRequest& r) const {
    const bool encoded = !r.accept.empty();
    begin(out, id, "blob", encoded ? 5 : 3);
    out.key("digest").binary(r.digest.bytes);
    out.key("offset").number(r.offset);
    out.key("length").number(r.length);
    if (!encoded) return;
    out.key("base").binary(r.base.bytes);
    const std::size_t count = std::min(r.accept.size(), limits::kEncodings);
    out.key("accept").array(count);
    for (const Encoding encoding : std::span(r.accept).first(count)) out.text(to_string(encoding));
  }
  void operator()(const ModuleRequest& r) const {
    begin(out, id, "module", 4);
    out.key("name").text(r.name);
    out.key("have").number(r.have);
    out.key("repo").binary(r.repo.bytes);
    out.key("version").number(r.version);
  }
  void operator()(const AliveRequest& r) const {
    begin(out, id, "alive", 5 + (r.notes.empty() ? 0 : 1) + codec::pairs_of(r.runs));
    out.key("executor").binary(r.executor.bytes);
    out.key("state").text(to_string(r.state));
    out.key("epoch").number(r.epoch);
    codec::write(out.key("pins"), r.pins);
    out.key("retired_bytes").number(r.retired_bytes);
    codec::write(out, r.runs, r.runs_repo);
    if (r.notes.empty()) return;
    const std::size_t count = std::min(r.notes.size(), limits::kNotesPerExecutor);
    out.key("notes").array(count);
    for (const std::string& note : std::span(r.notes).first(count)) {
      out.free_text(note, limits::kFailureTextBytes);
    }
  }
  void operator()(const AckRequest& r) const {
    begin(out, id, "ack", 5);
    out.key("executor").binary(r.executor.bytes);
    out.key("epoch").number(r.epoch);
    out.key("phase").text(to_string(r.phase));
    const std::size_t count = std::min(r.failures.size(), limits::kFailuresPerEpoch);
    out.key("failures").array(count);
    for (const auto& failure : std::span(r.failures).first(count)) {
      out.map(2);
      out.key("module").free_text(failure.module, limits::kModuleNameBytes);
      out.key("error").free_text(failure.error, limits::kFailureTextBytes);
    }
    out.key("elapsed_us").signed_number(r.elapsed_us);
  }
  void operator()(const LeaveRequest& r) const {
    begin(out, id, "leave", 1 + codec::pairs_of(r.runs));
    out.key("executor").binary(r.executor.bytes);
    codec::write(out, r.runs, r.runs_repo);
  }
  void operator()(const HistoryRequest& r) const {
    begin(out, id, "history", codec::kHistoryRequestPairs);
    codec::write_body(out, r);
  }
  void operator()(const RunsRequest& r) const {
    begin(out, id, "runs", codec::kRunsRequestPairs);
    codec::write_body(out, r);
  }
  void operator()(const RollbackRequest& r) const {
    begin(out, id, "rollback", codec::kRollbackRequestPairs);
    codec::write_body(out, r);
  }
  void operator()(const RefreshRequest&) const { begin(out, id, "refresh", 0); }
  void operator()(const StatusRequest&) const { begin(out, id, "status", 0); }
  void operator()(const BuildRequest& r) const {
    begin(out, id, "build", 3);
    out.key("action").text(to_string(r.action));
    out.key("build").binary(r.build.bytes);
    out.key("success").boolean(r.success);
  }
};

BlobRequest read_blob(const Reader& map) {
  BlobRequest blob{map.at("digest").digest(), map.at("offset").number(), map.at("length").number()};
  blob.base = map.at("base", true).digest();
  for (const auto& item : map.at("accept", true).items(limits::kEncodings)) {
    // A newer client's encodings are none of ours.
    if (const auto known = encoding_from_string(item.text())) blob.accept.push_back(*known);
  }
  return blob;
}

AckRequest read_ack(const Reader& map) {
  AckRequest ack;
  ack.executor = map.at("executor").uuid();
  ack.epoch = map.at("epoch").number();
  const Reader phase = map.at("phase");
  if (const auto known = ack_phase_from_string(phase.text())) {
    ack.phase = *known;
  } else {
    phase.fail(ErrorCode::kCorrupt, "is no phase");
  }
  for (const auto& item : map.at("failures").items(limits::kFailuresPerEpoch)) {
    ack.failures.push_back({item.at("module").text(limits::kModuleNameBytes), item.at("error").text()});
  }
  ack.elapsed_us = map.at("elapsed_us").signed_number();
  return ack;
}

BuildRequest read_build(const Reader& map) {
  BuildRequest build;
  const Reader action = map.at("action");
  if (const auto known = build_action_from_string(action.text())) {
    build.action = *known;
  } else {
    action.fail(ErrorCode::kCorrupt, "is none of begin, renew, end");
  }
  build.build = map.at("build").uuid();
  if (const Reader success = map.at("success", true); success.present()) build.success = success.boolean();
  return build;
}

JoinRequest read_join(const Reader& map) {
  const Reader executor = map.at("executor");
  JoinRequest join{codec::read_identity(executor), map.at("repo").uuid(), map.at("epoch").number()};
  if (executor.present() && join.executor.id == Uuid{})
    executor.at("id").fail(ErrorCode::kInvalidArgument, "is zero: every executor chooses its own at random");
  if (join.executor.pid < 0)
    executor.at("pid").fail(ErrorCode::kInvalidArgument, "is negative: it is the number of a process");
  return join;
}

std::optional<RequestBody> read_body(std::string_view type, const Reader& map) {
  if (type == "hello") return HelloRequest{map.at("software").text()};
  if (type == "join") return read_join(map);
  if (type == "snapshot") return SnapshotRequest{};
  if (type == "manifest") return ManifestRequest{map.at("epoch").number()};
  if (type == "blob") {
    return read_blob(map);
  }
  if (type == "module") {
    // A client that has nothing need not say in which repo, nor ask for a particular version.
    const Reader repo = map.at("repo", true);
    return ModuleRequest{map.at("name").text(limits::kModuleNameBytes), map.at("have", true).number(),
                         repo.present() ? repo.uuid() : Uuid{}, map.at("version", true).number()};
  }
  if (type == "alive") {
    AliveRequest alive{map.at("executor").uuid(), codec::read_state(map.at("state")),
                       map.at("epoch").number(), codec::read_pins(map.at("pins")),
                       map.at("retired_bytes", true).number()};
    if (const Reader notes = map.at("notes", true); notes.present()) {
      for (const auto& note : notes.items(limits::kNotesPerExecutor)) alive.notes.push_back(note.text());
    }
    alive.runs = codec::read_runs(map);
    alive.runs_repo = codec::read_runs_repo(map);
    return alive;
  }
  if (type == "ack") return read_ack(map);
  if (type == "leave")
    return LeaveRequest{map.at("executor").uuid(), codec::read_runs(map), codec::read_runs_repo(map)};
  if (type == "refresh") return RefreshRequest{};
  if (type == "status") return StatusRequest{};
  if (type == "history") return codec::read_history_request(map);
  if (type == "runs") return codec::read_runs_request(map);
  if (type == "rollback") return codec::read_rollback_request(map);
  if (type == "build") return read_build(map);
  return std::nullopt;
}

}  // namespace

Frames encode(const Request& request) {
  Writer out;
  std::visit(RequestWriter{out, request.id}, request.body);
  return {share(out.take())};
}

Result<Request> decode_request(const Frames& frames) {
  // Before any limit: those of another version are not ours.
  const codec::Envelope envelope =
      frames.empty() ? codec::Envelope{} : codec::read_envelope(*frames[0], limits::kRequestHeaderBytes);
  if (envelope.version && *envelope.version != limits::kProtocolVersion) {
    return Error{ErrorCode::kUnsupported,
                 "the request speaks version " + std::to_string(*envelope.version) +
                     " of the protocol, this daemon speaks version " +
                     std::to_string(limits::kProtocolVersion) + "; update the older of the two",
                 0};
  }
  if (frames.size() != 1) {
    return Error{ErrorCode::kCorrupt,
                 "a request of " + std::to_string(frames.size()) + " frames instead of one", 0};
  }
  auto document = Document::parse(*frames[0], limits::kRequestHeaderBytes);
  if (!document) return document.error();
  Reader::Problem problem;
  const Reader map = document->root(problem);
  (void)map.at("v").number();  // ours, or a problem
  Request request;
  request.id = map.at("id").number();
  const std::string type = map.at("type").text(64);
  if (problem.error) return *problem.error;
  auto body = read_body(type, map);
  if (!body) return Error{ErrorCode::kUnsupported, "there is no request of type '" + type + "'", 0};
  request.body = std::move(*body);
  return codec::finish(problem, std::move(request));
}

std::uint64_t request_id_of(std::span<const std::byte> header) {
  return codec::read_envelope(header, limits::kRequestHeaderBytes).id.value_or(0);
}

}  // namespace moddev
