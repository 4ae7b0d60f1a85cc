#include "client/src/change_watchers.h"

#include <algorithm>
#include <utility>

namespace moddev::client {

void ChangeWatchers::on_wanted(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

std::uint64_t ChangeWatchers::add(std::string module, Callback callback) {
  const std::lock_guard lock(mutex_);
  watchers_.push_back({++last_id_, std::move(module), std::move(callback), {}});
  if (wake_) wake_();
  return last_id_;
}

void ChangeWatchers::remove(std::uint64_t id) {
  std::unique_lock lock(mutex_);
  std::erase_if(watchers_, [id](const Watcher& watcher) { return watcher.id == id; });
  if (teller_ == std::this_thread::get_id()) return;
  finished_.wait(lock, [this, id] { return running_ != id; });
}

void ChangeWatchers::tell(const std::function<Pin()>& pin) {
  std::unique_lock lock(mutex_);
  if (watchers_.empty()) return;
  teller_ = std::this_thread::get_id();
  const Pin current = pin();
  std::uint64_t done = 0;
  for (;;) {
    // Callbacks may add and remove watchers: the next one is looked up anew, by the order of the ids.
    const auto next = std::find_if(watchers_.begin(), watchers_.end(),
                                   [done](const Watcher& watcher) { return watcher.id > done; });
    if (next == watchers_.end()) break;
    done = next->id;
    const Result<ModuleInfo> info = current.module(next->module);
    std::string digest = info ? info->digest : std::string();
    if (digest == next->told) continue;
    next->told = std::move(digest);
    const Callback callback = next->callback;
    running_ = done;
    lock.unlock();
    callback(current);
    lock.lock();
    running_ = 0;
    finished_.notify_all();
  }
  teller_ = {};
}

}  // namespace moddev::client
