#include "daemon/zmq_transport.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>
#include <zmq.hpp>

#include "daemon/endpoint_lock.h"
#include "daemon/limits.h"
#include "protocol/codec.h"
#include "protocol/endpoint.h"

namespace moddev::daemon {
namespace {

constexpr int kIoThreads = 1;

int in_ms(std::chrono::milliseconds d) {
  return static_cast<int>(d.count());
}

/// A frame as a ZeroMQ message. Large ones are lent: the message holds a reference until it is sent.
zmq::message_t message_of(const SharedBytes& frame) {
  if (frame->size() < limits::kCopyFrameBytes) return {frame->data(), frame->size()};
  auto* reference = new SharedBytes(frame);
  return {const_cast<std::byte*>(frame->data()), frame->size(),
          [](void*, void* hint) { delete static_cast<SharedBytes*>(hint); }, reference};
}

SharedBytes bytes_of(const zmq::message_t& message) {
  const auto* data = static_cast<const std::byte*>(message.data());
  return std::make_shared<const Bytes>(data, data + message.size());
}

/// How a peer came, which decides what it is told of where the events are.
enum class Origin : std::uint8_t { kIpc, kTcp };

struct PeerAddress {
  Origin origin = Origin::kTcp;
  std::optional<uid_t> uid;
};

/// The address as ZeroMQ tells it: a numeric IP address over tcp, "localhost:UID:GID:PID" over ipc (seen with
/// libzmq 4.3.4, whose stream engine appends the SO_PEERCRED of a PF_UNIX peer). Anything else counts as tcp.
PeerAddress parse_peer_address(const char* text) {
  std::string_view rest = text == nullptr ? "" : text;
  if (rest.starts_with("localhost")) rest.remove_prefix(std::strlen("localhost"));
  std::array<std::uint32_t, 3> numbers{};
  for (std::uint32_t& number : numbers) {
    if (!rest.starts_with(':')) return {};
    rest.remove_prefix(1);
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc{}) return {};
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  }
  if (!rest.empty()) return {};
  return {Origin::kIpc, static_cast<uid_t>(numbers[0])};
}

void set_common_options(zmq::socket_t& socket) {
  using namespace zmq::sockopt;
  socket.set(linger, in_ms(limits::kLinger));
  socket.set(maxmsgsize, static_cast<std::int64_t>(limits::kFrameBytes));
  socket.set(handshake_ivl, in_ms(limits::kHandshakePatience));
  socket.set(heartbeat_ivl, in_ms(limits::kPingInterval));
  socket.set(heartbeat_timeout, in_ms(limits::kPingPatience));
  socket.set(heartbeat_ttl, in_ms(limits::kPingPatience));
  socket.set(backlog, limits::kListenBacklog);
  socket.set(rcvhwm, limits::kRequestQueue);
  socket.set(ipv6, true);
}

Error bind_error(const std::string& endpoint, const zmq::error_t& error) {
  if (error.num() == EADDRINUSE) {
    return Error{ErrorCode::kAlreadyExists,
                 "Cannot serve at " + endpoint +
                     ": another program uses that address. Stop it, or choose another " +
                     "endpoint with --bind.",
                 EADDRINUSE};
  }
  return Error{ErrorCode::kIo, "Cannot serve at " + endpoint + ": " + error.what() + ".", error.num()};
}

/// Binds and returns the endpoint with its real port.
Result<std::string> bind_one(zmq::socket_t& socket, const std::string& endpoint) {
  try {
    socket.bind(endpoint);
    return socket.get(zmq::sockopt::last_endpoint);
  } catch (const zmq::error_t& error) {
    return bind_error(endpoint, error);
  }
}

/// A socket file that nobody but the user can connect to, from its first moment.
Status bind_ipc(zmq::socket_t& socket, const std::string& path) {
  const mode_t before = ::umask(0177);
  auto bound = bind_one(socket, "ipc://" + path);
  ::umask(before);
  if (!bound) return bound.error();
  return {};
}

}  // namespace

struct ZmqTransport::State {
  // First, so that they are let go last: ZeroMQ removes its socket files only when the context ends, and must
  // not remove those of the next daemon.
  std::vector<EndpointLock> locks;
  zmq::context_t context{kIoThreads};
  zmq::socket_t router{context, zmq::socket_type::router};
  zmq::socket_t events{context, zmq::socket_type::xpub};
  std::vector<std::string> endpoints;
  std::string ipc_events;
  std::string tcp_events;
  std::uint64_t malformed = 0;

  Status bind(const Endpoint& endpoint);
  Status bind_tcp(const Endpoint& endpoint);
  void drain_subscriptions();
  void send(zmq::socket_t& socket, const std::vector<SharedBytes>& envelope, const Frames& frames);
  void complain(const Peer& peer, std::uint64_t id, const Error& error);
  std::optional<IncomingRequest> take(std::vector<zmq::message_t>& parts, bool too_many);
  [[nodiscard]] const std::string& events_for(Origin origin) const;
};

ZmqTransport::ZmqTransport(std::unique_ptr<State> state) : state_(std::move(state)) {}

ZmqTransport::~ZmqTransport() = default;

Result<std::unique_ptr<ZmqTransport>> ZmqTransport::bind(const std::vector<std::string>& endpoints) {
  if (endpoints.empty() || endpoints.size() > limits::kEndpoints) {
    return Error{ErrorCode::kInvalidArgument,
                 "A daemon serves at 1 to " + std::to_string(limits::kEndpoints) +
                     " endpoints (kEndpoints), not at " + std::to_string(endpoints.size()) + "."};
  }
  try {
    auto state = std::make_unique<State>();
    set_common_options(state->router);
    state->router.set(zmq::sockopt::sndhwm, limits::kReplyQueue);
    set_common_options(state->events);
    state->events.set(zmq::sockopt::sndhwm, limits::kEventQueue);
    for (const std::string& text : endpoints) {
      const auto endpoint = parse_endpoint(text);
      if (!endpoint) return endpoint.error();
      MODDEV_TRY(state->bind(*endpoint));
    }
    return std::unique_ptr<ZmqTransport>(new ZmqTransport(std::move(state)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorCode::kIo, std::string("Cannot make sockets: ") + error.what() + ".", error.num()};
  }
}

Status ZmqTransport::State::bind(const Endpoint& endpoint) {
  if (endpoint.scheme == Endpoint::Scheme::kTcp) return bind_tcp(endpoint);
  auto lock = EndpointLock::take(endpoint.path);
  if (!lock) return lock.error();
  locks.push_back(std::move(*lock));
  const std::string events_path = endpoint.path + std::string(kEventsSuffix);
  // Events first: who reaches the requests can subscribe.
  MODDEV_TRY(bind_ipc(events, events_path));
  MODDEV_TRY(bind_ipc(router, endpoint.path));
  if (ipc_events.empty()) ipc_events = "ipc://" + events_path;
  endpoints.push_back(endpoint.to_string());
  return {};
}

Status ZmqTransport::State::bind_tcp(const Endpoint& endpoint) {
  if (!endpoint.is_local()) {
    return Error{ErrorCode::kUnsupported,
                 "Will not serve at " + endpoint.to_string() +
                     ": other machines could reach it, and connections from other machines are not yet " +
                     "authenticated. Use tcp://127.0.0.1:PORT, or an ssh tunnel to it."};
  }
  const bool first = tcp_events.empty();
  const std::string wanted_port = first ? "*" : tcp_events.substr(tcp_events.rfind(':') + 1);
  auto events_at = bind_one(events, "tcp://" + endpoint.host + ":" + wanted_port);
  if (!events_at) return events_at.error();
  auto requests_at = bind_one(router, endpoint.to_string());
  if (!requests_at) return requests_at.error();
  if (first) tcp_events = "tcp://*:" + events_at->substr(events_at->rfind(':') + 1);
  endpoints.push_back("tcp://" + endpoint.host + requests_at->substr(requests_at->rfind(':')));
  return {};
}

const std::string& ZmqTransport::State::events_for(Origin origin) const {
  const bool ipc = origin == Origin::kIpc ? !ipc_events.empty() : tcp_events.empty();
  return ipc ? ipc_events : tcp_events;
}

/// XPUB takes in (un)subscriptions only inside calls; what they say is of no interest.
void ZmqTransport::State::drain_subscriptions() {
  zmq::message_t message;
  for (std::size_t n = 0; n < limits::kRequestsPerStep; ++n) {
    if (!events.recv(message, zmq::recv_flags::dontwait)) return;
  }
}

std::optional<IncomingRequest> ZmqTransport::receive() {
  State& s = *state_;
  s.drain_subscriptions();
  std::vector<zmq::message_t> parts;
  for (;;) {
    parts.clear();
    bool too_many = false;
    bool more = true;
    // The parts of one message are all there when the first one is (zmq_msg_recv(3)), so this does not wait.
    while (more) {
      zmq::message_t part;
      if (!s.router.recv(part, zmq::recv_flags::dontwait)) return std::nullopt;
      more = part.more();
      if (parts.size() < limits::kFramesPerMessage) {
        parts.push_back(std::move(part));
      } else {
        too_many = true;
      }
    }
    if (auto request = s.take(parts, too_many)) return request;
  }
}

std::optional<IncomingRequest> ZmqTransport::State::take(std::vector<zmq::message_t>& parts, bool too_many) {
  const PeerAddress address = parse_peer_address(zmq_msg_gets(parts.back().handle(), "Peer-Address"));
  if (address.uid && *address.uid != ::geteuid()) {
    ++malformed;
    return std::nullopt;
  }
  // Our own first entry tells the origin; the others go back as they came, up to the empty delimiter.
  Peer peer;
  peer.envelope.push_back(share(address.origin == Origin::kIpc ? "i" : "t"));
  peer.envelope.push_back(bytes_of(parts.front()));
  std::size_t at = 1;
  while (at < parts.size() && parts[at].size() != 0) ++at;
  const auto header_id = [&](std::size_t header) -> std::uint64_t {
    if (header >= parts.size()) return 0;
    return request_id_of({static_cast<const std::byte*>(parts[header].data()), parts[header].size()});
  };
  const bool delimited = at < parts.size();
  if (!delimited) peer.envelope.push_back(share(""));
  for (std::size_t i = 1; delimited && i <= at; ++i) peer.envelope.push_back(bytes_of(parts[i]));
  if (too_many) {
    complain(peer, delimited ? header_id(at + 1) : 0,
             {ErrorCode::kLimit, "The request has more than " + std::to_string(limits::kFramesPerMessage) +
                                     " frames (kFramesPerMessage)."});
    return std::nullopt;
  }
  if (!delimited) {
    complain(
        peer, header_id(1),
        {ErrorCode::kInvalidArgument,
         "The request has no empty frame before its header. A REQ socket sends one by itself; a DEALER has "
         "to."});
    return std::nullopt;
  }
  Frames frames;
  frames.reserve(parts.size() - at - 1);
  for (std::size_t i = at + 1; i < parts.size(); ++i) frames.push_back(bytes_of(parts[i]));
  auto request = decode_request(frames);
  if (!request) {
    complain(peer, frames.empty() ? 0 : request_id_of(*frames.front()), request.error());
    return std::nullopt;
  }
  return IncomingRequest{std::move(peer), std::move(*request)};
}

void ZmqTransport::State::complain(const Peer& peer, std::uint64_t id, const Error& error) {
  ++malformed;
  const std::vector<SharedBytes> envelope(peer.envelope.begin() + 1, peer.envelope.end());
  send(router, envelope, encode(Reply{id, ErrorReply{error.code, error.message, 0}}));
}

bool ZmqTransport::pending() {
  try {
    return (state_->events.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0 ||
           (state_->router.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
  } catch (const zmq::error_t&) {
    return false;
  }
}

void ZmqTransport::State::send(zmq::socket_t& socket, const std::vector<SharedBytes>& envelope,
                               const Frames& frames) {
  const std::size_t count = envelope.size() + frames.size();
  for (std::size_t i = 0; i < count; ++i) {
    const SharedBytes& frame = i < envelope.size() ? envelope[i] : frames[i - envelope.size()];
    const auto flags =
        zmq::send_flags::dontwait | (i + 1 < count ? zmq::send_flags::sndmore : zmq::send_flags::none);
    try {
      zmq::message_t message = message_of(frame);
      if (!socket.send(message, flags)) return;
    } catch (const zmq::error_t&) {
      return;  // the peer is gone or a queue is full: dropped, and asked for again
    }
  }
}

void ZmqTransport::reply(const Peer& peer, const Reply& reply) {
  if (peer.envelope.size() < 2) return;
  const std::vector<SharedBytes> envelope(peer.envelope.begin() + 1, peer.envelope.end());
  const auto* hello = std::get_if<HelloReply>(&reply.body);
  if (hello == nullptr) {
    state_->send(state_->router, envelope, encode(reply));
    return;
  }
  const bool ipc = as_text(*peer.envelope.front()) == "i";
  HelloReply fitting = *hello;
  fitting.events_endpoint = state_->events_for(ipc ? Origin::kIpc : Origin::kTcp);
  state_->send(state_->router, envelope, encode(Reply{reply.id, std::move(fitting)}));
}

void ZmqTransport::publish(const Event& event) {
  state_->send(state_->events, {}, encode(event));
}

std::string ZmqTransport::endpoint() const {
  return state_->endpoints.front();
}

std::string ZmqTransport::events_endpoint() const {
  return state_->events_for(state_->endpoints.front().starts_with("ipc:") ? Origin::kIpc : Origin::kTcp);
}

std::vector<int> ZmqTransport::descriptors() const {
  return {state_->router.get(zmq::sockopt::fd), state_->events.get(zmq::sockopt::fd)};
}

const std::vector<std::string>& ZmqTransport::endpoints() const {
  return state_->endpoints;
}
std::uint64_t ZmqTransport::malformed() const {
  return state_->malformed;
}

}  // namespace moddev::daemon
