#include "tests/support/session/zmq_daemon.h"

#include <poll.h>
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <utility>
#include <vector>

#include "protocol/codec.h"
#include "protocol/limits.h"

namespace moddev::test {
namespace {

/// How long a published event waits at most for the thread to notice it.
constexpr std::chrono::milliseconds kTurn(1);

void send(zmq::socket_t& socket, const Frames& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    socket.send(zmq::const_buffer(frames[i]->data(), frames[i]->size()), more);
  }
}

}  // namespace

PrivateDirectory::PrivateDirectory() : path_("/tmp/moddev-session-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
}
PrivateDirectory::~PrivateDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool await(const std::function<bool()>& done, std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

ZmqDaemon::ZmqDaemon(std::string endpoint) : endpoint_(std::move(endpoint)) {
  outbox_.on_send = nullptr;  // requests come from the socket
  outbox_.subscribed_to = "the socket";
  start();
}

ZmqDaemon::~ZmqDaemon() {
  stop();
}

void ZmqDaemon::start() {
  stopping_ = false;
  thread_ = std::thread([this] { serve(); });
}

void ZmqDaemon::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void ZmqDaemon::with(const std::function<void(ScriptDaemon&)>& action) {
  const std::lock_guard lock(mutex_);
  action(script_);
}

void ZmqDaemon::serve() {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  zmq::socket_t events(context, zmq::socket_type::xpub);
  router.set(zmq::sockopt::linger, 200);
  events.set(zmq::sockopt::linger, 200);
  events.bind(endpoint_ + "-events");
  router.bind(endpoint_);
  auto beat_at = std::chrono::steady_clock::now();
  while (!stopping_) {
    std::vector<zmq::pollitem_t> items{{router.handle(), 0, ZMQ_POLLIN, 0},
                                       {events.handle(), 0, ZMQ_POLLIN, 0}};
    zmq::poll(items, kTurn);
    const std::lock_guard lock(mutex_);
    zmq::message_t subscription;
    while (events.recv(subscription, zmq::recv_flags::dontwait)) {
    }
    if (std::chrono::steady_clock::now() >= beat_at) {
      script_.heartbeat();
      beat_at += moddev::limits::kHeartbeatInterval;
    }
    publish(events);
    answer(router);
    publish(events);
  }
}

void ZmqDaemon::answer(zmq::socket_t& router) {
  for (;;) {
    Frames frames;
    bool more = true;
    while (more) {
      zmq::message_t part;
      if (!router.recv(part, zmq::recv_flags::dontwait)) return;
      more = part.more();
      const auto* data = static_cast<const std::byte*>(part.data());
      frames.push_back(share(Bytes(data, data + part.size())));
    }
    // identity, delimiter, header
    if (frames.size() != 3 || !frames[1]->empty()) throw std::runtime_error("a request of a wrong shape");
    auto request = decode_request({frames[2]});
    if (!request) throw std::runtime_error(request.error().message);
    script_.requests.push_back(*request);
    auto body = script_.answer_to(request->body);
    if (!body) continue;
    if (auto* hello = std::get_if<HelloReply>(&*body)) hello->events_endpoint = endpoint_ + "-events";
    Frames out{frames[0], frames[1]};
    for (SharedBytes& frame : encode(Reply{request->id, std::move(*body)})) out.push_back(std::move(frame));
    send(router, out);
  }
}

void ZmqDaemon::publish(zmq::socket_t& events) {
  while (auto input = outbox_.receive()) {
    if (const auto* event = std::get_if<Event>(&*input)) send(events, encode(*event));
  }
}

}  // namespace moddev::test
