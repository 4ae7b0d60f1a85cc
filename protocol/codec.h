// Messages to frames and back. Pure functions over memory; msgpack is used only in codec*.cc. Decoders accept
// bytes from strangers: every count, size, depth and string is checked against limits.h before anything is
// allocated for it, unknown map keys are ignored (so that a newer peer can add some), trailing bytes and
// missing keys are errors (kCorrupt), a higher protocol version is kUnsupported.
#pragma once

#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev {

/// The frames of one message without its envelope: a msgpack header, then payload frames if the message has
/// any.
using Frames = std::vector<SharedBytes>;

/// The topics of the event socket; the first frame of every event. Announce, commit and abort:
/// "moddev/1/epoch".
inline constexpr std::string_view kEpochTopic = "moddev/1/epoch";
inline constexpr std::string_view kHeartbeatTopic = "moddev/1/heartbeat";

[[nodiscard]] Frames encode(const Request& request);
[[nodiscard]] Frames encode(const Reply& reply);
/// With the topic as the first frame.
[[nodiscard]] Frames encode(const Event& event);

[[nodiscard]] Result<Request> decode_request(const Frames& frames);
[[nodiscard]] Result<Reply> decode_reply(const Frames& frames);
[[nodiscard]] Result<Event> decode_event(const Frames& frames);

/// The id of a request whose body could not be decoded, or 0: so that its sender can be told.
[[nodiscard]] std::uint64_t request_id_of(std::span<const std::byte> header);

/// A manifest as bytes (one msgpack map), for the journal, the offline cache and later for signing.
[[nodiscard]] Bytes encode_manifest(const Manifest& manifest);
[[nodiscard]] Result<Manifest> decode_manifest(std::span<const std::byte> bytes);

}  // namespace moddev
