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
};

/// Asked whenever sockets are made, so that what `moddev trust` changes counts from then on. Nothing: connect
/// without keys. Errors: kPermission with what has to be done; those of the key files.
using KeySource = std::function<Result<std::optional<LinkKeys>>()>;

/// What the user said beyond the files.
struct KeyChoice {
  /// A secret key file; empty: MODDEV_KEY, else the one of `moddev keygen`.
  std::string key_file;
  /// The daemon's public key; empty: MODDEV_DAEMON_KEY, else the trusted ones of that endpoint.
  std::string daemon_key;
};

[[nodiscard]] KeySource key_source(const Endpoint& endpoint, KeyChoice choice = {});

}  // namespace moddev::client
