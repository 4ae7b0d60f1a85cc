// The daemon as a process of the simulated world: the production watcher, catalog, versioner, journal, fleet
// and request handler on fake seams. It can be killed at any operation on a seam; what a killed process
// leaves is what it had given to the operating system: the blobs, and the journal's files as they are at
// that moment.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "protocol/blob_store.h"
#include "tests/sim/weather.h"
#include "tests/support/watcher/fake_event_source.h"
#include "tests/support/watcher/fake_file_system.h"
#include "tests/support/world/faulty_blob_store.h"
#include "tests/support/world/sim_network.h"
#include "watcher/watcher.h"

namespace moddev::sim {

/// A directory in memory (tmpfs) for one world's journals; removed at the end.
class JournalDirectory {
 public:
  /// `on_disk` false: the journal does not outlive its daemon, and costs little.
  explicit JournalDirectory(bool on_disk);
  ~JournalDirectory();
  JournalDirectory(const JournalDirectory&) = delete;
  JournalDirectory& operator=(const JournalDirectory&) = delete;

  [[nodiscard]] std::filesystem::path current() const;
  /// The files as they are now become those of the next daemon: what a kill leaves.
  void freeze();
  /// Keeps a copy to return to: the disk of the planted bug.
  void remember();
  void forget_since_remembered();
  void lose();

 private:
  void copy(const std::filesystem::path& from, const std::filesystem::path& to) const;
  std::filesystem::path root_;
  unsigned generation_ = 0;
  bool remembered_ = false;
};

class DaemonProcess {
 public:
  DaemonProcess(const Weather& weather, Plant plant, watcher::testing::FakeFileSystem& files,
                SimNetwork& network);
  ~DaemonProcess();

  /// The observers of the transport, given to each new run.
  std::function<void(SimTransport&)> wire;
  std::function<void(const daemon::Journal&)> on_started;
  std::function<void()> on_stopped;

  void start(TimePoint now, WallTime wall);
  /// In good order.
  void stop();
  void kill();
  /// Dies at the `operations`-th operation on a seam from now.
  void kill_after(std::uint64_t operations) { left_ = operations; }
  void disarm() { left_.reset(); }

  [[nodiscard]] bool up() const { return daemon_ != nullptr; }
  /// Steps; returns false when it was killed meanwhile.
  bool step(TimePoint now, WallTime wall);
  [[nodiscard]] std::vector<daemon::DaemonEvent> take_events() { return daemon_->take_events(); }
  [[nodiscard]] TimePoint due() const { return due_; }
  /// Nothing is being written, looked at or held back, as far as the watcher knows.
  [[nodiscard]] bool watcher_idle() const { return watcher_->idle(); }
  [[nodiscard]] bool has_events() const { return events_ && !late_ && events_->queued() > 0; }

  [[nodiscard]] const daemon::Journal& journal() const { return *journal_; }
  [[nodiscard]] watcher::testing::FakeEventSource& events() { return *events_; }
  [[nodiscard]] FaultyBlobStore& blobs() { return blobs_; }
  [[nodiscard]] JournalDirectory& disk() { return disk_; }
  /// Events come late while this holds.
  void hold_events(bool held);
  std::function<bool(const watcher::WatchEvent&)> lose_event;

 private:
  void count_operation();

  const Weather& weather_;
  Plant plant_;
  watcher::testing::FakeFileSystem& files_;
  std::unique_ptr<watcher::FileSystem> lying_;
  SimNetwork& network_;
  MemoryBlobStore stored_;
  FaultyBlobStore blobs_{stored_};
  JournalDirectory disk_;
  std::optional<std::uint64_t> left_;
  bool late_ = false;
  TimePoint due_{};

  std::unique_ptr<watcher::testing::FakeEventSource> events_;
  std::unique_ptr<watcher::Watcher> watcher_;
  std::unique_ptr<daemon::Journal> journal_;
  std::unique_ptr<SimTransport> transport_;
  std::unique_ptr<daemon::Daemon> daemon_;
};

}  // namespace moddev::sim
