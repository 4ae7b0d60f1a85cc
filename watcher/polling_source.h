// The EventSource that needs none from the system: it compares listings and stats, round after round. For
// file systems whose writers no event tells of, for systems without inotify, and on request. It cannot see a
// change that leaves size, times and inode as they were; the watcher's proof makes up for what it can.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "watcher/event_source.h"
#include "watcher/file_system.h"

namespace moddev::watcher {

class PollingSource final : public EventSource {
 public:
  /// `files` must outlive it.
  explicit PollingSource(FileSystem& files) : files_(files) {}

  Status watch_directory(const std::string& path) override;
  void unwatch_directory(const std::string& path) override;
  /// Compares up to limits::kPollEntriesPerRead entries when a round is due.
  std::vector<WatchEvent> read(TimePoint now) override;
  [[nodiscard]] TimePoint next_poll() const override { return next_; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }
  [[nodiscard]] std::string name() const override { return "polling"; }

 private:
  struct Seen {
    FileStat stat;
    bool present = false;  // in the round that is under way
  };
  using Listing = std::map<std::string, Seen, std::less<>>;
  Status list(const std::string& path, Listing& listing, std::vector<WatchEvent>* events);
  void poll(const std::string& path, Listing& listing, std::vector<WatchEvent>& events);

  FileSystem& files_;
  std::map<std::string, Listing> directories_;
  std::string position_;  // where the round under way goes on
  bool in_round_ = false;
  bool root_gone_ = false;
  std::size_t entries_ = 0;  // of the round under way
  TimePoint next_{};         // the first read() is due at once
};

}  // namespace moddev::watcher
