#include "client/src/runtime.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "client/src/limits.h"

namespace moddev::client {
namespace {

/// Starts a thread that takes no signals: they belong to the program that we are a guest in.
template <typename Body>
std::thread start_thread(const char* name, Body body) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  ::pthread_setname_np(thread.native_handle(), name);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

Result<std::unique_ptr<WakeUp>> WakeUp::create() {
  const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0) return errno_error("Cannot make an eventfd", errno);
  return std::unique_ptr<WakeUp>(new WakeUp(descriptor));
}

WakeUp::~WakeUp() {
  ::close(descriptor_);
}

void WakeUp::ring() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(descriptor_, &one, sizeof one);
}

void WakeUp::silence() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(descriptor_, &count, sizeof count);
}

Runtime::Runtime(RuntimeParts parts, std::unique_ptr<WakeUp> wake)
    : parts_(std::move(parts)),
      wake_(std::move(wake)),
      session_(std::make_unique<Session>(parts_.session, *parts_.link, *parts_.loader, *parts_.cache,
                                         *parts_.views)) {
  if (parts_.remembered) {
    session_->remember(parts_.remembered->repo, std::move(parts_.remembered->manifest));
    parts_.remembered.reset();
  }
  publish_status();
}

Result<std::unique_ptr<Runtime>> Runtime::start(RuntimeParts parts) {
  auto wake = WakeUp::create();
  if (!wake) return wake.error();
  std::unique_ptr<Runtime> runtime(new Runtime(std::move(parts), std::move(*wake)));
  try {
    runtime->watchers_->on_wanted([r = runtime.get()] { r->look_at_modules(); });
    runtime->events_thread_ = start_thread("moddev-events", [r = runtime.get()] { r->run_events(); });
    runtime->messages_thread_ = start_thread("moddev-messages", [r = runtime.get()] { r->run_messages(); });
  } catch (const std::system_error& error) {
    return Error{ErrorCode::kIo, std::string("Cannot start a thread: ") + error.what() + ".",
                 error.code().value()};
  }
  return runtime;
}

Runtime::~Runtime() {
  stopping_ = true;
  wake_->ring();
  if (messages_thread_.joinable()) messages_thread_.join();
  watchers_->on_wanted({});
  {
    const std::lock_guard lock(events_mutex_);
    events_end_ = true;
  }
  events_there_.notify_all();
  if (events_thread_.joinable()) events_thread_.join();
  // The session gives its prepared views to the loader, the loader unloads them: in this order.
  session_.reset();
  remembered_.reset();
  // The live one, too, unless a Function has it yet: the loader does not wait for ever for a module's
  // destructors.
  if (parts_.views.use_count() == 1) {
    parts_.views->publish(nullptr, clock_.now());
    for (auto& view : parts_.views->collect()) parts_.loader->retire(std::move(view));
  }
  parts_.link.reset();
  parts_.loader.reset();
  parts_.outlives.reset();
}

// --------------------------------------------------------------------------------------- the messages thread

void Runtime::run_messages() {
  while (!stopping_) {
    look_whom_to_believe();
    hand_over_pins();
    const TimePoint deadline = session_->step(clock_.now(), clock_.wall_now());
    publish_status();
    hand_over_events();
    remember_applied(false);
    wait_for_something(std::min(deadline, remember_at_));
  }
  say_goodbye();
  refuse_pins();
}

/// A step is due every second, whether there is a daemon or not.
void Runtime::look_whom_to_believe() {
  if (!parts_.believed || clock_.now() < look_at_) return;
  look_at_ = clock_.now() + limits::kTrustLook;
  if (auto changed = parts_.believed())
    session_->change_trust(std::move(changed->signers), std::move(changed->modules));
}

void Runtime::hand_over_pins() {
  std::vector<WantedPin> wanted;
  {
    const std::lock_guard lock(pins_mutex_);
    wanted.swap(wanted_pins_);
  }
  if (wanted.empty()) return;
  const TimePoint now = clock_.now();
  for (WantedPin& one : wanted) {
    const auto timeout = std::min<std::chrono::milliseconds>(one.timeout, limits::kLongestWait);
    session_->pin_epoch(one.epoch, now + timeout, [answer = std::move(one.answer)](Result<Pin> pin) {
      answer->set_value(std::move(pin));
    });
  }
}

void Runtime::refuse_pins() {
  const std::lock_guard lock(pins_mutex_);
  pins_end_ = true;
  for (WantedPin& one : std::exchange(wanted_pins_, {})) {
    one.answer->set_value(Error{ErrorCode::kUnavailable, "The client has ended.", 0});
  }
}

void Runtime::say_goodbye() {
  remember_applied(true);
  const TimePoint end = clock_.now() + limits::kLeavePatience;
  session_->leave();
  for (TimePoint now = clock_.now(); !session_->left() && now < end; now = clock_.now()) {
    const TimePoint deadline = session_->step(now, clock_.wall_now());
    if (!session_->left()) wait_for_something(std::min(deadline, end));
  }
}

void Runtime::publish_status() {
  const TimePoint until = session_->in_lease_until();
  if (in_lease_until_.exchange(until) < until) {
    const std::lock_guard lock(mutex_);  // whoever waits for it has looked before, or is told now
    changed_.notify_all();
  }
  const SessionStatus& newest = session_->status();
  {
    const std::lock_guard lock(mutex_);
    if (status_.revision == newest.revision) return;
    status_ = newest;
  }
  changed_.notify_all();
}

void Runtime::remember_applied(bool leaving) {
  const TimePoint wanted = std::exchange(remember_at_, kNever);
  const bool connected = session_->connected();
  const bool lost = std::exchange(was_connected_, connected && !leaving) && (!connected || leaving);
  if (!parts_.remember || session_->applied_epoch() == 0) return;
  auto view = parts_.views->current();
  if (!lost) {
    if (!connected || view == remembered_) return;
    const TimePoint now = clock_.now();
    if (wanted > now) {
      const auto spread = limits::kRememberSpread * parts_.session.identity.id.bytes[0] / 256;
      remember_at_ = wanted == kNever ? now + limits::kRememberAfter + spread : wanted;
      return;
    }
  }
  const std::optional<SignedStatement> statement = session_->applied_statement();
  if (parts_.session.trust.demands_signatures() && !statement) {
    // The next heartbeat brings it; without it nobody would believe what is written.
    if (!lost) remember_at_ = clock_.now() + moddev::limits::kHeartbeatInterval;
    return;
  }
  parts_.remember({session_->applied_repo(), view->manifest(), statement});
  remembered_ = std::move(view);
}

void Runtime::hand_over_events() {
  std::vector<ClientEvent> happened = session_->take_events();
  if (happened.empty()) return;
  {
    const std::lock_guard lock(events_mutex_);
    for (ClientEvent& event : happened) {
      if (event.kind == ClientEvent::Kind::kApplied) look_at_modules_ = true;
      if (!parts_.on_event) continue;
      if (events_.size() >= limits::kWaitingEvents) events_.pop_front();
      events_.push_back(std::move(event));
    }
  }
  events_there_.notify_one();
}

void Runtime::look_at_modules() {
  {
    const std::lock_guard lock(events_mutex_);
    look_at_modules_ = true;
  }
  events_there_.notify_one();
}

void Runtime::wait_for_something(TimePoint deadline) {
  const TimePoint now = clock_.now();
  if (deadline <= now) return;
  std::vector<pollfd> waiting;
  waiting.push_back({wake_->descriptor(), POLLIN, 0});
  for (const int descriptor : parts_.link->descriptors()) waiting.push_back({descriptor, POLLIN, 0});
  for (const int descriptor : parts_.loader->descriptors()) waiting.push_back({descriptor, POLLIN, 0});
  timespec patience{};
  if (deadline != kNever) {
    patience.tv_sec = (deadline - now).count() / 1'000'000'000;
    patience.tv_nsec = (deadline - now).count() % 1'000'000'000;
  }
  ::ppoll(waiting.data(), waiting.size(), deadline == kNever ? nullptr : &patience, nullptr);
  if (waiting.front().revents != 0) wake_->silence();
}

// ----------------------------------------------------------------------------------------- the events thread

void Runtime::run_events() {
  std::unique_lock lock(events_mutex_);
  for (;;) {
    events_there_.wait(lock, [this] { return !events_.empty() || look_at_modules_ || events_end_; });
    if (!events_.empty()) {
      const ClientEvent event = std::move(events_.front());
      events_.pop_front();
      lock.unlock();
      parts_.on_event(event);
    } else if (events_end_) {
      return;
    } else {
      look_at_modules_ = false;
      lock.unlock();
      watchers_->tell([this] { return parts_.views->pin(); });
    }
    lock.lock();
  }
}

// -------------------------------------------------------------------------------------------- other threads

SessionStatus Runtime::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

bool Runtime::in_lease() const {
  return SystemClock().now() < in_lease_until_.load();
}

Result<Pin> Runtime::pin_epoch(Epoch epoch, std::chrono::milliseconds timeout) {
  const auto answer = std::make_shared<std::promise<Result<Pin>>>();
  std::future<Result<Pin>> pin = answer->get_future();
  {
    const std::lock_guard lock(pins_mutex_);
    if (pins_end_) return Error{ErrorCode::kUnavailable, "The client has ended.", 0};
    wanted_pins_.push_back({epoch, timeout, answer});
  }
  wake_->ring();
  return pin.get();
}

bool Runtime::wait(const std::function<bool()>& done, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::min<std::chrono::milliseconds>(timeout, limits::kLongestWait), done);
}

}  // namespace moddev::client
