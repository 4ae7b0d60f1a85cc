// The msgpack layer below the codec: a writer that fills one buffer, and a reader over a decoded,
// limit-checked tree. Private to the codec*.cc files: the only headers of ours that include msgpack.
#pragma once

#include <msgpack.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/limits.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "protocol/result.h"
#include "protocol/text.h"
#include "protocol/uuid.h"

namespace moddev::codec {

/// Packs straight into the bytes that become a frame.
class Writer {
 public:
  Writer() : packer_(sink_) { sink_.bytes.reserve(kUsualBytes); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void map(std::size_t pairs) { packer_.pack_map(static_cast<std::uint32_t>(pairs)); }
  void array(std::size_t items) { packer_.pack_array(static_cast<std::uint32_t>(items)); }
  /// A string of the protocol's own or one that was validated.
  void text(std::string_view value) {
    packer_.pack_str(static_cast<std::uint32_t>(value.size()));
    packer_.pack_str_body(value.data(), static_cast<std::uint32_t>(value.size()));
  }
  /// A string from anywhere: what would be refused by the receiver is cut or replaced here, so that no reason
  /// for a failure can keep the failure from being told.
  void free_text(std::string_view value, std::size_t limit = limits::kTextBytes) {
    if (value.size() <= limit && is_valid_utf8(value)) return text(value);
    text(clean_text(value, limit));
  }
  /// In the shortest form.
  void number(std::uint64_t value) { packer_.pack_uint64(value); }
  void signed_number(std::int64_t value) { packer_.pack_int64(value); }
  void boolean(bool value) { value ? packer_.pack_true() : packer_.pack_false(); }
  template <std::size_t N>
  void binary(const std::array<std::uint8_t, N>& value) {
    packer_.pack_bin(N);
    packer_.pack_bin_body(reinterpret_cast<const char*>(value.data()), N);
  }
  /// A map key; a value must follow.
  Writer& key(std::string_view name) {
    text(name);
    return *this;
  }
  [[nodiscard]] Bytes take() { return std::move(sink_.bytes); }

 private:
  static constexpr std::size_t kUsualBytes = 512;
  struct Sink {
    Bytes bytes;
    void write(const char* data, std::size_t size) {
      const auto* first = reinterpret_cast<const std::byte*>(data);
      bytes.insert(bytes.end(), first, first + size);
    }
  };
  Sink sink_;
  msgpack::packer<Sink> packer_;
};

/// One msgpack value, decoded. Reading never throws; the first thing that is wrong is remembered, and
/// everything read after it is empty, so that a decoder reads all its fields and asks once at the end.
class Reader {
 public:
  struct Problem {
    std::optional<Error> error;
    void set(ErrorCode code, std::string message) {
      if (!error) error = Error{code, std::move(message), 0};
    }
  };

  Reader(const msgpack::object* object, Problem* problem, std::string_view where)
      : object_(object), problem_(problem), where_(where) {}

  /// The value of a key of this map; a missing one is an error, unless `optional`.
  [[nodiscard]] Reader at(std::string_view key, bool optional = false) const;
  [[nodiscard]] bool present() const { return object_ != nullptr && object_->type != msgpack::type::NIL; }

  [[nodiscard]] std::uint64_t number() const;
  [[nodiscard]] std::int64_t signed_number() const;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::string text(std::size_t limit = limits::kTextBytes) const;
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] Uuid uuid() const;
  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> binary() const {
    std::array<std::uint8_t, N> value{};
    copy_binary(value);
    return value;
  }
  /// The elements of an array of at most `limit`.
  [[nodiscard]] std::vector<Reader> items(std::size_t limit) const;

  void fail(ErrorCode code, const std::string& why) const {
    problem_->set(code, "the field '" + std::string(where_) + "' " + why);
  }

 private:
  void copy_binary(std::span<std::uint8_t> target) const;
  const msgpack::object* object_;
  Problem* problem_;
  std::string_view where_;
};

/// A whole frame decoded: exactly one msgpack map within the limits, nothing behind it. Strings and binaries
/// point into the frame, which must outlive the document.
class Document {
 public:
  static Result<Document> parse(std::span<const std::byte> frame, std::size_t limit = limits::kHeaderBytes);
  [[nodiscard]] Reader root(Reader::Problem& problem) const { return {&handle_.get(), &problem, "message"}; }

 private:
  msgpack::object_handle handle_;
};

// Values that several messages share.
void write(Writer& out, const DaemonId& id);  // two pairs: repo, incarnation
[[nodiscard]] DaemonId read_daemon(const Reader& map);
void write(Writer& out, const ModuleEntry& module);
[[nodiscard]] ModuleEntry read_module(const Reader& map);
void write(Writer& out, const Manifest& manifest);
[[nodiscard]] Manifest read_manifest(const Reader& map);
void write(Writer& out, const std::vector<ModuleChange>& changes);
[[nodiscard]] std::vector<ModuleChange> read_changes(const Reader& array);
/// The first limits::kPinsPerExecutor.
void write(Writer& out, const std::vector<PinReport>& pins);
[[nodiscard]] std::vector<PinReport> read_pins(const Reader& array);
/// The pairs `runs`, with the first limits::kRunsPerMessage, and `runs_repo`; how many pairs that is: none
/// when it is empty.
void write(Writer& out, const std::vector<RunReport>& runs, const Uuid& repo);
[[nodiscard]] inline std::size_t pairs_of(const std::vector<RunReport>& runs) {
  return runs.empty() ? 0 : 2;
}
/// Nil without runs.
[[nodiscard]] Uuid read_runs_repo(const Reader& map);
[[nodiscard]] std::vector<RunReport> read_runs(const Reader& map);
void write(Writer& out, const ExecutorIdentity& identity);
[[nodiscard]] ExecutorIdentity read_identity(const Reader& map);
/// The pair `statement`, if there is one; how many pairs that is.
void write(Writer& out, const std::optional<SignedStatement>& statement);
[[nodiscard]] inline std::size_t pairs_of(const std::optional<SignedStatement>& statement) {
  return statement ? 1 : 0;
}
[[nodiscard]] std::optional<SignedStatement> read_statement(const Reader& map);
/// Announce without its inline blobs: a map.
void write(Writer& out, const AnnounceEvent& announce);
[[nodiscard]] AnnounceEvent read_announce(const Reader& map);
[[nodiscard]] ExecutorState read_state(const Reader& text);

// In codec_runs.cc and codec_history.cc. The pairs of a body, without the envelope; how many there are is
// beside them.
inline constexpr std::size_t kHistoryRequestPairs = 3;
void write_body(Writer& out, const HistoryRequest& request);
[[nodiscard]] HistoryRequest read_history_request(const Reader& map);
inline constexpr std::size_t kRollbackRequestPairs = 3;
void write_body(Writer& out, const RollbackRequest& request);
[[nodiscard]] RollbackRequest read_rollback_request(const Reader& map);
inline constexpr std::size_t kHistoryReplyPairs = 6;
void write_body(Writer& out, const HistoryReply& reply);
[[nodiscard]] HistoryReply read_history_reply(const Reader& map);
inline constexpr std::size_t kRollbackReplyPairs = 6;
void write_body(Writer& out, const RollbackReply& reply);
[[nodiscard]] RollbackReply read_rollback_reply(const Reader& map);
inline constexpr std::size_t kRunsRequestPairs = 2;
void write_body(Writer& out, const RunsRequest& request);
[[nodiscard]] RunsRequest read_runs_request(const Reader& map);
inline constexpr std::size_t kRunsReplyPairs = 5;
void write_body(Writer& out, const RunsReply& reply);
[[nodiscard]] RunsReply read_runs_reply(const Reader& map);
void write(Writer& out, const std::vector<HoldReport>& holds);
[[nodiscard]] std::vector<HoldReport> read_holds(const Reader& array);

/// The error of `problem`, or `value`.
template <typename T>
[[nodiscard]] Result<T> finish(const Reader::Problem& problem, T value) {
  if (problem.error) return *problem.error;
  return value;
}

}  // namespace moddev::codec
