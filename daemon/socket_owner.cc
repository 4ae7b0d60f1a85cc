#include "daemon/socket_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>

#include "protocol/descriptor.h"

namespace moddev::daemon {
namespace {

constexpr std::string_view kEstablished = "01";  // TCP_ESTABLISHED, include/net/tcp_states.h
constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

std::string_view take_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

template <typename Number>
bool read_number(std::string_view text, int base, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc{} && end == text.data() + text.size();
}

/// "0100007F:1F90": 32-bit words in the machine's order, and the port.
std::optional<SocketEnd> parse_end(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return std::nullopt;
  SocketEnd end;
  std::copy(kMapped.begin(), kMapped.end(), end.address.begin());
  const std::size_t first = colon == 8 ? kMapped.size() : 0;
  for (std::size_t word = 0; word < colon / 8; ++word) {
    std::uint32_t value = 0;
    if (!read_number(text.substr(word * 8, 8), 16, value)) return std::nullopt;
    std::memcpy(end.address.data() + first + word * 4, &value, sizeof value);
  }
  if (!read_number(text.substr(colon + 1), 16, end.port)) return std::nullopt;
  return end;
}

constexpr int kLooks = 4;  // in the table, while our own end is established

void set_end(const SocketEnd& end, bool v4, std::uint16_t& port, std::uint32_t (&address)[4]) {
  port = htons(end.port);
  const std::size_t from = v4 ? kMapped.size() : 0;
  std::memcpy(address, end.address.data() + from, end.address.size() - from);
}

std::string whole_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

bool SocketEnd::is_loopback() const {
  if (std::equal(kMapped.begin(), kMapped.end(), address.begin())) return address[kMapped.size()] == 127;
  return std::all_of(address.begin(), address.end() - 1, [](std::uint8_t byte) { return byte == 0; }) &&
         address.back() == 1;
}

std::optional<SocketEnd> socket_end(const sockaddr_storage& address) {
  SocketEnd end;
  if (address.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    std::copy(kMapped.begin(), kMapped.end(), end.address.begin());
    std::memcpy(end.address.data() + kMapped.size(), &in.sin_addr, sizeof in.sin_addr);
    end.port = ntohs(in.sin_port);
    return end;
  }
  if (address.ss_family != AF_INET6) return std::nullopt;
  sockaddr_in6 in{};
  std::memcpy(&in, &address, sizeof in);
  std::memcpy(end.address.data(), &in.sin6_addr, sizeof in.sin6_addr);
  end.port = ntohs(in.sin6_port);
  return end;
}

std::optional<uid_t> owner_in_table(std::string_view table, const SocketEnd& local, const SocketEnd& remote) {
  while (!table.empty()) {
    const std::size_t end = table.find('\n');
    std::string_view line = table.substr(0, end);
    table = end == std::string_view::npos ? std::string_view() : table.substr(end + 1);
    take_word(line);  // number of the row
    if (parse_end(take_word(line)) != local || parse_end(take_word(line)) != remote) continue;
    if (take_word(line) != kEstablished) continue;
    take_word(line);  // queues
    take_word(line);  // timer
    take_word(line);  // retransmissions
    uid_t uid = 0;
    if (!read_number(take_word(line), 10, uid)) return std::nullopt;
    return uid;
  }
  return std::nullopt;
}

Result<std::optional<uid_t>> owner_from_kernel(const SocketEnd& local, const SocketEnd& remote) {
  const Error unsupported{ErrorCode::kUnsupported, "the kernel does not tell of single sockets", errno};
  const Descriptor kernel(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (kernel.get() < 0) return unsupported;
  const timeval patience{1, 0};
  (void)::setsockopt(kernel.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  struct Question {
    nlmsghdr head;
    inet_diag_req_v2 body;
  } question{};
  question.head.nlmsg_len = sizeof question;
  question.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.head.nlmsg_flags = NLM_F_REQUEST;
  const bool v4 = std::equal(kMapped.begin(), kMapped.end(), local.address.begin());
  question.body.sdiag_family = v4 ? AF_INET : AF_INET6;
  question.body.sdiag_protocol = IPPROTO_TCP;
  question.body.idiag_states = ~0U;
  set_end(local, v4, question.body.id.idiag_sport, question.body.id.idiag_src);
  set_end(remote, v4, question.body.id.idiag_dport, question.body.id.idiag_dst);
  for (std::uint32_t& part : question.body.id.idiag_cookie) part = INET_DIAG_NOCOOKIE;
  if (::send(kernel.get(), &question, sizeof question, 0) != sizeof question) return unsupported;

  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  const ssize_t size = ::recv(kernel.get(), buffer.data(), buffer.size(), 0);
  nlmsghdr head{};
  if (size < static_cast<ssize_t>(sizeof head)) return unsupported;
  std::memcpy(&head, buffer.data(), sizeof head);
  if (head.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error{};
    if (size < static_cast<ssize_t>(NLMSG_HDRLEN + sizeof error)) return unsupported;
    std::memcpy(&error, buffer.data() + NLMSG_HDRLEN, sizeof error);
    if (error.error == -ENOENT) return std::optional<uid_t>();
    return unsupported;
  }
  inet_diag_msg found{};
  if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || size < static_cast<ssize_t>(NLMSG_HDRLEN + sizeof found))
    return unsupported;
  std::memcpy(&found, buffer.data() + NLMSG_HDRLEN, sizeof found);
  // Where there is no such connection it can be who listens there.
  if (found.idiag_state != TCP_ESTABLISHED || found.id.idiag_sport != question.body.id.idiag_sport ||
      found.id.idiag_dport != question.body.id.idiag_dport)
    return std::optional<uid_t>();
  return std::optional<uid_t>(found.idiag_uid);
}

std::optional<SocketEnd> peer_of(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return socket_end(address);
}

bool is_established(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return ::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_ESTABLISHED;
}

std::optional<uid_t> owner_of_peer(int descriptor) {
  const auto peer = peer_of(descriptor);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (!peer || !peer->is_loopback() ||
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return std::nullopt;
  const auto ours = socket_end(address);
  if (!ours) return std::nullopt;
  for (int look = 0; look < kLooks; ++look) {
    const auto told = owner_from_kernel(*peer, *ours);
    if (told && *told) return *told;
    if (!told) {
      for (const char* path : {"/proc/self/net/tcp", "/proc/self/net/tcp6"})
        if (const auto uid = owner_in_table(whole_file(path), *peer, *ours)) return uid;
    }
    if (!is_established(descriptor)) break;
  }
  return std::nullopt;
}

}  // namespace moddev::daemon
