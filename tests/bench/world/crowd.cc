#include "tests/bench/world/crowd.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "client/src/limits.h"
#include "client/src/session.h"
#include "protocol/blob_store.h"
#include "protocol/codec.h"
#include "tests/bench/world/board.h"
#include "tests/support/world/sim_loader.h"

namespace moddev::bench {
namespace {

namespace limits = client::limits;

/// Of one frame: flags and length (ZMTP 3.1, "Framing").
std::uint64_t on_the_wire(std::size_t bytes) {
  return bytes + (bytes < 256 ? 2 : 9);
}

template <typename Set>
void set_options(zmq::socket_t& socket, const Set& more) {
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(limits::kFrameBytes));
  socket.set(zmq::sockopt::reconnect_ivl, static_cast<int>(limits::kReconnectFirst.count()));
  socket.set(zmq::sockopt::reconnect_ivl_max, static_cast<int>(limits::kReconnectLast.count()));
  more(socket);
}

/// As client/src/zmq_link, in a context that many share.
class SharedLink final : public Link {
 public:
  SharedLink(zmq::context_t& context, std::string endpoint, Crowd::Traffic& traffic)
      : context_(context), endpoint_(std::move(endpoint)), traffic_(traffic) {
    open();
  }

  void send(const Request& request) override {
    const Frames frames = encode(request);
    ++traffic_.requests;
    traffic_.requests_bytes += on_the_wire(0) + on_the_wire(frames.front()->size());
    (void)requests_.send(zmq::const_buffer(nullptr, 0), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
    (void)requests_.send(zmq::const_buffer(frames.front()->data(), frames.front()->size()),
                         zmq::send_flags::dontwait);
  }
  void subscribe(const std::string& endpoint) override {
    events_ = zmq::socket_t(context_, zmq::socket_type::sub);
    set_options(events_, [](zmq::socket_t& socket) {
      socket.set(zmq::sockopt::rcvhwm, limits::kEventQueue);
      socket.set(zmq::sockopt::subscribe, "moddev/1/");
    });
    events_.connect(endpoint);
    ++generation_;
  }
  void reset() override {
    events_ = {};
    open();
  }
  std::optional<LinkInput> receive() override {
    if (events_ && take(events_, traffic_.events_bytes)) {
      if (auto event = decode_event(frames_)) return LinkInput(std::move(*event));
    }
    if (take(requests_, traffic_.replies_bytes)) {
      frames_.erase(frames_.begin());
      if (auto reply = decode_reply(frames_)) return LinkInput(std::move(*reply));
    }
    return std::nullopt;
  }
  [[nodiscard]] std::vector<int> descriptors() const override {
    std::vector<int> all{requests_.get(zmq::sockopt::fd)};
    if (events_) all.push_back(events_.get(zmq::sockopt::fd));
    return all;
  }
  /// Another number when the descriptors are others.
  [[nodiscard]] unsigned generation() const { return generation_; }

 private:
  void open() {
    requests_ = zmq::socket_t(context_, zmq::socket_type::dealer);
    set_options(requests_, [](zmq::socket_t& socket) {
      socket.set(zmq::sockopt::sndhwm, limits::kRequestQueue);
      socket.set(zmq::sockopt::rcvhwm, limits::kReplyQueue);
    });
    requests_.connect(endpoint_);
    ++generation_;
  }
  bool take(zmq::socket_t& socket, std::uint64_t& bytes) {
    frames_.clear();
    for (bool more = true; more;) {
      zmq::message_t part;
      if (!socket.recv(part, zmq::recv_flags::dontwait)) return false;
      more = part.more();
      bytes += on_the_wire(part.size());
      const auto* data = static_cast<const std::byte*>(part.data());
      frames_.push_back(std::make_shared<const Bytes>(data, data + part.size()));
    }
    return true;
  }

  zmq::context_t& context_;
  std::string endpoint_;
  Crowd::Traffic& traffic_;
  zmq::socket_t requests_;
  zmq::socket_t events_;
  Frames frames_;
  unsigned generation_ = 0;
};

struct Member {
  std::unique_ptr<SharedLink> link;
  std::unique_ptr<MemoryBlobStore> cache = std::make_unique<MemoryBlobStore>();
  std::unique_ptr<sim::SimLoader> loader;
  std::unique_ptr<ViewStore> views;
  std::unique_ptr<Session> session;
  TimePoint due{};
  unsigned generation = 0;
  bool connected = false;
  Epoch epoch = 0;
  std::int64_t applied_ns = 0;
  std::int64_t joined_ns = 0;
};

void raise_descriptors() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &files);
}

std::int64_t nth(std::vector<std::int64_t> times, std::size_t n) {
  std::sort(times.begin(), times.end());
  return times.at(n);
}

void wait_for_input(int poll, int descriptor, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (::epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) != 0 && errno != EEXIST) {
    std::perror("epoll_ctl");
    std::exit(1);
  }
}

}  // namespace

// --------------------------------------------------------------------------------------------------- Crowd

struct Crowd::State {
  SystemClock clock;
  zmq::context_t context{1};
  Traffic traffic;
  std::vector<Member> members;
  int poll = ::epoll_create1(EPOLL_CLOEXEC);

  void step(std::size_t number) {
    Member& m = members[number];
    const TimePoint now = clock.now();
    m.loader->set_now(now);
    m.due = m.session->step(now);
    if (m.loader->ready_at() != kNever) m.due = now;
    const bool connected = m.session->connected();
    if (connected && !m.connected) m.joined_ns = monotonic_ns();
    m.connected = connected;
    if (const Epoch epoch = m.session->applied_epoch(); epoch != m.epoch) {
      m.epoch = epoch;
      m.applied_ns = monotonic_ns();
    }
    (void)m.session->take_events();
    if (m.link->generation() == m.generation) return;
    m.generation = m.link->generation();
    // Closed descriptors have left by themselves (epoll(7)).
    for (const int descriptor : m.link->descriptors()) wait_for_input(poll, descriptor, number);
  }
};

Crowd::Crowd(std::string endpoint, std::size_t executors) : state_(std::make_unique<State>()) {
  raise_descriptors();
  State& s = *state_;
  s.context.set(zmq::ctxopt::max_sockets, static_cast<int>(4 * executors + 16));
  s.members.resize(executors);
  for (std::size_t i = 0; i < executors; ++i) {
    Member& m = s.members[i];
    m.link = std::make_unique<SharedLink>(s.context, endpoint, s.traffic);
    m.loader = std::make_unique<sim::SimLoader>(*m.cache);
    m.views = std::make_unique<ViewStore>();
    SessionOptions options;
    options.identity = {Uuid::random(), "crowd-" + std::to_string(i), "bench", ::getpid()};
    options.software = "bench";
    options.endpoint = endpoint;
    options.seed = i + 1;
    m.session = std::make_unique<Session>(std::move(options), *m.link, *m.loader, *m.cache, *m.views);
  }
}

Crowd::~Crowd() {
  for (Member& m : state_->members) m.session.reset();
  ::close(state_->poll);
}

bool Crowd::run(Duration patience, const std::function<bool()>& enough) {
  State& s = *state_;
  const TimePoint end = s.clock.now() + patience;
  std::array<epoll_event, 256> ready{};
  for (;;) {
    TimePoint due = end;
    const TimePoint now = s.clock.now();
    for (std::size_t i = 0; i < s.members.size(); ++i) {
      if (s.members[i].due <= now) s.step(i);
      due = std::min(due, s.members[i].due);
    }
    if (enough()) return true;
    if (s.clock.now() >= end) return false;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - s.clock.now());
    const int count = ::epoll_wait(s.poll, ready.data(), static_cast<int>(ready.size()),
                                   static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    for (int i = 0; i < count; ++i) s.step(ready[static_cast<std::size_t>(i)].data.u64);
  }
}

std::size_t Crowd::size() const {
  return state_->members.size();
}
std::size_t Crowd::connected() const {
  return static_cast<std::size_t>(std::ranges::count_if(state_->members, &Member::connected));
}
std::size_t Crowd::at_epoch(std::uint64_t epoch) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(state_->members, [epoch](const Member& m) { return m.epoch == epoch; }));
}
std::int64_t Crowd::applied_ns(std::size_t n) const {
  std::vector<std::int64_t> times;
  for (const Member& m : state_->members) times.push_back(m.applied_ns);
  return nth(std::move(times), n);
}
std::int64_t Crowd::joined_ns(std::size_t n) const {
  std::vector<std::int64_t> times;
  for (const Member& m : state_->members) times.push_back(m.joined_ns);
  return nth(std::move(times), n);
}
Crowd::Traffic Crowd::take_traffic() {
  return std::exchange(state_->traffic, {});
}

// ------------------------------------------------------------------------------------------------ RawCrowd

namespace {

/// Publications carry their number, answers that of what they answer.
std::uint64_t number_of(const zmq::message_t& message) {
  std::uint64_t number = ~std::uint64_t{0};
  if (message.size() >= sizeof number) std::memcpy(&number, message.data(), sizeof number);
  return number;
}

}  // namespace

struct RawCrowd::State {
  struct One {
    zmq::socket_t requests;
    zmq::socket_t events;
  };
  zmq::context_t context{1};
  zmq::socket_t control;
  std::vector<One> all;
  int poll = ::epoll_create1(EPOLL_CLOEXEC);

  std::uint64_t rounds = 0;
  /// Until each of the sockets has had this publication; then each answers, if it is to. What a round that
  /// failed left on its way counts for no later one.
  bool hear(std::int64_t patience_ms, std::uint64_t publication, bool answer) {
    std::vector<bool> heard(all.size(), false);
    std::size_t left = all.size();
    const std::int64_t end = monotonic_ns() + patience_ms * 1'000'000;
    std::array<epoll_event, 256> ready{};
    const auto take = [&](std::size_t number) {
      zmq::message_t message;
      while (all[number].events.recv(message, zmq::recv_flags::dontwait)) {
        if (heard[number] || number_of(message) != publication) continue;
        heard[number] = true;
        --left;
        if (answer)
          all[number].requests.send(zmq::const_buffer(&publication, sizeof publication),
                                    zmq::send_flags::none);
      }
    };
    for (std::size_t i = 0; i < all.size(); ++i) take(i);
    while (left > 0) {
      if (monotonic_ns() >= end) return false;
      const int count = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), 10);
      for (int i = 0; i < count; ++i) take(ready[static_cast<std::size_t>(i)].data.u64);
      if (count == 0) {
        for (std::size_t i = 0; i < all.size(); ++i) take(i);
      }
    }
    return true;
  }
};

RawCrowd::RawCrowd(std::string endpoint, std::size_t sockets) : state_(std::make_unique<State>()) {
  raise_descriptors();
  State& s = *state_;
  s.context.set(zmq::ctxopt::max_sockets, static_cast<int>(4 * sockets + 16));
  s.control = zmq::socket_t(s.context, zmq::socket_type::pair);
  s.control.set(zmq::sockopt::linger, 0);
  s.control.connect(endpoint + "-control");
  s.all.resize(sockets);
  for (std::size_t i = 0; i < sockets; ++i) {
    State::One& one = s.all[i];
    one.requests = zmq::socket_t(s.context, zmq::socket_type::dealer);
    one.events = zmq::socket_t(s.context, zmq::socket_type::sub);
    for (zmq::socket_t* socket : {&one.requests, &one.events}) socket->set(zmq::sockopt::linger, 0);
    one.events.set(zmq::sockopt::subscribe, "");
    one.requests.connect(endpoint);
    one.events.connect(endpoint + "-events");
    wait_for_input(s.poll, one.events.get(zmq::sockopt::fd), i);
  }
}

RawCrowd::~RawCrowd() {
  ::close(state_->poll);
}

bool RawCrowd::settle(Duration patience) {
  const std::int64_t end = monotonic_ns() + patience.count();
  Round ignored;
  while (monotonic_ns() < end) {
    if (round(64, ignored)) return true;
  }
  return false;
}

bool RawCrowd::round(std::size_t bytes, Round& result) {
  constexpr std::int64_t kPatienceMs = 2'000;
  State& s = *state_;
  const std::int64_t begin = monotonic_ns();
  s.control.send(zmq::const_buffer(&bytes, sizeof bytes), zmq::send_flags::none);
  const std::uint64_t first = 2 * s.rounds++;
  if (!s.hear(kPatienceMs, first, true)) return false;
  result.first_ns = monotonic_ns() - begin;
  if (!s.hear(kPatienceMs, first + 1, false)) return false;
  result.second_ns = monotonic_ns() - begin;
  return true;
}

int be_a_raw_daemon(const std::string& endpoint, std::size_t sockets) {
  raise_descriptors();
  zmq::context_t context{1};
  zmq::socket_t control(context, zmq::socket_type::pair);
  zmq::socket_t events(context, zmq::socket_type::xpub);
  zmq::socket_t requests(context, zmq::socket_type::router);
  for (zmq::socket_t* socket : {&control, &events, &requests}) socket->set(zmq::sockopt::backlog, 1024);
  control.bind(endpoint + "-control");
  events.bind(endpoint + "-events");
  requests.bind(endpoint);
  for (std::uint64_t publication = 0;; publication += 2) {
    zmq::message_t message;
    std::size_t bytes = 0;
    if (!control.recv(message) || message.size() != sizeof bytes) return 1;
    std::copy_n(static_cast<const std::byte*>(message.data()), sizeof bytes,
                reinterpret_cast<std::byte*>(&bytes));
    const auto publish = [&](std::uint64_t number) {
      while (events.recv(message, zmq::recv_flags::dontwait))
        continue;  // subscriptions are taken in here only
      zmq::message_t out(std::max(bytes, sizeof number));
      std::memcpy(out.data(), &number, sizeof number);
      events.send(out, zmq::send_flags::none);
    };
    publish(publication);
    requests.set(zmq::sockopt::rcvtimeo, 1'000);
    for (std::size_t answers = 0; answers < sockets;) {
      if (!requests.recv(message) || !requests.recv(message)) break;
      if (number_of(message) == publication) ++answers;
    }
    publish(publication + 1);
  }
}

}  // namespace moddev::bench
