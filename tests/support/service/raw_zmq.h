// The client's end of the protocol with bare ZeroMQ sockets: what a client in another language would do. Not
// the client library; nothing is repeated or repaired.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "protocol/codec.h"
#include "protocol/link.h"

namespace moddev::daemon::testing {

/// Calls `done` until it returns true or the deadline has passed; returns what it returned last. Between the
/// calls it waits a moment.
bool await(const std::function<bool()>& done, std::chrono::milliseconds deadline = std::chrono::seconds(10));

void send_frames(zmq::socket_t& socket, const std::vector<std::string>& frames);
void send_frames(zmq::socket_t& socket, const Frames& frames, bool delimiter);
/// The frames of the next message, without waiting.
std::optional<Frames> receive_frames(zmq::socket_t& socket);

/// A Link over DEALER and SUB.
[[nodiscard]] std::unique_ptr<Link> raw_zmq_link(const std::string& endpoint);

/// A new directory of mode 0700, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace moddev::daemon::testing
