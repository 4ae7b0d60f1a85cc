#include <algorithm>
#include <span>

#include "protocol/codec.h"
#include "protocol/codec_values.h"

namespace moddev {
namespace {

using codec::Document;
using codec::Reader;
using codec::Writer;

/// v, type, repo, incarnation, seq.
constexpr std::size_t kEnvelopePairs = 5;

void begin(Writer& out, const Event& event, std::string_view type, std::size_t body_pairs) {
  out.map(kEnvelopePairs + body_pairs);
  out.key("v").number(limits::kProtocolVersion);
  out.key("type").text(type);
  codec::write(out, event.daemon);
  out.key("seq").number(event.seq);
}

struct EventWriter {
  Writer& out;
  const Event& event;

  void operator()(const AnnounceEvent& e) const {
    begin(out, event, "announce", 2);
    codec::write(out.key("announce"), e);
    out.key("inline").array(e.inline_blobs.size());
    for (const auto& blob : e.inline_blobs) out.binary(blob.digest.bytes);
  }
  void operator()(const CommitEvent& e) const {
    const std::size_t count = std::min(e.only.size(), limits::kExecutors);
    begin(out, event, "commit",
          1 + (count == 0 ? 0U : 1U) + (e.release ? 1U : 0U) + codec::pairs_of(e.statement));
    out.key("epoch").number(e.epoch);
    if (e.release) out.key("release").binary(*e.release);
    codec::write(out, e.statement);
    if (count == 0) return;
    out.key("only").array(count);
    for (const Uuid& executor : std::span(e.only).first(count)) out.binary(executor.bytes);
  }
  void operator()(const AbortEvent& e) const {
    begin(out, event, "abort", 2);
    out.key("epoch").number(e.epoch);
    const std::size_t count = std::min(e.failures.size(), limits::kFailuresPerEpoch);
    out.key("failures").array(count);
    for (const auto& failure : std::span(e.failures).first(count)) {
      out.map(3);
      out.key("executor").free_text(failure.executor, limits::kModuleNameBytes);
      out.key("module").free_text(failure.module, limits::kModuleNameBytes);
      out.key("error").free_text(failure.error, limits::kFailureTextBytes);
    }
  }
  void operator()(const HeartbeatEvent& e) const {
    begin(out, event, "heartbeat", 2 + codec::pairs_of(e.statement));
    out.key("epoch").number(e.epoch);
    out.key("committed_epoch").number(e.committed_epoch);
    codec::write(out, e.statement);
  }
};

SharedBytes topic_frame(const Event& event) {
  static const SharedBytes epoch_topic = share(kEpochTopic);
  static const SharedBytes heartbeat_topic = share(kHeartbeatTopic);
  return std::holds_alternative<HeartbeatEvent>(event.body) ? heartbeat_topic : epoch_topic;
}

AnnounceEvent read_announce(const Reader& map, const Frames& frames) {
  AnnounceEvent announce = codec::read_announce(map.at("announce"));
  const Reader listed = map.at("inline");
  const auto digests = listed.items(limits::kInlineBlobs);
  if (digests.size() != frames.size() - 2) {
    listed.fail(ErrorCode::kCorrupt, "does not match the number of frames");
    return announce;
  }
  for (std::size_t i = 0; i < digests.size(); ++i) {
    announce.inline_blobs.push_back({digests[i].digest(), frames[i + 2]});
  }
  return announce;
}

CommitEvent read_commit(const Reader& map) {
  CommitEvent commit{map.at("epoch").number(), {}};
  if (const Reader release = map.at("release", true); release.present()) {
    commit.release = release.binary<sizeof(Release)>();
  }
  commit.statement = codec::read_statement(map);
  for (const auto& item : map.at("only", true).items(limits::kExecutors)) commit.only.push_back(item.uuid());
  return commit;
}

AbortEvent read_abort(const Reader& map) {
  AbortEvent abort;
  abort.epoch = map.at("epoch").number();
  for (const auto& item : map.at("failures").items(limits::kFailuresPerEpoch)) {
    abort.failures.push_back({item.at("executor").text(), item.at("module").text(), item.at("error").text()});
  }
  return abort;
}

}  // namespace

Frames encode(const Event& event) {
  Writer out;
  std::visit(EventWriter{out, event}, event.body);
  Frames frames{topic_frame(event), share(out.take())};
  if (const auto* announce = std::get_if<AnnounceEvent>(&event.body)) {
    for (const auto& blob : announce->inline_blobs) frames.push_back(blob.bytes);
  }
  return frames;
}

Result<Event> decode_event(const Frames& frames) {
  if (frames.size() < 2 || frames.size() > limits::kFramesPerMessage) {
    return Error{ErrorCode::kCorrupt, "an event of " + std::to_string(frames.size()) + " frames", 0};
  }
  auto document = Document::parse(*frames[1]);
  if (!document) return document.error();
  Reader::Problem problem;
  const Reader map = document->root(problem);
  const std::uint64_t version = map.at("v").number();
  if (!problem.error && version != limits::kProtocolVersion) {
    return Error{ErrorCode::kUnsupported, "an event of protocol version " + std::to_string(version), 0};
  }
  Event event;
  event.daemon = codec::read_daemon(map);
  event.seq = map.at("seq").number();
  const std::string type = map.at("type").text(64);
  if (problem.error) return *problem.error;
  if (type == "announce") {
    event.body = read_announce(map, frames);
  } else if (type == "commit") {
    event.body = read_commit(map);
  } else if (type == "abort") {
    event.body = read_abort(map);
  } else if (type == "heartbeat") {
    event.body = HeartbeatEvent{map.at("epoch").number(), map.at("committed_epoch").number(),
                                codec::read_statement(map)};
  } else {
    return Error{ErrorCode::kUnsupported, "there is no event of type '" + type + "'", 0};
  }
  return codec::finish(problem, std::move(event));
}

Bytes encode_manifest(const Manifest& manifest) {
  Writer out;
  codec::write(out, manifest);
  return out.take();
}

Result<Manifest> decode_manifest(std::span<const std::byte> bytes) {
  auto document = Document::parse(bytes);
  if (!document) return document.error();
  Reader::Problem problem;
  Manifest manifest = codec::read_manifest(document->root(problem));
  return codec::finish(problem, std::move(manifest));
}

}  // namespace moddev
