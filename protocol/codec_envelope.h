// The envelope of a message, read before everything else: the keys that keep their meaning in every version
// of the protocol (PROTOCOL.md, "Versions meeting"). A peer of another version may send what this one's
// limits refuse, and has to be told so with its id. Does not know the bodies, nor whether the rest is valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace moddev::codec {

/// What could be read of it; the texts point into the frame and may be any bytes.
struct Envelope {
  std::optional<std::uint64_t> version;
  std::optional<std::uint64_t> id;
  std::optional<std::string_view> type;
  /// Only looked for in messages of another version.
  std::optional<std::string_view> code;
  std::optional<std::string_view> message;
};

/// Looks at the first `limit` bytes, not deeper than limits::kEnvelopeNestingDepth, and allocates nothing but
/// a stack of that depth. It stops where it knows enough, or at the first byte that is no msgpack.
[[nodiscard]] Envelope read_envelope(std::span<const std::byte> frame, std::size_t limit);

}  // namespace moddev::codec
