// The only place where the daemon waits: poll(2) over its descriptors, the signals that end it, and its next
// deadline. It decides nothing.
#pragma once

#include <functional>
#include <memory>

#include "daemon/daemon.h"
#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev::daemon {

struct EventLoopOptions {
  /// SIGINT and SIGTERM end run() instead of the process. They are blocked in the calling thread for as long
  /// as the loop exists, so make it before other threads.
  bool signals = true;
};

class EventLoop {
 public:
  /// `clock` must outlive the loop. Errors: kIo when descriptors are used up.
  static Result<std::unique_ptr<EventLoop>> create(EventLoopOptions options, Clock& clock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Drives `daemon` until a signal comes or stop() is called; `on_event` sees what happened, in order, on
  /// this thread. Returns the number of the signal, or 0.
  int run(Daemon& daemon, const std::function<void(const DaemonEvent&)>& on_event);
  /// From any thread, and from a signal handler: run() returns soon, also when it begins only later.
  void stop();

 private:
  EventLoop(Clock& clock, int signal_descriptor, int stop_descriptor);
  /// Waits for a descriptor, the deadline, a signal or stop(). Returns the signal, 0 for stop(), -1 to go on.
  int wait(const Daemon& daemon, TimePoint deadline);

  struct Signals;
  std::unique_ptr<Signals> signals_;
  Clock& clock_;
  int signal_descriptor_;
  int stop_descriptor_;
};

}  // namespace moddev::daemon
