// A watcher on a real directory, driven by poll(2) as the event loop does it, and what its listener was told.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "tests/support/watcher/world.h"
#include "watcher/backend.h"
#include "watcher/event_source.h"
#include "watcher/posix_file_system.h"
#include "watcher/watcher.h"

namespace moddev::watcher::testing {

/// An empty directory, removed with all that is in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, std::string_view content);
[[nodiscard]] std::string read_file(const std::filesystem::path& path);
/// Every regular file below `root` by its relative path, but for those that the default rules ignore.
[[nodiscard]] std::map<std::string, std::string> files_below(const std::filesystem::path& root);
/// Runs a shell command to its end; returns its exit status.
int run_command(const std::string& command);

/// The number in an environment variable, for longer runs by hand; else `usual`.
int count_from_environment(const char* name, int usual);

/// Forwards to another source; `lose` decides which events get lost.
class LossySource final : public EventSource {
 public:
  explicit LossySource(std::unique_ptr<EventSource> source) : source_(std::move(source)) {}
  std::function<bool(const WatchEvent&)> lose;
  bool overflow_next = false;  // the next read() returns kOverflow instead of what is there

  Status watch_directory(const std::string& path) override { return source_->watch_directory(path); }
  void unwatch_directory(const std::string& path) override { source_->unwatch_directory(path); }
  std::vector<WatchEvent> read(TimePoint now) override;
  [[nodiscard]] TimePoint next_poll() const override { return source_->next_poll(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return source_->descriptors(); }
  [[nodiscard]] std::string name() const override { return source_->name(); }
  [[nodiscard]] std::string limit_advice(std::size_t needed) const override {
    return source_->limit_advice(needed);
  }

 private:
  std::unique_ptr<EventSource> source_;
};

class RealWorld {
 public:
  /// `backend` as for choose_backend().
  explicit RealWorld(std::string_view backend = "inotify", WatcherOptions options = {});

  /// One step now.
  void step();
  /// Drives the watcher until `condition` holds; false when `patience` ran out first.
  bool run_until(const std::function<bool()>& condition, Duration patience = std::chrono::seconds(20));
  /// Drives it for so long, to see that nothing more comes.
  void run(Duration length);
  /// Everything that is on disk now is told when this returns true.
  bool sync(Duration patience = std::chrono::seconds(20));
  bool start() {
    return run_until([this] { return !listener.batches.empty(); });
  }

  [[nodiscard]] std::filesystem::path path(std::string_view relative) const { return root / relative; }

  TemporaryDirectory directory;
  std::filesystem::path root;
  SystemClock clock;
  std::unique_ptr<PosixFileSystem> files;
  std::unique_ptr<LossySource> events;
  MemoryBlobStore blobs;
  std::unique_ptr<Watcher> watcher;
  Listener listener{blobs};
  /// Sees every output before the listener, e.g. to check each published content.
  std::function<void(const Output&)> on_output;
};

}  // namespace moddev::watcher::testing
