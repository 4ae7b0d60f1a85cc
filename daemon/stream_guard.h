// Ends TCP connections whose message never ends. libzmq 4.3.4 gathers the parts of a message before anyone
// sees the first of them, and counts whole messages only against its high-water marks (src/pipe.cpp,
// pipe_t::write), so nothing of libzmq's bounds them. The kernel counts what has come over a connection
// (tcp(7), TCP_INFO); we know when the last message was complete. Unix sockets have no such count: over those
// come only this user's own processes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/socket_owner.h"
#include "protocol/clock.h"

namespace moddev::daemon {

class StreamGuard {
 public:
  /// Connections to this port of ours are looked at.
  void guard(std::uint16_t port) { ports_.insert(port); }
  /// A whole message came over that connection.
  void delivered(int descriptor) {
    if (!ports_.empty()) delivered_.insert(descriptor);
  }
  /// When to look again; kNever when nothing is guarded.
  [[nodiscard]] TimePoint due() const { return ports_.empty() ? kNever : due_; }
  /// Shuts down the connections over which more than limits::kUnfinishedBytes came since the last whole
  /// message (or kUnfinishedBytesTogether, the largest first), and tells whose they were. All that libzmq has
  /// must have been taken before.
  [[nodiscard]] std::vector<std::string> look(TimePoint now);

 private:
  struct Stream {
    SocketEnd peer{};
    /// What had come when the last message was complete; from then on what trickles in is forgiven.
    std::uint64_t counted = 0;
    std::uint64_t unfinished = 0;
    bool seen = false;
  };
  void look_at(int descriptor, std::uint64_t forgiven);

  std::set<std::uint16_t> ports_;
  std::set<int> delivered_;
  std::map<int, Stream> streams_;  // by descriptor
  TimePoint looked_at_{};
  TimePoint due_ = TimePoint::min();
};

}  // namespace moddev::daemon
