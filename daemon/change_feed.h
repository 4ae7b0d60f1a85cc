// What the daemon asks of whoever tells it what changed: the watcher, or a test's script.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "watcher/watcher.h"

namespace moddev::daemon {

/// The part of watcher::Watcher that the daemon uses, with the same promises.
class ChangeFeed {
 public:
  virtual ~ChangeFeed() = default;
  virtual void remember(const std::string& path, const Digest& digest) = 0;
  virtual void read_again(const std::string& path) = 0;
  virtual TimePoint step(TimePoint now) = 0;
  [[nodiscard]] virtual watcher::Output take_output() = 0;
  [[nodiscard]] virtual std::uint64_t request_sync() = 0;
  [[nodiscard]] virtual std::uint64_t begin_build(TimePoint now) = 0;
  virtual void renew_build(std::uint64_t id, TimePoint now) = 0;
  virtual void end_build(std::uint64_t id, bool success) = 0;
  /// Whether bytes are in the blob store, or will be soon, that no output has told of yet.
  [[nodiscard]] virtual bool holds_back() const = 0;
  [[nodiscard]] virtual std::vector<watcher::Unpublished> unpublished() const = 0;
  [[nodiscard]] virtual bool is_away(const std::string& path) const = 0;
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
  [[nodiscard]] virtual std::string backend() const = 0;
};

/// The watcher as a feed. The watcher must outlive it.
class WatcherFeed final : public ChangeFeed {
 public:
  explicit WatcherFeed(watcher::Watcher& watcher) : watcher_(watcher) {}
  void remember(const std::string& path, const Digest& digest) override { watcher_.remember(path, digest); }
  void read_again(const std::string& path) override { watcher_.read_again(path); }
  TimePoint step(TimePoint now) override { return watcher_.step(now); }
  [[nodiscard]] watcher::Output take_output() override { return watcher_.take_output(); }
  [[nodiscard]] std::uint64_t request_sync() override { return watcher_.request_sync(); }
  [[nodiscard]] std::uint64_t begin_build(TimePoint now) override { return watcher_.begin_build(now); }
  void renew_build(std::uint64_t id, TimePoint now) override { watcher_.renew_build(id, now); }
  void end_build(std::uint64_t id, bool success) override { watcher_.end_build(id, success); }
  [[nodiscard]] bool holds_back() const override { return watcher_.holds_back(); }
  [[nodiscard]] std::vector<watcher::Unpublished> unpublished() const override {
    return watcher_.unpublished();
  }
  [[nodiscard]] bool is_away(const std::string& path) const override { return watcher_.is_away(path); }
  [[nodiscard]] std::vector<int> descriptors() const override { return watcher_.descriptors(); }
  [[nodiscard]] std::string backend() const override { return watcher_.backend(); }

 private:
  watcher::Watcher& watcher_;
};

}  // namespace moddev::daemon
