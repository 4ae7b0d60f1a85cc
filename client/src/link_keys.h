// With which keys a daemon is connected to: ours, and the one that it must prove to have. A daemon on this
// machine needs none; one elsewhere is not talked to without.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "protocol/endpoint.h"
#include "protocol/result.h"
#include "protocol/transport_key.h"

namespace moddev::client {

struct LinkKeys {
  TransportKeys own;
  /// Not empty. Two while the daemon's key is being changed: one after the other is tried.
  std::vector<std::string> daemon;
  /// What named the daemon's keys; empty: `moddev trust`.
  std::string daemon_named_by{};
};

/// Asked whenever sockets are made, so that what `moddev trust` changes counts from then on. Nothing: connect
/// without keys. Errors: kPermission with what has to be done; those of the key files.
using KeySource = std::function<Result<std::optional<LinkKeys>>()>;

/// What was said beyond the user's own files (discover_keys() of discovery.h finds it).
struct KeyChoice {
  /// A secret key file; empty: the one of `moddev keygen`.
  std::string key_file{};
  /// What named it, for messages: "MODDEV_KEY", a path of a moddev.toml.
  std::string key_named_by{};
  /// The daemon's public keys, any of which it may prove to have; none: the trusted ones of that endpoint.
  std::vector<std::string> daemon_keys{};
  std::string daemon_keys_named_by{};
};

/// Whether a key file that was named can be used: what was said must be right from the start, while the
/// user's own files may come later. Errors: kPermission and those of read_transport_keys(), with what to do.
[[nodiscard]] Status check_named_key(const KeyChoice& choice);

[[nodiscard]] KeySource key_source(const Endpoint& endpoint, KeyChoice choice = {});

}  // namespace moddev::client
