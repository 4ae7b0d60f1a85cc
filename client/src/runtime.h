// A running client: the session on a thread of its own, events for the user on another, and what other
// threads may know of it. It does not know where the daemon is or how it is reached: a Link is given to it,
// so that the same runtime serves over sockets and inside one process.
//
//   messages thread: step the session, publish its status, wait for a descriptor or the deadline
//   events thread:   calls on_event and whoever watches a module, one at a time
#pragma once

#include <moddev/client.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/src/change_watchers.h"
#include "client/src/discovery.h"
#include "client/src/last_epoch.h"
#include "client/src/loader.h"
#include "client/src/session.h"
#include "client/src/view_store.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/link.h"

namespace moddev::client {

/// An eventfd: readable from ring() to silence().
class WakeUp {
 public:
  static Result<std::unique_ptr<WakeUp>> create();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;
  void ring() const;
  void silence() const;
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  explicit WakeUp(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

/// What a client is made of. All are used by the messages thread only, but for `views`, whose pin() is for
/// all, and `on_event`.
struct RuntimeParts {
  SessionOptions session;
  std::unique_ptr<BlobStore> cache;
  std::shared_ptr<ViewStore> views;
  std::unique_ptr<Loader> loader;
  std::unique_ptr<Link> link;
  std::function<void(const ClientEvent&)> on_event;
  /// Called on the messages thread with what runs, while the daemon is there: after a new epoch was applied
  /// and told, and once more when the daemon is lost or left. For a start without a daemon. May be empty.
  std::function<void(const Remembered& what)> remember;
  /// Called on the messages thread, at most every limits::kTrustLook: whom to believe, if that has changed.
  /// May be empty.
  std::function<std::optional<Believed>()> believed;
  /// What was remembered last time.
  std::optional<Remembered> remembered;
  /// Kept until all the rest is gone: who is at the other end of a link inside this process.
  std::shared_ptr<void> outlives;
};

class Runtime {
 public:
  static Result<std::unique_ptr<Runtime>> start(RuntimeParts parts);
  /// Leaves the fleet and ends the threads.
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// From any thread: the newest status.
  [[nodiscard]] SessionStatus status() const;
  /// Waits until `done` (called under a lock, whenever something changed) or the deadline. Returns whether it
  /// was done.
  bool wait(const std::function<bool()>& done, std::chrono::milliseconds timeout) const;
  /// Whether Session::in_lease_until() is to come. Without a lock.
  [[nodiscard]] bool in_lease() const;
  /// Session::pin_epoch() from any other thread; waits for its answer.
  [[nodiscard]] Result<Pin> pin_epoch(Epoch epoch, std::chrono::milliseconds timeout);
  [[nodiscard]] const std::shared_ptr<ViewStore>& views() const { return parts_.views; }
  /// May outlive the runtime, and is silent then.
  [[nodiscard]] const std::shared_ptr<ChangeWatchers>& watchers() const { return watchers_; }
  [[nodiscard]] const SessionOptions& options() const { return parts_.session; }

 private:
  Runtime(RuntimeParts parts, std::unique_ptr<WakeUp> wake);
  void run_messages();
  void run_events();
  void publish_status();
  void hand_over_events();
  void look_at_modules();
  void remember_applied(bool leaving);
  void say_goodbye();
  void look_whom_to_believe();
  void hand_over_pins();
  void refuse_pins();
  void wait_for_something(TimePoint deadline);

  RuntimeParts parts_;
  std::unique_ptr<WakeUp> wake_;
  SystemClock clock_;
  std::unique_ptr<Session> session_;
  std::atomic<bool> stopping_ = false;
  std::atomic<TimePoint> in_lease_until_{TimePoint{}};
  std::shared_ptr<const View> remembered_;
  TimePoint remember_at_ = kNever;
  TimePoint look_at_{};
  bool was_connected_ = false;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  SessionStatus status_;

  struct WantedPin {
    Epoch epoch = 0;
    std::chrono::milliseconds timeout{};
    std::shared_ptr<std::promise<Result<Pin>>> answer;
  };
  std::mutex pins_mutex_;
  std::vector<WantedPin> wanted_pins_;
  bool pins_end_ = false;

  std::mutex events_mutex_;
  std::condition_variable events_there_;
  std::deque<ClientEvent> events_;
  bool events_end_ = false;
  bool look_at_modules_ = false;
  std::shared_ptr<ChangeWatchers> watchers_ = std::make_shared<ChangeWatchers>();

  std::thread events_thread_;
  std::thread messages_thread_;
};

}  // namespace moddev::client
