#include "daemon/zmq_transport.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <utility>
#include <zmq.hpp>

#include "daemon/doorkeeper.h"
#include "daemon/endpoint_lock.h"
#include "daemon/limits.h"
#include "daemon/stream_guard.h"
#include "protocol/codec.h"
#include "protocol/endpoint.h"

namespace moddev::daemon {
namespace {

constexpr int kIoThreads = 1;
/// The end of a subscription is told a little before its descriptor is closed.
constexpr int kLooksForEnded = 4;
constexpr std::string_view kEpochTopic = "moddev/1/epoch";  // PROTOCOL.md, "Frames"
constexpr std::string_view kHeartbeatTopic = "moddev/1/heartbeat";

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

/// By which of our doors a peer came, which decides what it is told of where the events are. The first frame
/// of its envelope.
constexpr std::string_view kByIpc = "i";
constexpr std::string_view kByLoopback = "t";
constexpr std::string_view kByKey = "k";

std::string_view door_of(const Caller& caller) {
  if (caller.kind == Caller::Kind::kKey) return kByKey;
  return caller.address.starts_with("pid ") ? kByIpc : kByLoopback;
}

std::string_view property(zmq::message_t& message, const char* name) {
  const char* value = zmq_msg_gets(message.handle(), name);
  return value == nullptr ? std::string_view() : value;
}

/// Must be asked before the message is moved or dropped.
Origin origin_of(zmq::message_t& message) {
  return {property(message, "Peer-Address"), property(message, "User-Id"),
          zmq_msg_get(message.handle(), ZMQ_SRCFD)};
}

/// How those are looked at who come to what is bound after this; see Doorkeeper.
enum class Door : std::uint8_t { kIpc, kLoopback, kKey };

void set_door(zmq::socket_t& socket, Door door, const std::optional<TransportKeys>& keys) {
  using namespace zmq::sockopt;
  // 93 is ZMQ_ZAP_ENFORCE_DOMAIN, which libzmq 4.3.4 has and its headers hide with other drafts
  // (zmq_draft.h). Without it a handler that is not there lets everybody in.
  constexpr int kEnforceDomain = 93;
  socket.set(curve_server, door == Door::kKey);
  if (door == Door::kKey && keys) socket.set(curve_secretkey, keys->secret_key);
  // A domain cannot be taken back (4.3.4 refuses an empty one), so every door has its own.
  socket.set(zap_domain, door == Door::kKey        ? Doorkeeper::kKeyDomain
                         : door == Door::kLoopback ? Doorkeeper::kLoopbackDomain
                                                   : Doorkeeper::kIpcDomain);
  const int enforce = 1;
  if (zmq_setsockopt(socket.handle(), kEnforceDomain, &enforce, sizeof enforce) != 0) throw zmq::error_t();
}

void set_common_options(zmq::socket_t& socket) {
  using namespace zmq::sockopt;
  socket.set(zmq::sockopt::linger, in_ms(limits::kLinger));  // and not struct linger
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
  Doorkeeper doorkeeper{"", ::geteuid()};
  StreamGuard guard;
  std::optional<TransportKeys> keys;
  std::function<bool(const Caller&)> may_hear_all;
  // Before the others: libzmq looks for it when a connection comes.
  zmq::socket_t zap{context, zmq::socket_type::rep};
  zmq::socket_t router{context, zmq::socket_type::router};
  zmq::socket_t events{context, zmq::socket_type::xpub};
  std::vector<std::string> endpoints;
  std::string ipc_events;
  std::string loopback_events;
  std::string key_events;
  std::uint64_t malformed = 0;
  /// Subscribers of epochs: the descriptor of the connection, and its inode.
  std::map<int, ino_t> hearers;
  int looks_for_ended = 0;
  unsigned self_tests = 0;

  Status bind(const Endpoint& endpoint);
  Status bind_tcp(const Endpoint& endpoint);
  Status prove_that_strangers_are_refused(zmq::socket_type type, const std::string& endpoint);
  void answer_zap();
  void drain_subscriptions();
  bool send(zmq::socket_t& socket, const std::vector<SharedBytes>& envelope, const Frames& frames);
  void begin_hearing(int descriptor);
  std::size_t count_hearers();
  void complain(const Peer& peer, std::uint64_t id, const Error& error);
  std::optional<IncomingRequest> take(std::vector<zmq::message_t>& parts, bool too_many);
  [[nodiscard]] const std::string& events_for(std::string_view door) const;
};

ZmqTransport::ZmqTransport(std::unique_ptr<State> state) : state_(std::move(state)) {}

ZmqTransport::~ZmqTransport() = default;

Result<std::unique_ptr<ZmqTransport>> ZmqTransport::bind(const std::vector<std::string>& endpoints) {
  return open(TransportOptions{endpoints, std::nullopt, ""});
}

Result<std::unique_ptr<ZmqTransport>> ZmqTransport::open(const TransportOptions& options) {
  const std::vector<std::string>& endpoints = options.endpoints;
  if (endpoints.empty() || endpoints.size() > limits::kEndpoints) {
    return Error{ErrorCode::kInvalidArgument,
                 "A daemon serves at 1 to " + std::to_string(limits::kEndpoints) +
                     " endpoints (kEndpoints), not at " + std::to_string(endpoints.size()) + "."};
  }
  try {
    auto state = std::make_unique<State>();
    state->doorkeeper = Doorkeeper(options.trust_file, ::geteuid());
    state->keys = options.keys;
    state->may_hear_all = options.may_hear_all;
    state->zap.set(zmq::sockopt::linger, 0);
    state->zap.bind(kZapEndpoint);
    set_common_options(state->router);
    state->router.set(zmq::sockopt::sndhwm, limits::kReplyQueue);
    // It says when it drops something (zmq_setsockopt(3)).
    state->router.set(zmq::sockopt::router_mandatory, true);
    set_common_options(state->events);
    state->events.set(zmq::sockopt::sndhwm, limits::kEventQueue);
    // Subscribers send nothing else; and what they want is looked at before they get it.
    state->events.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(limits::kSubscriptionBytes));
    state->events.set(zmq::sockopt::xpub_manual, true);
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
  set_door(events, Door::kIpc, keys);
  set_door(router, Door::kIpc, keys);
  // Events first: who reaches the requests can subscribe.
  MODDEV_TRY(bind_ipc(events, events_path));
  MODDEV_TRY(bind_ipc(router, endpoint.path));
  if (ipc_events.empty()) ipc_events = "ipc://" + events_path;
  endpoints.push_back(endpoint.to_string());
  return {};
}

Status ZmqTransport::State::bind_tcp(const Endpoint& endpoint) {
  const bool local = endpoint.is_local();
  if (!local && !keys) {
    return Error{
        ErrorCode::kUnsupported,
        "Will not serve at " + endpoint.to_string() +
            ": other machines could reach it, and there is no key to tell friends from strangers. Run "
            "`moddev keygen` here and on the other machine, then `moddev trust add NAME KEY` here with "
            "what it prints there. Or use tcp://127.0.0.1:PORT, which only you can reach."};
  }
  std::string& told = local ? loopback_events : key_events;
  const Door door = local ? Door::kLoopback : Door::kKey;
  set_door(events, door, keys);
  set_door(router, door, keys);
  const bool first = told.empty();
  const std::string wanted_port = first ? "*" : told.substr(told.rfind(':') + 1);
  auto events_at = bind_one(events, "tcp://" + endpoint.host + ":" + wanted_port);
  if (!events_at) return events_at.error();
  auto requests_at = bind_one(router, endpoint.to_string());
  if (!requests_at) return requests_at.error();
  if (!local) {
    MODDEV_TRY(prove_that_strangers_are_refused(zmq::socket_type::sub, *events_at));
    MODDEV_TRY(prove_that_strangers_are_refused(zmq::socket_type::dealer, *requests_at));
  }
  for (const std::string& bound : {*events_at, *requests_at})
    if (const auto at = parse_endpoint(bound); at && at->port) guard.guard(*at->port);
  if (first) told = "tcp://*:" + events_at->substr(events_at->rfind(':') + 1);
  endpoints.push_back("tcp://" + endpoint.host + requests_at->substr(requests_at->rfind(':')));
  return {};
}

/// libzmq lets everybody in when its ZAP handler is missing or not asked; so it is tried, with a key that
/// nobody has heard of, before anybody is served.
Status ZmqTransport::State::prove_that_strangers_are_refused(zmq::socket_type type,
                                                             const std::string& endpoint) {
  const auto stranger = TransportKeys::generate();
  if (!stranger) return stranger.error();
  doorkeeper.ignore_key(stranger->public_key);
  std::string reachable = endpoint;
  for (const auto& [any, one] : {std::pair("//0.0.0.0:", "//127.0.0.1:"), std::pair("//[::]:", "//[::1]:")})
    if (const std::size_t at = reachable.find(any); at != std::string::npos)
      reachable.replace(at, std::strlen(any), one);
  zmq::socket_t probe(context, type);
  probe.set(zmq::sockopt::linger, 0);
  probe.set(zmq::sockopt::ipv6, true);
  probe.set(zmq::sockopt::curve_serverkey, keys->public_key);
  probe.set(zmq::sockopt::curve_publickey, stranger->public_key);
  probe.set(zmq::sockopt::curve_secretkey, stranger->secret_key);
  // Names of monitors are let go only later.
  const std::string watched = "inproc://moddev.self-test." + std::to_string(++self_tests);
  if (zmq_socket_monitor(probe.handle(), watched.c_str(),
                         ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0)
    throw zmq::error_t();
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  monitor.connect(watched);
  probe.connect(reachable);
  std::uint16_t event = 0;
  for (int look = 0; look < limits::kSelfTestLooks && event == 0; ++look) {
    std::array<zmq::pollitem_t, 2> polled = {
        {{zap.handle(), 0, ZMQ_POLLIN, 0}, {monitor.handle(), 0, ZMQ_POLLIN, 0}}};
    zmq::poll(polled.data(), polled.size(), limits::kSelfTestPause);
    answer_zap();
    zmq::message_t told;
    if (monitor.recv(told, zmq::recv_flags::dontwait) && told.size() >= sizeof event)
      std::memcpy(&event, told.data(), sizeof event);
  }
  zmq_socket_monitor(probe.handle(), nullptr, 0);
  doorkeeper.ignore_key("");
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) return {};
  return Error{ErrorCode::kInternal,
               "Will not serve at " + endpoint + ": a test connection with a key that nobody trusts was " +
                   (event == 0 ? "neither refused nor let in." : "let in.") +
                   " Check the version of libzmq (4.3.4 is known to be right), or serve at a local endpoint.",
               0};
}

/// Every waiting question whether a new connection may go on.
void ZmqTransport::State::answer_zap() {
  for (;;) {
    std::vector<std::string> frames;
    bool more = true;
    while (more) {
      zmq::message_t part;
      if (!zap.recv(part, zmq::recv_flags::dontwait)) return;
      more = part.more();
      frames.push_back(part.to_string());
    }
    // It comes from libzmq itself; what is no request could only be another version of ZAP.
    const auto request = decode_zap(frames);
    const auto answer =
        request ? doorkeeper.answer(*request)
                : zap_refusal({frames.size() > 1 ? frames[1] : "", "", "", "", ""}, "not understood");
    for (std::size_t i = 0; i < answer.size(); ++i) {
      zap.send(zmq::buffer(answer[i]),
               i + 1 < answer.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }
}

const std::string& ZmqTransport::State::events_for(std::string_view door) const {
  if (door == kByKey) return key_events;
  const bool ipc = door == kByIpc ? !ipc_events.empty() : loopback_events.empty();
  return ipc ? ipc_events : loopback_events;
}

/// XPUB takes in subscriptions only inside calls, and each is looked at: who sends it must be let in, and
/// gets the topics that it can mean, so that what a peer sends costs no memory here. The end of a
/// subscription is passed over: SUB sockets drop what they do not want themselves.
void ZmqTransport::State::drain_subscriptions() {
  zmq::message_t message;
  while (events.recv(message, zmq::recv_flags::dontwait)) {
    const std::string_view text = message.to_string_view();
    const Origin origin = origin_of(message);
    guard.delivered(origin.descriptor);
    if (!text.starts_with('\1')) {
      looks_for_ended = kLooksForEnded;  // or unsubscribed; the message does not tell who
      continue;
    }
    const auto caller = doorkeeper.identify(origin);
    if (!doorkeeper.may_subscribe(origin)) {
      if (caller) {
        doorkeeper.dropped(*caller, "more than " + std::to_string(limits::kSubscriptionsPerPeer) +
                                        " subscriptions over one connection (kSubscriptionsPerPeer), "
                                        "which is closed");
      }
      Doorkeeper::cut(origin);
      continue;
    }
    if (!caller) continue;
    const bool hears_all = !may_hear_all || may_hear_all(*caller);
    for (const std::string_view topic : {kEpochTopic, kHeartbeatTopic})
      if (topic.starts_with(text.substr(1)) && (hears_all || topic == kHeartbeatTopic)) {
        events.set(zmq::sockopt::subscribe, topic);
        if (topic == kEpochTopic) begin_hearing(origin.descriptor);
      }
  }
}

void ZmqTransport::State::begin_hearing(int descriptor) {
  struct stat socket {};
  if (::fstat(descriptor, &socket) == 0) hearers[descriptor] = socket.st_ino;
}

/// Connections that ended are looked for only after one has: a descriptor is of the same one for as long as
/// its inode is.
std::size_t ZmqTransport::State::count_hearers() {
  if (looks_for_ended > 0) {
    --looks_for_ended;
    std::erase_if(hearers, [](const auto& hearer) {
      struct stat socket {};
      return ::fstat(hearer.first, &socket) != 0 || socket.st_ino != hearer.second;
    });
  }
  return hearers.size();
}

std::optional<IncomingRequest> ZmqTransport::receive() {
  State& s = *state_;
  s.answer_zap();
  s.drain_subscriptions();
  std::vector<zmq::message_t> parts;
  for (;;) {
    parts.clear();
    bool too_many = false;
    bool more = true;
    // The parts of one message are all there when the first one is (zmq_msg_recv(3)), so this does not wait.
    while (more) {
      zmq::message_t part;
      if (!s.router.recv(part, zmq::recv_flags::dontwait)) {
        s.doorkeeper.look_again();  // once a step, which comes at least every heartbeat
        return std::nullopt;
      }
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
  const Origin origin = origin_of(parts.back());
  guard.delivered(origin.descriptor);
  auto caller = doorkeeper.identify(origin);
  // Our own first entry tells the door; the others go back as they came, up to the empty delimiter.
  Peer peer;
  peer.envelope.push_back(share(caller ? door_of(*caller) : ""));
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
  if (!caller) {
    complain(peer, header_id(delimited ? at + 1 : 1), caller.error());
    // Its key was good when it connected; where it connects again, the handshake tells it why it may not.
    if (Doorkeeper::by_key(origin)) Doorkeeper::cut(origin);
    return std::nullopt;
  }
  peer.caller = std::move(*caller);
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
  if (peer.envelope.front()->size() != 0) doorkeeper.dropped(peer.caller, error.message);
  const std::vector<SharedBytes> envelope(peer.envelope.begin() + 1, peer.envelope.end());
  send(router, envelope, encode(Reply{id, ErrorReply{error.code, error.message, 0}}));
}

bool ZmqTransport::pending() {
  try {
    state_->answer_zap();  // it has taken the wake-up, and is no request
    return (state_->events.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0 ||
           (state_->router.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
  } catch (const zmq::error_t&) {
    return false;
  }
}

bool ZmqTransport::State::send(zmq::socket_t& socket, const std::vector<SharedBytes>& envelope,
                               const Frames& frames) {
  const std::size_t count = envelope.size() + frames.size();
  for (std::size_t i = 0; i < count; ++i) {
    const SharedBytes& frame = i < envelope.size() ? envelope[i] : frames[i - envelope.size()];
    const auto flags =
        zmq::send_flags::dontwait | (i + 1 < count ? zmq::send_flags::sndmore : zmq::send_flags::none);
    try {
      zmq::message_t message = message_of(frame);
      if (!socket.send(message, flags)) return false;
    } catch (const zmq::error_t&) {
      return false;  // the peer is gone or a queue is full: dropped, and asked for again
    }
  }
  return true;
}

bool ZmqTransport::reply(const Peer& peer, const Reply& reply) {
  if (peer.envelope.size() < 2) return false;
  const std::vector<SharedBytes> envelope(peer.envelope.begin() + 1, peer.envelope.end());
  const auto* hello = std::get_if<HelloReply>(&reply.body);
  if (hello == nullptr) return state_->send(state_->router, envelope, encode(reply));
  HelloReply fitting = *hello;
  fitting.events_endpoint = state_->events_for(as_text(*peer.envelope.front()));
  return state_->send(state_->router, envelope, encode(Reply{reply.id, std::move(fitting)}));
}

std::size_t ZmqTransport::publish(const Event& event) {
  state_->send(state_->events, {}, encode(event));
  return state_->count_hearers();
}

std::string ZmqTransport::endpoint() const {
  return state_->endpoints.front();
}

std::string ZmqTransport::events_endpoint() const {
  const auto first = parse_endpoint(state_->endpoints.front());
  const bool ipc = state_->endpoints.front().starts_with("ipc:");
  return state_->events_for(ipc ? kByIpc : first && first->is_local() ? kByLoopback : kByKey);
}

void ZmqTransport::look_around(TimePoint now) {
  for (std::string& address : state_->guard.look(now)) state_->doorkeeper.overran(std::move(address));
}
TimePoint ZmqTransport::look_due() const {
  return state_->guard.due();
}
std::optional<Refusal> ZmqTransport::take_refusal() {
  return state_->doorkeeper.take_refusal();
}
std::optional<Arrival> ZmqTransport::take_arrival() {
  return state_->doorkeeper.take_arrival();
}

std::vector<int> ZmqTransport::descriptors() const {
  return {state_->router.get(zmq::sockopt::fd), state_->events.get(zmq::sockopt::fd),
          state_->zap.get(zmq::sockopt::fd)};
}

const std::vector<std::string>& ZmqTransport::endpoints() const {
  return state_->endpoints;
}
std::uint64_t ZmqTransport::malformed() const {
  return state_->malformed;
}

}  // namespace moddev::daemon
