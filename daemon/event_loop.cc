#include "daemon/event_loop.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <vector>

namespace moddev::daemon {
namespace {

constexpr int kGoOn = -1;

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

/// The signal mask of the thread that made the loop, to be put back.
struct EventLoop::Signals {
  sigset_t before{};
  pthread_t owner = ::pthread_self();
};

Result<std::unique_ptr<EventLoop>> EventLoop::create(EventLoopOptions options, Clock& clock) {
  const int stop_descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_descriptor < 0) return errno_error("Cannot make an eventfd", errno);
  std::unique_ptr<EventLoop> loop(new EventLoop(clock, -1, stop_descriptor));
  if (!options.signals) return loop;
  const sigset_t set = ending_signals();
  auto signals = std::make_unique<Signals>();
  // Blocked, or the default action would end the process before anyone reads the descriptor (signalfd(2)).
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, &signals->before); error != 0) {
    return errno_error("Cannot block signals", error);
  }
  loop->signals_ = std::move(signals);
  loop->signal_descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (loop->signal_descriptor_ < 0) return errno_error("Cannot make a signalfd", errno);
  return loop;
}

EventLoop::EventLoop(Clock& clock, int signal_descriptor, int stop_descriptor)
    : clock_(clock), signal_descriptor_(signal_descriptor), stop_descriptor_(stop_descriptor) {}

EventLoop::~EventLoop() {
  if (signal_descriptor_ >= 0) ::close(signal_descriptor_);
  ::close(stop_descriptor_);
  if (signals_ && ::pthread_equal(signals_->owner, ::pthread_self()) != 0) {
    ::pthread_sigmask(SIG_SETMASK, &signals_->before, nullptr);
  }
}

int EventLoop::run(Daemon& daemon, const std::function<void(const DaemonEvent&)>& on_event) {
  for (;;) {
    const TimePoint due = daemon.step(clock_.now(), clock_.wall_now());
    for (const DaemonEvent& event : daemon.take_events()) on_event(event);
    const int ended = wait(daemon, due);
    if (ended != kGoOn) return ended;
  }
}

void EventLoop::stop() {
  const std::uint64_t one = 1;
  // A full counter means that it is readable already.
  [[maybe_unused]] const ssize_t written = ::write(stop_descriptor_, &one, sizeof one);
}

int EventLoop::wait(const Daemon& daemon, TimePoint deadline) {
  std::vector<pollfd> polled;
  polled.push_back({stop_descriptor_, POLLIN, 0});
  polled.push_back({signal_descriptor_, POLLIN, 0});  // poll(2) passes over -1
  for (const int descriptor : daemon.descriptors()) polled.push_back({descriptor, POLLIN, 0});

  timespec timeout{};
  const timespec* limit = nullptr;
  if (deadline != kNever) {
    const Duration left = std::max(deadline - clock_.now(), Duration::zero());
    timeout.tv_sec = left.count() / 1'000'000'000;
    timeout.tv_nsec = left.count() % 1'000'000'000;
    limit = &timeout;
  }
  if (::ppoll(polled.data(), polled.size(), limit, nullptr) <= 0) return kGoOn;
  if (polled[0].revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(stop_descriptor_, &count, sizeof count);
    return 0;
  }
  if (polled[1].revents != 0) {
    signalfd_siginfo info{};
    if (::read(signal_descriptor_, &info, sizeof info) == sizeof info)
      return static_cast<int>(info.ssi_signo);
  }
  return kGoOn;
}

}  // namespace moddev::daemon
