#include "client/src/zmq_link.h"

#include <unistd.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "client/src/limits.h"
#include "protocol/codec.h"

namespace moddev::client {
namespace {

constexpr int kIoThreads = 1;
constexpr std::string_view kEventPrefix = "moddev/1/";

int in_ms(std::chrono::milliseconds d) {
  return static_cast<int>(d.count());
}

void set_common_options(zmq::socket_t& socket) {
  using namespace zmq::sockopt;
  socket.set(linger, 0);
  socket.set(maxmsgsize, static_cast<std::int64_t>(limits::kFrameBytes));
  socket.set(handshake_ivl, in_ms(limits::kHandshakePatience));
  socket.set(reconnect_ivl, in_ms(limits::kReconnectFirst));
  socket.set(reconnect_ivl_max, in_ms(limits::kReconnectLast));
  socket.set(ipv6, true);
}

/// Memory of large frames, for the next ones: fresh pages cost more than the copy. Whoever drops the last
/// reference gives it back, on any thread.
class FramePool : public std::enable_shared_from_this<FramePool> {
 public:
  SharedBytes copy_of(const zmq::message_t& message) {
    const auto* data = static_cast<const std::byte*>(message.data());
    if (message.size() < limits::kPooledFrameBytes)
      return std::make_shared<const Bytes>(data, data + message.size());
    auto bytes = std::make_unique<Bytes>(take());
    bytes->assign(data, data + message.size());
    return {bytes.release(), [pool = shared_from_this()](const Bytes* used) {
              pool->give_back(std::unique_ptr<Bytes>(const_cast<Bytes*>(used)));
            }};
  }

 private:
  Bytes take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return {};
    Bytes bytes = std::move(free_.back());
    free_.pop_back();
    return bytes;
  }
  void give_back(std::unique_ptr<Bytes> bytes) {
    const std::lock_guard lock(mutex_);
    if (free_.size() < limits::kPooledFrames && bytes->capacity() <= limits::kChunkBytes)
      free_.push_back(std::move(*bytes));
  }
  std::mutex mutex_;
  std::vector<Bytes> free_;
};

/// Whether the directory of the socket is the user's own. A missing one becomes the daemon's later.
Status may_connect(const Endpoint& endpoint) {
  if (endpoint.scheme != Endpoint::Scheme::kIpc) return {};
  const std::string directory = endpoint.path.substr(0, endpoint.path.rfind('/'));
  return check_private_directory(directory.empty() ? "/" : directory, ::geteuid());
}

}  // namespace

struct ZmqLink::State {
  State(Endpoint where, KeyChoice choice)
      : endpoint(std::move(where)), keys_of(key_source(endpoint, std::move(choice))) {}
  ~State() { close_requests(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void open_requests();
  void close_requests() noexcept;
  void set_keys(zmq::socket_t& socket);
  void watch_handshakes();
  void look_at_handshakes();
  void connect_when_allowed();
  bool receive_frames(zmq::socket_t& socket);

  Endpoint endpoint;
  zmq::context_t context{kIoThreads};
  KeySource keys_of;
  std::optional<LinkKeys> keys;
  std::size_t daemon_key = 0;  // which of keys->daemon
  zmq::socket_t requests;
  zmq::socket_t events;
  zmq::socket_t handshakes;  // tcp only: what becomes of the connection of `requests`
  bool connected = false;
  bool refused = false;
  std::uint64_t monitors = 0;
  std::optional<Error> problem;
  std::uint64_t malformed = 0;
  std::optional<Error> not_understood;
  Frames frames;  // of the last message; kept for its memory
  std::shared_ptr<FramePool> pool = std::make_shared<FramePool>();
};

ZmqLink::ZmqLink(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZmqLink::~ZmqLink() = default;

Result<std::unique_ptr<ZmqLink>> ZmqLink::connect(const std::string& endpoint, KeyChoice choice) {
  auto parsed = parse_endpoint(endpoint);
  if (!parsed) return parsed.error();
  if (parsed->scheme == Endpoint::Scheme::kTcp && (parsed->host == "*" || !parsed->port)) {
    return Error{
        ErrorCode::kInvalidArgument,
        "Cannot connect to " + endpoint + ": a client needs a host and a port, like tcp://127.0.0.1:5555."};
  }
  if (parsed->scheme == Endpoint::Scheme::kTcp) MODDEV_TRY(check_named_key(choice));
  try {
    auto state = std::make_unique<State>(std::move(*parsed), std::move(choice));
    state->open_requests();
    return std::unique_ptr<ZmqLink>(new ZmqLink(std::move(state)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorCode::kIo, "Cannot connect to " + endpoint + ": " + error.what() + ".", error.num()};
  }
}

/// The monitor goes first: it tells of handshakes from libzmq's only io thread, which waits for ever when
/// nobody is at the other end (4.3.4, socket_base_t::monitor_event()).
void ZmqLink::State::close_requests() noexcept {
  if (handshakes) {
    try {
      look_at_handshakes();  // when there is no room for more, the io thread waits already
    } catch (const zmq::error_t&) {
    }
    zmq_socket_monitor(requests.handle(), nullptr, 0);
    handshakes.close();
  }
  requests.close();
}

void ZmqLink::State::open_requests() {
  close_requests();
  requests = zmq::socket_t(context, zmq::socket_type::dealer);
  set_common_options(requests);
  refused = false;
  requests.set(zmq::sockopt::sndhwm, limits::kRequestQueue);
  requests.set(zmq::sockopt::rcvhwm, limits::kReplyQueue);
  connected = false;
  connect_when_allowed();
}

void ZmqLink::State::connect_when_allowed() {
  if (Status allowed = may_connect(endpoint); !allowed) {
    problem = allowed.error();
    return;
  }
  if (keys_of) {
    auto found = keys_of();
    if (!found) {
      problem = found.error();
      return;
    }
    keys = std::move(*found);
    set_keys(requests);
    watch_handshakes();
  }
  problem.reset();
  requests.connect(endpoint.to_string());
  connected = true;
}

void ZmqLink::State::set_keys(zmq::socket_t& socket) {
  if (!keys) return;
  socket.set(zmq::sockopt::curve_serverkey, keys->daemon[daemon_key % keys->daemon.size()]);
  socket.set(zmq::sockopt::curve_publickey, keys->own.public_key);
  socket.set(zmq::sockopt::curve_secretkey, keys->own.secret_key);
}

/// libzmq tells nobody but a monitor that a connection was refused, and does not try again after that.
void ZmqLink::State::watch_handshakes() {
  const std::string address = "inproc://moddev.handshakes." + std::to_string(++monitors);
  if (zmq_socket_monitor(requests.handle(), address.c_str(),
                         ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                             ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) != 0)
    return;
  handshakes = zmq::socket_t(context, zmq::socket_type::pair);
  handshakes.set(zmq::sockopt::linger, 0);
  handshakes.connect(address);
}

void ZmqLink::State::look_at_handshakes() {
  while (handshakes) {
    zmq::message_t told;
    if (!handshakes.recv(told, zmq::recv_flags::dontwait)) return;
    std::uint16_t event = 0;
    if (told.size() >= sizeof event) std::memcpy(&event, told.data(), sizeof event);
    zmq::message_t address;
    (void)handshakes.recv(address, zmq::recv_flags::dontwait);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      refused = false;
      problem.reset();
      continue;
    }
    const std::string where = endpoint.to_string();
    refused = true;
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
      problem =
          Error{ErrorCode::kPermission,
                keys ? "The daemon at " + where + " does not trust the key '" + keys->own.public_key +
                           "'. Have its owner run `moddev trust add NAME '" + keys->own.public_key + "'`."
                     : "The daemon at " + where + " does not let this process in.",
                0};
    } else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && !keys) {
      problem =
          Error{ErrorCode::kPermission,
                "The daemon at " + where +
                    " lets in only who has a key. Run `moddev keygen` there and here, and here `moddev trust "
                    "add " +
                    where + " KEY` with the transport key that it prints there.",
                0};
    } else if (keys) {
      // A daemon with another key hangs up without a word.
      ++daemon_key;
      const std::string cure =
          keys->daemon_named_by.empty()
              ? "run `moddev trust remove " + where + "` and `moddev trust add " + where + " KEY`"
              : "have " + keys->daemon_named_by + " name it";
      problem = Error{ErrorCode::kPermission,
                      "Who answers at " + where +
                          " does not prove to have the key that is trusted there. If the daemon has a new "
                          "key, " +
                          cure + "; if not, somebody else is there.",
                      0};
    }
  }
}

void ZmqLink::send(const Request& request) {
  State& s = *state_;
  try {
    s.look_at_handshakes();
    if (s.refused) s.open_requests();
    if (!s.connected) s.connect_when_allowed();
    if (!s.connected) return;
    // The delimiter that a REQ socket would send (PROTOCOL.md, "Frames").
    if (!s.requests.send(zmq::const_buffer(nullptr, 0), zmq::send_flags::sndmore | zmq::send_flags::dontwait))
      return;
    const Frames frames = encode(request);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      if (!s.requests.send(zmq::const_buffer(frames[i]->data(), frames[i]->size()),
                           more | zmq::send_flags::dontwait)) {
        return;
      }
    }
  } catch (const zmq::error_t& error) {
    s.problem =
        Error{ErrorCode::kIo, std::string("Cannot send to the daemon: ") + error.what() + ".", error.num()};
  }
}

void ZmqLink::subscribe(const std::string& endpoint) {
  State& s = *state_;
  auto reachable = reachable_events_endpoint(s.endpoint, endpoint);
  if (!reachable) {
    s.problem = reachable.error();
    return;
  }
  try {
    s.events = zmq::socket_t(s.context, zmq::socket_type::sub);
    set_common_options(s.events);
    s.events.set(zmq::sockopt::rcvhwm, limits::kEventQueue);
    s.events.set(zmq::sockopt::subscribe, kEventPrefix);
    s.set_keys(s.events);
    s.events.connect(*reachable);
  } catch (const zmq::error_t& error) {
    s.problem =
        Error{ErrorCode::kIo, "Cannot subscribe at " + *reachable + ": " + error.what() + ".", error.num()};
  }
}

void ZmqLink::reset() {
  State& s = *state_;
  try {
    s.events = {};
    s.open_requests();
  } catch (const zmq::error_t& error) {
    s.problem = Error{ErrorCode::kIo, std::string("Cannot make sockets: ") + error.what() + ".", error.num()};
  }
}

/// The next message into `frames`; frames beyond the limit are read and dropped with the whole message.
bool ZmqLink::State::receive_frames(zmq::socket_t& socket) {
  for (;;) {
    frames.clear();
    bool more = true;
    bool too_many = false;
    while (more) {
      zmq::message_t part;
      // The other parts are there when the first one is (zmq_msg_recv(3)): this does not wait.
      if (!socket.recv(part, zmq::recv_flags::dontwait)) return false;
      more = part.more();
      too_many = too_many || frames.size() >= limits::kFramesPerMessage;
      if (!too_many) frames.push_back(pool->copy_of(part));
    }
    if (!too_many) return true;
    ++malformed;
  }
}

std::optional<LinkInput> ZmqLink::receive() {
  State& s = *state_;
  try {
    s.look_at_handshakes();
    // Events first: a commit is what everyone waits for.
    while (s.events && s.receive_frames(s.events)) {
      if (auto event = decode_event(s.frames)) return LinkInput(std::move(*event));
      ++s.malformed;
    }
    while (s.requests && s.receive_frames(s.requests)) {
      if (!s.frames.empty() && s.frames.front()->empty()) s.frames.erase(s.frames.begin());
      auto reply = decode_reply(s.frames);
      if (reply) return LinkInput(std::move(*reply));
      ++s.malformed;
      s.not_understood = reply.error();
    }
  } catch (const zmq::error_t& error) {
    s.problem = Error{ErrorCode::kIo, std::string("Cannot receive from the daemon: ") + error.what() + ".",
                      error.num()};
  }
  s.frames.clear();
  return std::nullopt;
}

std::vector<int> ZmqLink::descriptors() const {
  std::vector<int> result;
  if (state_->requests) result.push_back(state_->requests.get(zmq::sockopt::fd));
  if (state_->events) result.push_back(state_->events.get(zmq::sockopt::fd));
  if (state_->handshakes) result.push_back(state_->handshakes.get(zmq::sockopt::fd));
  return result;
}

std::optional<Error> ZmqLink::problem() const {
  return state_->problem;
}
std::optional<Error> ZmqLink::take_not_understood() {
  return std::exchange(state_->not_understood, std::nullopt);
}
std::uint64_t ZmqLink::malformed() const {
  return state_->malformed;
}

Result<std::string> reachable_events_endpoint(const Endpoint& endpoint, const std::string& told) {
  auto events = parse_endpoint(told);
  if (!events) return events.error().with_context("The daemon told a wrong place for its events");
  if (endpoint.scheme == Endpoint::Scheme::kIpc) {
    // Elsewhere on the disk the directory would not have been checked.
    const auto directory = [](const std::string& path) { return path.substr(0, path.rfind('/')); };
    if (events->scheme != Endpoint::Scheme::kIpc || directory(events->path) != directory(endpoint.path)) {
      return Error{ErrorCode::kInvalidArgument, "The daemon at " + endpoint.to_string() +
                                                    " told that its events are at " + told +
                                                    ", which is not beside it; they are not listened to."};
    }
    return events->to_string();
  }
  if (events->scheme != Endpoint::Scheme::kTcp || !events->port) {
    return Error{ErrorCode::kInvalidArgument, "The daemon at " + endpoint.to_string() +
                                                  " told that its events are at " + told +
                                                  ", which cannot be reached from here."};
  }
  events->host = endpoint.host;
  return events->to_string();
}

}  // namespace moddev::client
