// The daemon as a process of the simulated world: the production watcher, catalog, versioner, journal, fleet
// and request handler on fake seams. It can be killed at any operation on a seam and in the middle of any
// write of its journal; what a killed process leaves is what it had given to the operating system: the blobs,
// and the journal's files as they are at that moment. A power cut leaves less.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "protocol/blob_store.h"
#include "tests/sim/weather.h"
#include "tests/support/state/power_cut.h"
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
  /// Those that a power cut leaves do, and with this probability the lock file with what it witnesses. Not
  /// while a daemon runs.
  void cut_power(Random& random, double witness_stays);
  /// One page is overwritten. Not while a daemon runs.
  void damage(Random& random);
  /// What stands between the journal and the disk; nothing for one in memory.
  [[nodiscard]] daemon::testing::PowerCutDisk* disk() { return disk_ ? &*disk_ : nullptr; }
  [[nodiscard]] bool is_full() const { return disk_ && disk_->full; }
  /// Keeps a copy to return to: the disk of the planted bug.
  void remember();
  void forget_since_remembered();
  void lose();

 private:
  void copy(const std::filesystem::path& from, const std::filesystem::path& to) const;
  std::filesystem::path root_;
  std::optional<daemon::testing::PowerCutDisk> disk_;
  unsigned generation_ = 0;
  bool remembered_ = false;
};

/// How what a daemon left comes to the next one.
enum class Fate : std::uint8_t {
  kIntact,  // all of it: a killed process loses nothing, and one that ended in order not even to a power cut
  kPowerCut,  // sound, but the newest may be missing
  kLost       // damaged or gone
};

class DaemonProcess {
 public:
  DaemonProcess(const Weather& weather, Plant plant, watcher::testing::FakeFileSystem& files,
                SimNetwork& network, Random random);
  ~DaemonProcess();

  /// The observers of the transport, given to each new run.
  std::function<void(SimTransport&)> wire;
  std::function<void(const daemon::Journal&, Fate)> on_started;
  std::function<void()> on_stopped;
  /// Which executors it sees as living processes; null: none.
  std::function<bool(const ExecutorIdentity&)> still_there;

  /// Returns false when it died over it, or when its disk is full.
  bool start(TimePoint now, WallTime wall);
  /// In good order.
  void stop();
  void kill();
  /// Dies at the `operations`-th operation on a seam, or write of the journal, from now.
  void kill_after(std::uint64_t operations) { left_ = operations; }
  void disarm() { left_.reset(); }
  // What happens to its disk while it is down.
  void cut_power();
  void lose_journal();
  void damage_journal();
  /// The disk has no room for `blobs`, for the journal, or for both.
  void fill_disk(bool blobs, bool journal);
  void free_disk() { fill_disk(false, false); }
  [[nodiscard]] bool journal_is_full() const;

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
  /// Events come late while this holds.
  void hold_events(bool held);
  std::function<bool(const watcher::WatchEvent&)> lose_event;

 private:
  void count_operation();
  void watch_writes();
  void shut_down();
  [[nodiscard]] bool died_in_write() const { return frozen_; }

  const Weather& weather_;
  Plant plant_;
  watcher::testing::FakeFileSystem& files_;
  std::unique_ptr<watcher::FileSystem> lying_;
  SimNetwork& network_;
  MemoryBlobStore stored_;
  FaultyBlobStore blobs_{stored_};
  JournalDirectory disk_;
  Random random_;
  Fate fate_ = Fate::kIntact;
  unsigned boots_ = 1;
  bool ended_in_order_ = true;
  bool frozen_ = false;  // it died in a write; what it left is kept already
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
