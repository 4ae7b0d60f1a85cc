// What inotify would tell of a FakeFileSystem, with everything that can go wrong with telling: events
// dropped, merged, held back, halves of renames apart, an overflowing queue, no more watches.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/watcher/fake_file_system.h"
#include "watcher/event_source.h"

namespace moddev::watcher::testing {

class FakeEventSource final : public EventSource {
 public:
  /// Listens to `world`, which must outlive it.
  explicit FakeEventSource(FakeFileSystem& world);
  ~FakeEventSource() override;

  /// Decides for each event whether it gets lost, silently: what no kernel does, and NFS does.
  std::function<bool(const WatchEvent&)> lose;
  /// Longer queues become one kOverflow (max_queued_events).
  void set_queue_limit(std::size_t limit) { queue_limit_ = limit; }
  /// Everything queued is lost, and kOverflow says so.
  void overflow();
  /// While held back, read() returns nothing; nothing gets lost.
  void hold_back(bool held) { held_back_ = held; }
  /// kRenamedAway becomes kRemoved, as when the second half comes in another read.
  void split_renames(bool split) { split_renames_ = split; }
  /// Identical neighbours become one, as in the kernel. On at first.
  void merge(bool merged) { merge_ = merged; }
  void set_watch_limit(std::size_t limit) { watch_limit_ = limit; }
  /// An event of the test's own, e.g. a wrong hint.
  void inject(WatchEvent event) { queue_.push_back(std::move(event)); }

  [[nodiscard]] std::size_t queued() const { return queue_.size(); }
  [[nodiscard]] bool watches(const std::string& path) const { return watches_.contains(path); }
  [[nodiscard]] std::size_t watch_count() const { return watches_.size(); }

  Status watch_directory(const std::string& path) override;
  void unwatch_directory(const std::string& path) override { watches_.erase(path); }
  std::vector<WatchEvent> read(TimePoint now) override;
  [[nodiscard]] TimePoint next_poll() const override { return kNever; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }
  [[nodiscard]] std::string name() const override { return "fake"; }
  [[nodiscard]] std::string limit_advice(std::size_t needed) const override {
    return "the fake has only " + std::to_string(watch_limit_) + " watches and " + std::to_string(needed) +
           " are needed";
  }

 private:
  void hear(const WatchEvent& event);

  FakeFileSystem& world_;
  std::map<std::string, std::uint64_t> watches_;  // path to the inode that is watched
  std::deque<WatchEvent> queue_;
  std::size_t queue_limit_ = 16'384;
  std::size_t watch_limit_ = 1'000'000;
  bool held_back_ = false;
  bool split_renames_ = false;
  bool merge_ = true;
};

}  // namespace moddev::watcher::testing
