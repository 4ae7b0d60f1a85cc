// Whether a process itself listens on a TCP port. Connecting would not tell: with SO_REUSEPORT the kernel may
// hand the connection to any worker, also to the old one. So the kernel's table of sockets (proc(5),
// /proc/PID/net/tcp) is compared with the descriptors that the process holds. Linux only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev::supervisor {

struct ListenAddress {
  /// A literal IPv4 or IPv6 address; empty: any.
  std::string host;
  std::uint16_t port = 0;
  [[nodiscard]] std::string to_string() const;
};

/// "PORT", "HOST:PORT", "[IPV6]:PORT"; HOST is an address, "localhost" or "*". Errors: kInvalidArgument.
[[nodiscard]] Result<ListenAddress> parse_listen_address(std::string_view text);

/// The inodes of listening sockets at `address`, or at all addresses and its port, in the text of
/// /proc/net/tcp or /proc/net/tcp6.
[[nodiscard]] std::vector<std::uint64_t> listening_inodes(std::string_view table,
                                                          const ListenAddress& address);

/// The inode in a link of /proc/PID/fd like "socket:[123]"; 0 for anything else.
[[nodiscard]] std::uint64_t socket_inode(std::string_view link);

/// Whether the process or one of its descendants listens there now. A process that is gone does not.
[[nodiscard]] bool listens(std::int64_t pid, const ListenAddress& address);

}  // namespace moddev::supervisor
