#include "tests/support/service/raw_zmq.h"

#include <poll.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace moddev::daemon::testing {

bool await(const std::function<bool()>& done, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

void send_frames(zmq::socket_t& socket, const std::vector<std::string>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto flags = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    socket.send(zmq::buffer(frames[i]), flags);
  }
}

void send_frames(zmq::socket_t& socket, const Frames& frames, bool delimiter) {
  std::vector<std::string> text;
  if (delimiter) text.emplace_back();
  for (const SharedBytes& frame : frames) text.emplace_back(as_text(*frame));
  send_frames(socket, text);
}

std::optional<Frames> receive_frames(zmq::socket_t& socket) {
  Frames frames;
  for (;;) {
    zmq::message_t part;
    if (!socket.recv(part, zmq::recv_flags::dontwait)) return std::nullopt;
    const auto* data = static_cast<const std::byte*>(part.data());
    frames.push_back(share(Bytes(data, data + part.size())));
    if (!part.more()) return frames;
  }
}

namespace {

class RawZmqLink final : public Link {
 public:
  explicit RawZmqLink(std::string endpoint) : endpoint_(std::move(endpoint)) { connect(); }

  void send(const Request& request) override { send_frames(dealer_, encode(request), true); }
  void subscribe(const std::string& endpoint) override {
    std::string reachable = endpoint;
    if (reachable.starts_with("tcp://*:")) {
      reachable.replace(0, 7, endpoint_.substr(0, endpoint_.rfind(':')));
    }
    sub_.connect(reachable);
    sub_.set(zmq::sockopt::subscribe, "moddev/1/");
  }
  void reset() override {
    dealer_ = {};
    sub_ = {};
    connect();
  }
  std::optional<LinkInput> receive() override {
    if (auto frames = receive_frames(dealer_)) {
      frames->erase(frames->begin());
      auto reply = decode_reply(*frames);
      if (!reply) throw std::runtime_error(reply.error().message);
      return LinkInput(std::move(*reply));
    }
    if (auto frames = receive_frames(sub_)) {
      auto event = decode_event(*frames);
      if (!event) throw std::runtime_error(event.error().message);
      return LinkInput(std::move(*event));
    }
    return std::nullopt;
  }
  [[nodiscard]] std::vector<int> descriptors() const override {
    return {dealer_.get(zmq::sockopt::fd), sub_.get(zmq::sockopt::fd)};
  }

 private:
  void connect() {
    dealer_ = zmq::socket_t(context_, zmq::socket_type::dealer);
    dealer_.set(zmq::sockopt::linger, 0);
    dealer_.connect(endpoint_);
    sub_ = zmq::socket_t(context_, zmq::socket_type::sub);
    sub_.set(zmq::sockopt::linger, 0);
  }

  std::string endpoint_;
  zmq::context_t context_;
  zmq::socket_t dealer_;
  zmq::socket_t sub_;
};

}  // namespace

std::unique_ptr<Link> raw_zmq_link(const std::string& endpoint) {
  return std::make_unique<RawZmqLink>(endpoint);
}

TemporaryDirectory::TemporaryDirectory() : path_("/tmp/moddev-test-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace moddev::daemon::testing
