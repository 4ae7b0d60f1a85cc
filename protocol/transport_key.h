// CURVE keys (ZeroMQ RFC 26): what proves to the other side of a connection who we are. A key pair is a file
// in the ZPL format of czmq's zcert, which pyzmq's zmq.auth reads too; a key as text is Z85 (ZeroMQ RFC 32),
// 40 characters. Where the files are is the caller's business; what a key may do is the daemon's.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

inline constexpr std::size_t kTransportKeyCharacters = 40;

struct TransportKeys {
  std::string public_key;  // Z85
  std::string secret_key;  // Z85

  /// At random; the public key does not begin with '-', so that no program takes it for a flag. Errors:
  /// kUnsupported when libzmq was built without CURVE.
  static Result<TransportKeys> generate();
};

/// Whether `text` is a public key: 40 characters of Z85 that stand for 32 bytes. Errors: kInvalidArgument;
/// kRefused for one of the few points of Curve25519 of low order, with which anybody could pretend to have it
/// (https://cr.yp.to/ecdh.html#validate).
[[nodiscard]] Status validate_transport_key(std::string_view text);
[[nodiscard]] inline bool is_transport_key(std::string_view text) {
  return validate_transport_key(text).ok();
}

/// 32 bytes, as ZAP tells them, as text.
[[nodiscard]] std::string transport_key_text(std::span<const std::byte, 32> key);

/// The two files of a pair; NAME.key goes to others, NAME.key_secret to nobody. `name` is for people.
[[nodiscard]] std::string transport_public_text(const TransportKeys& keys, std::string_view name);
[[nodiscard]] std::string transport_secret_text(const TransportKeys& keys, std::string_view name);

/// The pair in a secret file. Errors: kCorrupt, naming `file`, when a key is missing or malformed, or when
/// the public key is not the one of the secret key.
[[nodiscard]] Result<TransportKeys> parse_transport_keys(std::string_view text, const std::string& file);
/// The public key in a file of either kind. Errors: kCorrupt.
[[nodiscard]] Result<std::string> parse_transport_public_key(std::string_view text, const std::string& file);

/// A secret file of `uid`. Errors: those of read_private_file() and parse_transport_keys().
[[nodiscard]] Result<TransportKeys> read_transport_keys(const std::string& file, uid_t uid);

}  // namespace moddev
