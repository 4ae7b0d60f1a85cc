#include "protocol/background_hasher.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/result.h"

namespace moddev {

struct BackgroundHasher::State {
  explicit State(Hasher so_far) : hasher(std::move(so_far)) {}

  Hasher hasher;  // of the thread, once there is one
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Bytes> pieces;
  std::vector<Bytes> used;  // their memory serves again: fresh pages cost as much as the copy
  bool complete = false;
  std::thread thread;

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return !pieces.empty() || complete; });
      if (pieces.empty()) return;
      Bytes& piece = pieces.front();  // stays where it is while others are put behind it
      lock.unlock();
      hasher.update(piece);
      lock.lock();
      used.push_back(std::move(piece));
      pieces.pop_front();
      changed.notify_all();
    }
  }
  void end(bool drop) {
    if (!thread.joinable()) return;
    {
      const std::lock_guard lock(mutex);
      complete = true;
      // The front one is in work.
      if (drop && pieces.size() > 1) pieces.resize(1);
    }
    changed.notify_all();
    thread.join();
  }
};

BackgroundHasher::BackgroundHasher(Hasher so_far) : state_(std::make_unique<State>(std::move(so_far))) {
  // Signals belong to the program's own threads.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->thread = std::thread([state = state_.get()] { state->run(); });
    ::pthread_setname_np(state_->thread.native_handle(), "moddev-hash");
  } catch (const std::system_error&) {
    // Then it is done by the caller.
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BackgroundHasher::~BackgroundHasher() {
  state_->end(true);
}

void BackgroundHasher::update(std::span<const std::byte> piece) {
  State& s = *state_;
  if (!s.thread.joinable()) return s.hasher.update(piece);
  Bytes copy;
  {
    std::unique_lock lock(s.mutex);
    s.changed.wait(lock, [&s] { return s.pieces.size() < kHashedAhead; });
    if (!s.used.empty()) {
      copy = std::move(s.used.back());
      s.used.pop_back();
    }
  }
  copy.assign(piece.begin(), piece.end());
  {
    const std::lock_guard lock(s.mutex);
    s.pieces.push_back(std::move(copy));
  }
  s.changed.notify_all();
}

Digest BackgroundHasher::finish() {
  state_->end(false);
  return state_->hasher.finish();
}

}  // namespace moddev
