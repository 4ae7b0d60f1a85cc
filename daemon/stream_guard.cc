#include "daemon/stream_guard.h"

// Not netinet/tcp.h, whose tcp_info of glibc 2.36 ends before the counters.
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

/// Our end's port, when it is a TCP socket.
std::optional<std::uint16_t> port_of(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  const auto end = socket_end(address);
  if (!end) return std::nullopt;
  return end->port;
}

/// All that ever came.
std::optional<std::uint64_t> bytes_received(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  return info.tcpi_bytes_received;
}

std::vector<int> open_descriptors() {
  std::vector<int> all;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    int descriptor = -1;
    if (std::from_chars(name.data(), name.data() + name.size(), descriptor).ec == std::errc())
      all.push_back(descriptor);
  }
  return all;
}

std::string address_text(const SocketEnd& end) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (::inet_ntop(AF_INET6, end.address.data(), text.data(), text.size()) == nullptr) return "?";
  const std::string address = text.data();
  constexpr std::string_view kMapped = "::ffff:";
  return address.starts_with(kMapped) ? address.substr(kMapped.size()) : address;
}

}  // namespace

void StreamGuard::look_at(int descriptor, std::uint64_t forgiven) {
  const auto port = port_of(descriptor);
  if (!port || !ports_.contains(*port)) return;
  const auto peer = peer_of(descriptor);
  const auto received = bytes_received(descriptor);
  if (!peer || !received) return;  // it listens, or is over
  Stream& stream = streams_[descriptor];
  if (stream.peer != *peer) stream = {.peer = *peer};
  stream.seen = true;
  stream.counted =
      delivered_.contains(descriptor) ? *received : std::min(*received, stream.counted + forgiven);
  stream.unfinished = *received - stream.counted;
}

std::vector<std::string> StreamGuard::look(TimePoint now) {
  if (ports_.empty() || now < due_) return {};
  const auto seconds =
      looked_at_ == TimePoint{} ? 0.0 : std::chrono::duration<double>(now - looked_at_).count();
  looked_at_ = now;
  for (auto& [descriptor, stream] : streams_) stream.seen = false;
  const auto forgiven = static_cast<std::uint64_t>(seconds * static_cast<double>(limits::kTrickle));
  for (const int descriptor : open_descriptors()) look_at(descriptor, forgiven);
  delivered_.clear();
  std::erase_if(streams_, [](const auto& one) { return !one.second.seen; });

  std::vector<std::pair<std::uint64_t, int>> largest;
  std::uint64_t together = 0;
  for (const auto& [descriptor, stream] : streams_) {
    together += stream.unfinished;
    if (stream.unfinished > 0) largest.emplace_back(stream.unfinished, descriptor);
  }
  std::ranges::sort(largest, std::greater{});
  std::vector<std::string> ended;
  for (const auto& [unfinished, descriptor] : largest) {
    if (unfinished <= limits::kUnfinishedBytes && together <= limits::kUnfinishedBytesTogether) break;
    together -= unfinished;
    // The number may be another connection's by now.
    const SocketEnd peer = streams_[descriptor].peer;
    streams_.erase(descriptor);
    if (peer_of(descriptor) != peer) continue;
    ::shutdown(descriptor, SHUT_RDWR);
    ended.push_back(address_text(peer));
  }
  due_ =
      now + std::min<Duration>(limits::kLookFirst + limits::kLookMore * streams_.size(), limits::kLookLast);
  return ended;
}

}  // namespace moddev::daemon
