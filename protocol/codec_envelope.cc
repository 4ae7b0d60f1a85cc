#include "protocol/codec_envelope.h"

#include <algorithm>
#include <msgpack.hpp>

#include "protocol/limits.h"

namespace moddev::codec {
namespace {

/// Called by msgpack's parser in the order of the bytes; false ends it. Only scalars right below the
/// outermost map are taken, and of a key that comes twice the first one, as everywhere.
class EnvelopeVisitor : public msgpack::null_visitor {
 public:
  [[nodiscard]] const Envelope& envelope() const { return envelope_; }

  bool start_map(std::uint32_t) { return ++depth_ <= limits::kEnvelopeNestingDepth; }
  bool end_map() { return --depth_ > 0; }
  bool start_array(std::uint32_t) { return depth_ > 0 && ++depth_ <= limits::kEnvelopeNestingDepth; }
  bool end_array() { return --depth_ > 0; }
  bool start_map_key() {
    if (depth_ == 1) at_key_ = true, key_ = {};
    return true;
  }
  bool start_map_value() {
    if (depth_ == 1) at_key_ = false;
    return true;
  }

  bool visit_nil() { return depth_ > 0; }
  bool visit_boolean(bool) { return depth_ > 0; }
  bool visit_float32(float) { return depth_ > 0; }
  bool visit_float64(double) { return depth_ > 0; }
  bool visit_negative_integer(std::int64_t) { return depth_ > 0; }
  bool visit_bin(const char*, std::uint32_t) { return depth_ > 0; }
  bool visit_ext(const char*, std::uint32_t) { return depth_ > 0; }
  bool visit_positive_integer(std::uint64_t value) {
    if (depth_ != 1 || at_key_) return depth_ > 0;
    if (key_ == "v") return take(envelope_.version, value);
    return key_ != "id" || take(envelope_.id, value);
  }
  bool visit_str(const char* data, std::uint32_t size) {
    if (depth_ != 1) return depth_ > 0;
    const std::string_view text(data, size);
    if (at_key_) return key_ = text, true;
    if (key_ == "type") return take(envelope_.type, text);
    if (key_ == "code") return take(envelope_.code, text);
    return key_ != "message" || take(envelope_.message, text);
  }

 private:
  template <typename T>
  bool take(std::optional<T>& field, T value) {
    if (!field) field = value;
    return !enough();
  }
  [[nodiscard]] bool enough() const {
    const Envelope& e = envelope_;
    if (!e.version || !e.id) return false;
    if (*e.version == limits::kProtocolVersion) return true;
    return e.type && (*e.type != "error" || (e.code && e.message));
  }

  Envelope envelope_;
  std::size_t depth_ = 0;
  bool at_key_ = false;
  std::string_view key_;
};

}  // namespace

Envelope read_envelope(std::span<const std::byte> frame, std::size_t limit) {
  EnvelopeVisitor visitor;
  std::size_t offset = 0;
  msgpack::parse(reinterpret_cast<const char*>(frame.data()), std::min(frame.size(), limit), offset, visitor);
  return visitor.envelope();
}

}  // namespace moddev::codec
