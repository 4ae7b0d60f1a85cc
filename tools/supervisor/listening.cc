#include "tools/supervisor/listening.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <system_error>

#include "tools/supervisor/limits.h"

namespace moddev::supervisor {
namespace {

constexpr std::string_view kStateListen = "0A";  // TCP_LISTEN, include/net/tcp_states.h

/// An address as the kernel prints it: its 32-bit words, as this machine has them in memory, in hexadecimal.
std::string kernel_text(const void* address, std::size_t words) {
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    std::uint32_t word = 0;
    std::memcpy(&word, static_cast<const char*>(address) + 4 * i, 4);
    std::array<char, 9> digits{};
    std::snprintf(digits.data(), digits.size(), "%08X", word);
    text += digits.data();
  }
  return text;
}

/// The forms in which the table can name a socket that serves `host`.
std::set<std::string> accepted_addresses(const std::string& host) {
  std::set<std::string> accepted{std::string(8, '0'), std::string(32, '0')};
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    accepted.insert(kernel_text(&v4, 1));
    // The same through a socket of both families: ::ffff:a.b.c.d.
    in6_addr mapped{};
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    std::memcpy(&mapped.s6_addr[12], &v4, 4);
    accepted.insert(kernel_text(&mapped, 4));
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    accepted.insert(kernel_text(&v6, 4));
  }
  return accepted;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

bool holds_one(const std::filesystem::path& process, const std::vector<std::uint64_t>& inodes) {
  std::error_code error;
  std::size_t seen = 0;
  for (std::filesystem::directory_iterator at(process / "fd", error), end; !error && at != end;
       at.increment(error)) {
    if (++seen > limits::kDescriptorsPerWorker) return false;
    const std::string link = std::filesystem::read_symlink(at->path(), error).string();
    if (error) {
      error.clear();  // closed meanwhile
      continue;
    }
    const std::uint64_t inode = socket_inode(link);
    if (inode != 0 && std::find(inodes.begin(), inodes.end(), inode) != inodes.end()) return true;
  }
  return false;
}

std::vector<std::int64_t> children_of(const std::filesystem::path& process) {
  std::vector<std::int64_t> children;
  std::error_code error;
  for (std::filesystem::directory_iterator at(process / "task", error), end; !error && at != end;
       at.increment(error)) {
    std::istringstream text(read_file(at->path() / "children"));
    for (std::int64_t pid = 0; text >> pid;) children.push_back(pid);
  }
  return children;
}

}  // namespace

std::string ListenAddress::to_string() const {
  if (host.empty()) return "*:" + std::to_string(port);
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const Error wrong{
      ErrorCode::kInvalidArgument,
      "'" + std::string(text) +
          "' is no address to listen at. Right are PORT, HOST:PORT and [IPV6]:PORT, where HOST is an "
          "address, localhost or *, and PORT is 1 to 65535."};
  ListenAddress address;
  std::string_view digits = text;
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    std::string_view host = text.substr(0, colon);
    digits.remove_prefix(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (host == "localhost") host = "127.0.0.1";
    if (host != "*") address.host = host;
    in6_addr ignored{};
    if (host != "*" && ::inet_pton(AF_INET, address.host.c_str(), &ignored) != 1 &&
        ::inet_pton(AF_INET6, address.host.c_str(), &ignored) != 1) {
      return wrong;
    }
  }
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc{} || end != digits.data() + digits.size() || address.port == 0) return wrong;
  return address;
}

std::vector<std::uint64_t> listening_inodes(std::string_view table, const ListenAddress& address) {
  const std::set<std::string> accepted = accepted_addresses(address.host);
  std::array<char, 5> port{};
  std::snprintf(port.data(), port.size(), "%04X", static_cast<unsigned>(address.port));
  std::vector<std::uint64_t> inodes;
  std::istringstream lines{std::string(table)};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    // "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 12345 ..."
    std::istringstream columns(line);
    std::string index, local, remote, state, queues, timer, retransmits, uid, timeout;
    std::uint64_t inode = 0;
    columns >> index >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const std::size_t colon = local.find(':');
    if (!columns || state != kStateListen || colon == std::string::npos) continue;
    if (local.substr(colon + 1) != port.data()) continue;
    if (address.host.empty() || accepted.contains(local.substr(0, colon))) inodes.push_back(inode);
  }
  return inodes;
}

std::uint64_t socket_inode(std::string_view link) {
  constexpr std::string_view kPrefix = "socket:[";
  if (!link.starts_with(kPrefix) || !link.ends_with(']')) return 0;
  link = link.substr(kPrefix.size(), link.size() - kPrefix.size() - 1);
  std::uint64_t inode = 0;
  const auto [end, error] = std::from_chars(link.data(), link.data() + link.size(), inode);
  return error == std::errc{} && end == link.data() + link.size() ? inode : 0;
}

bool listens(std::int64_t pid, const ListenAddress& address) {
  const std::filesystem::path proc("/proc");
  const std::filesystem::path process = proc / std::to_string(pid);
  std::vector<std::uint64_t> inodes = listening_inodes(read_file(process / "net/tcp"), address);
  const auto more = listening_inodes(read_file(process / "net/tcp6"), address);
  inodes.insert(inodes.end(), more.begin(), more.end());
  if (inodes.empty()) return false;
  std::vector<std::int64_t> open{pid};
  std::set<std::int64_t> seen;
  while (!open.empty()) {
    const std::int64_t next = open.back();
    open.pop_back();
    if (!seen.insert(next).second) continue;
    const std::filesystem::path one = proc / std::to_string(next);
    if (holds_one(one, inodes)) return true;
    for (const std::int64_t child : children_of(one)) open.push_back(child);
  }
  return false;
}

}  // namespace moddev::supervisor
