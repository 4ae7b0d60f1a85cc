// Who wants to be told when a module changes. Level-triggered: what counts is the difference between what a
// watcher was told last and what is live now, so a change is told although the event that announced it was
// dropped, and several changes in a row may be told as one. It has no thread of its own: tell() is called by
// one.
#pragma once

#include <moddev/view.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace moddev::client {

/// From any thread, but for tell().
class ChangeWatchers {
 public:
  using Callback = std::function<void(const Pin&)>;

  /// `wake` is called when tell() has something to do that no epoch brings. Replaced by an empty one before
  /// what it refers to goes away.
  void on_wanted(std::function<void()> wake);

  std::uint64_t add(std::string module, Callback callback);
  /// Its callback does not run any more when this returns, unless this is called from the callback itself.
  void remove(std::uint64_t id);

  /// Calls those whose module is another one in the current view than they were told last. One thread.
  void tell(const std::function<Pin()>& pin);

 private:
  struct Watcher {
    std::uint64_t id = 0;
    std::string module;
    Callback callback;
    std::string told;  // the digest; empty: nothing there
  };
  std::mutex mutex_;
  std::condition_variable finished_;
  std::function<void()> wake_;
  std::vector<Watcher> watchers_;
  std::uint64_t last_id_ = 0;
  std::uint64_t running_ = 0;
  std::thread::id teller_;
};

}  // namespace moddev::client
