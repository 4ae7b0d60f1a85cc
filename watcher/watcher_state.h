// The inside of the watcher, shared by the watcher_*.cc files and by nobody else: one struct, whose functions
// are grouped by the step that they serve.
//
//   read_events -> touch -> ready ---look---> finished -> hand_out -> Output
//   scan --------> found --^        |-> waits (writer, quiet, grace, failure) with a due time, then ready
//   again
//
// A path that something is to be done about is in `pending`, in exactly one stage. What was proven and not
// yet handed out is in `finished`; what a failed build left behind is in `parked`.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "watcher/event_source.h"
#include "watcher/file_system.h"
#include "watcher/finished_proof.h"
#include "watcher/ignore_rules.h"
#include "watcher/limits.h"
#include "watcher/snapshotter.h"
#include "watcher/tree.h"
#include "watcher/watcher.h"

namespace moddev::watcher {

enum class Stage : std::uint8_t {
  kReady,    // to be looked at in this step; in `ready`
  kQuiet,    // the debounce, or a pause after looks that found no rest
  kWriting,  // a writer was seen: its close event, or the due time, brings it back
  kUnsure,   // seen once without a lease
  kEmpty,    // seen empty
  kTorn,     // seen not whole
  kMissing,  // vanished, perhaps for a moment
  kFailed,   // could not be read or stored
};

struct Pending {
  Stage stage = Stage::kReady;
  bool queued = false;   // is in `ready`
  bool certain = false;  // when it is not there, it is removed: without a grace
  bool late = false;     // was waited for long enough: holds nothing back any more
  bool reported_torn = false;
  bool closed = false;  // the last thing heard of it: a writer closed it
  bool aside = false;   // what its build changed is parked until this is done
  int tries = 0;
  std::uint64_t serial = 0;  // when it became pending, in the order of all
  TimePoint noticed_at{};
  TimePoint due = kNever;
  TimePoint empty_since = kNever;
  Duration pause{};
  std::optional<EarlierLook> earlier;
};

struct Sync {
  enum class Stage : std::uint8_t { kNew, kCookie, kScanning, kSettling };
  std::uint64_t id = 0;
  Stage stage = Stage::kNew;
  std::string cookie;
  TimePoint since{};  // when it was asked for
  TimePoint deadline = kNever;
  std::uint64_t serial = 0;        // pending paths before this one belong to it
  std::optional<bool> ends_build;  // the end of a build barrier, and whether it succeeded
  bool takes_parked = false;       // what failed builds put aside goes out with it
};

/// Why a path is not published.
struct Refusal {
  std::string reason;
  TimePoint since{};
  bool failed = false;           // could not be read or kept, and is tried again
  std::optional<FileStat> stat;  // of the file that was judged
};

struct Scan {
  std::string path;
  bool deep = true;  // also the directories below that are known already
};

/// A file that went out, and when last.
struct GivenLately {
  std::string path;
  TimePoint at{};
};

struct Watcher::State {
  State(WatcherOptions o, FileSystem& f, EventSource& e, BlobStore& b)
      : options(std::move(o)), files(f), events(e), blobs(b), rules(options.ignore), snapshotter(f, b) {}

  WatcherOptions options;
  FileSystem& files;
  EventSource& events;
  BlobStore& blobs;
  IgnoreRules rules;
  Snapshotter snapshotter;
  Tree tree;
  Output output;

  TimePoint now{};
  bool started = false;
  bool initial_handed_out = false;
  bool polling = false;
  // What is left of this step.
  std::uint64_t bytes_left = 0;
  std::size_t looks_left = 0;
  std::size_t directories_left = 0;

  std::unordered_map<std::string, Pending> pending;
  std::deque<std::string> ready;
  std::uint64_t next_serial = 1;
  TimePoint next_due = kNever;  // not later than the earliest due time in `pending`

  std::deque<Scan> scans;
  std::unordered_set<std::string> scans_queued;
  TimePoint slow_rescan_at = kNever;
  TimePoint overflow_rescan_at = kNever;
  TimePoint last_overflow{};
  Duration overflow_pause{};
  bool root_gone = false;
  TimePoint root_gone_since{};
  TimePoint root_retry_at = kNever;
  Duration root_pause{};
  std::set<std::string> unwatched;   // directories without events...
  std::set<std::string> over_limit;  // ... those among them for which no watch was left
  TimePoint unwatched_poll_at = kNever;

  std::map<std::string, FileChange> finished;
  TimePoint finished_since{};
  TimePoint touched_at{};             // when the last hint about any file came
  std::deque<GivenLately> given;      // the last limits::kBurstFiles different files that went out
  bool burst = false;                 // `finished` collects what follows many files that went out just now
  TimePoint store_ready_at = kNever;  // when it is made ready for what comes next
  std::map<std::string, FileChange> parked;
  std::unordered_map<std::string, ProvenFile> former;  // until the first step
  std::vector<std::string> forgotten;                  // remembered, but ignored nowadays
  std::unordered_map<std::string, Refusal> rejected;
  std::set<std::string> warned;

  // Symlinks: where each leads, and back.
  std::unordered_map<std::string, std::string> link_target;
  std::unordered_map<std::string, std::set<std::string>> links_to;
  std::unordered_map<std::string, std::size_t> target_watches;  // directories watched only for targets
  std::set<std::string> dangling;  // links that lead nowhere yet: what they lead to may still be built
  bool links_dirty = false;

  std::deque<Sync> syncs;
  std::uint64_t next_sync = 1;
  std::map<std::uint64_t, TimePoint> builds;  // until when each barrier holds
  std::uint64_t next_build = 1;
  bool build_failed = false;  // one of the builds that overlap

  // watcher.cc
  void start();
  void run_timers();
  [[nodiscard]] bool has_work() const;
  [[nodiscard]] TimePoint next_deadline();
  void warn(std::string code, std::string message);
  void warn_once(const std::string& key, std::string code, std::string message);
  void reject(const std::string& path, std::string reason,
              const std::optional<FileStat>& judged = std::nullopt, bool failed = false);
  /// As reject(), but a warning has told it.
  bool note_refusal(const std::string& path, const std::string& reason, const std::optional<FileStat>& judged,
                    bool failed);
  void doubt(const std::string& path);

  // watcher_events.cc: what events do to paths
  bool read_events();
  void handle(const WatchEvent& event);
  void touch(const std::string& path, WatchEvent::Kind kind, bool certain);
  void touch_links_to(const std::string& path, WatchEvent::Kind kind);
  void make_ready(const std::string& path, Pending& state);
  void wait(Pending& state, Stage stage, Duration pause);
  void overflowed();
  void check_links();
  void set_link(const std::string& path, const std::string& target);
  void forget_link(const std::string& path);

  // watcher_scan.cc: directories
  void queue_scan(const std::string& path, bool deep);
  void scan();
  void scan_directory(const std::string& path, bool deep);
  void found(const std::string& path, FileType type);
  void hand_over(const std::string& path, const Digest& digest, std::uint64_t size, TimePoint noticed);
  void forget_directory(const std::string& path, bool certain);
  void lost_root();
  void look_for_root();
  void watch(const std::string& path);
  void watched_again(const std::string& path);
  void tell_unwatched();
  [[nodiscard]] bool unchanged(const std::string& path, FileType type, const KnownFile& known);
  void plan_slow_rescan();

  // watcher_prove.cc: files
  /// Whether the store has a blob of this size; that its bytes are right is found out when they are read.
  [[nodiscard]] bool is_stored(const Digest& digest, std::uint64_t size) const;
  void look();
  void begin_look(const std::string& path);
  void begin_failed(const std::string& path, const Error& error);
  void look_behind_name(const std::string& path);
  void conclude();
  void keep_finished(const std::string& path, const Look& look);
  void vanished(const std::string& path);
  void removed(const std::string& path);
  void not_kept(const std::string& path, const Error& error);
  void failed(const std::string& path);
  void settle(const std::string& path);  // no longer pending

  // watcher_output.cc: what goes out, and when
  void progress_builds();
  /// The last of the builds that overlap is over: hands out, or puts aside, what they held. Returns how much.
  /// `since`: when the build said that it is done.
  std::size_t conclude_builds(TimePoint since);
  void take_parked(TimePoint since);
  /// Whether what is parked waits for files that could not be kept.
  [[nodiscard]] bool parked_is_part() const;
  /// A file that what is parked waited for is done with.
  void join_parked(const std::string& path);
  void progress_syncs();
  void progress_sync(Sync& sync);
  bool finish_sync(const Sync& sync);
  void hand_out();
  void flush();
  [[nodiscard]] bool holds(const Pending& state) const;
  [[nodiscard]] TimePoint hold_deadline();
  /// Nothing but removals is to go out, and more names vanished: `rm -r` takes one after the other.
  [[nodiscard]] bool removing_more() const;
  void begin_collecting();  // the first change since the last batch
  void remember_given(const Batch& batch);
};

}  // namespace moddev::watcher
