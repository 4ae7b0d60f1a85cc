#include "tests/bench/world/peers.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <zmq.hpp>

namespace moddev::bench {

int listen_to_inotify(const std::string& directory, Board& board, std::size_t slot) {
  const int events = ::inotify_init1(IN_CLOEXEC);
  if (events < 0 || ::inotify_add_watch(events, directory.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
    std::perror("inotify");
    return 1;
  }
  board.report(slot, board.round);  // ready
  alignas(inotify_event) std::array<char, 4096> buffer{};
  while (::read(events, buffer.data(), buffer.size()) > 0) board.report(slot, board.round);
  return 1;
}

int listen_to_pub(const std::string& endpoint, Board& board, std::size_t slot) {
  zmq::context_t context;
  zmq::socket_t events(context, zmq::socket_type::sub);
  events.set(zmq::sockopt::subscribe, "");
  events.connect(endpoint);
  for (;;) {
    zmq::message_t number;
    zmq::message_t payload;
    if (!events.recv(number) || !events.recv(payload)) return 1;
    std::int64_t value = 0;
    std::memcpy(&value, number.data(), sizeof value);
    board.report(slot, value);
  }
}

struct RawPublisher::State {
  zmq::context_t context;
  zmq::socket_t socket{context, zmq::socket_type::pub};
};

RawPublisher::RawPublisher(const std::string& endpoint) : state_(std::make_unique<State>()) {
  state_->socket.set(zmq::sockopt::linger, 0);
  state_->socket.bind(endpoint);
}

RawPublisher::~RawPublisher() = default;

void RawPublisher::send(std::int64_t number, std::span<const char> payload) {
  state_->socket.send(zmq::const_buffer(&number, sizeof number), zmq::send_flags::sndmore);
  state_->socket.send(zmq::const_buffer(payload.data(), payload.size()));
}

}  // namespace moddev::bench
