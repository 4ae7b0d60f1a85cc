// Which user a TCP connection on this machine belongs to, from the kernel: asked for that one socket
// (sock_diag(7)), and where it does not answer such questions, looked up in its table (proc(5), /proc/net/tcp
// and tcp6), of which a row can be missed while connections come and go. That is what makes loopback as
// private as a socket in one's own directory: the kernel says who made the other end. Only established
// connections count: of closing ones it says 0 for everybody.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev::daemon {

/// One end of a connection; IPv4 as ::ffff:a.b.c.d.
struct SocketEnd {
  std::array<std::uint8_t, 16> address{};
  std::uint16_t port = 0;  // host order
  friend bool operator==(const SocketEnd&, const SocketEnd&) = default;
  [[nodiscard]] bool is_loopback() const;
};
[[nodiscard]] std::optional<SocketEnd> socket_end(const sockaddr_storage& address);

/// The owner of the established socket from `local` to `remote` in such a table. Pure.
[[nodiscard]] std::optional<uid_t> owner_in_table(std::string_view table, const SocketEnd& local,
                                                  const SocketEnd& remote);

/// The same asked of the kernel. Errors: kUnsupported where it does not answer such questions.
[[nodiscard]] Result<std::optional<uid_t>> owner_from_kernel(const SocketEnd& local, const SocketEnd& remote);

/// The other end of our connected socket; nothing when it is none or gone.
[[nodiscard]] std::optional<SocketEnd> peer_of(int descriptor);

/// Whether neither end of our TCP socket has been closed.
[[nodiscard]] bool is_established(int descriptor);

/// Who owns the other end of our connected socket `descriptor`, when that is on this machine. Nothing when it
/// is not, or cannot be told.
[[nodiscard]] std::optional<uid_t> owner_of_peer(int descriptor);

}  // namespace moddev::daemon
