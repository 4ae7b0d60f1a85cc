// Where a daemon is: the text form of an endpoint, the user's default one, and the directory that keeps
// strangers away from a socket. The parsing is pure; only the directory checks touch the disk. It does not
// know how an endpoint is found (client/src/discovery) nor how it is bound (daemon/zmq_transport).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

struct Endpoint {
  enum class Scheme : std::uint8_t { kIpc, kTcp };
  Scheme scheme = Scheme::kIpc;
  std::string path;  // ipc: absolute
  std::string host;  // tcp: a name, an IPv4 address, an IPv6 address in brackets, or "*"
  /// tcp; no value for "*", which a daemon may bind and a client cannot reach.
  std::optional<std::uint16_t> port;

  /// "ipc:///path" or "tcp://host:port".
  [[nodiscard]] std::string to_string() const;
  /// Whether only this machine can reach it: ipc, 127.0.0.0/8, [::1], localhost.
  [[nodiscard]] bool is_local() const;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Accepts ipc:///ABSOLUTE/PATH and tcp://HOST:PORT. Abstract sockets (ipc://@name) are refused: any user
/// could bind them. So is a path that, with kEventsSuffix, does not fit into sockaddr_un (unix(7)). Errors:
/// kInvalidArgument with what would be right.
[[nodiscard]] Result<Endpoint> parse_endpoint(std::string_view text);

/// The events of a daemon at an ipc endpoint are at its path with this suffix.
inline constexpr std::string_view kEventsSuffix = "-events";

/// The user's default endpoint: XDG_RUNTIME_DIR/moddev/default.sock when the variable is an absolute path,
/// else /tmp/moddev-UID/default.sock. Pass the value of the variable, or null when it is not set.
[[nodiscard]] std::string default_endpoint(const char* xdg_runtime_dir, uid_t uid);

/// Creates `path` (mode 0700) when it is missing (its parent must exist), and checks that nobody but `uid`
/// can put files into it: owned by `uid`, no symlink, not writable by group or others. Errors: kPermission,
/// kIo; the message says what to do.
[[nodiscard]] Status ensure_private_directory(const std::string& path, uid_t uid);
/// The check alone. For a client: a socket in somebody else's directory is somebody else's daemon.
/// Errors: kNotFound, kPermission, kIo.
[[nodiscard]] Status check_private_directory(const std::string& path, uid_t uid);

}  // namespace moddev
