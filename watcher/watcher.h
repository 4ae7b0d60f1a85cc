// A directory in, finished snapshots of changed files out. The watcher knows nothing of modules, versions or
// sockets: it proves that a file is finished, copies its bytes into the blob store, and says which paths hold
// which digest. A state machine: step(now) does what is due, never blocks longer than one bounded piece of
// work, and never reads a clock. Everything it knows of the outside comes through the two seams FileSystem
// and EventSource.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/digest.h"
#include "protocol/result.h"
#include "watcher/file_system.h"

namespace moddev::watcher {

class EventSource;  // event_source.h

struct WatcherOptions {
  /// Wait for this much quiet on a path although the proof is conclusive; zero: at once.
  Duration debounce = Duration::zero();
  /// gitignore patterns in addition to the defaults of ignore_rules.h.
  std::vector<std::string> ignore;
  /// Whether symlinks may lead out of the watched directory.
  bool follow_outside = false;
};

/// The finished content of one path, or that there is none any more.
struct FileChange {
  /// Relative to the watched directory, with '/'.
  std::string path;
  /// The path that a symlink leads to, likewise relative (absolute when outside); equal to `path` for a plain
  /// file.
  std::string real_path;
  bool removed = false;
  Digest digest;
  std::uint64_t size = 0;
  /// When the first event of this change was read; for "from save to live" times.
  TimePoint noticed_at{};
};

/// Changes that belong together: they shall become one changeset.
struct Batch {
  std::vector<FileChange> changes;
};

/// A file that is there but is not published, and why. Repeated only when the reason changes.
struct Rejection {
  std::string path;
  std::string reason;
  friend bool operator==(const Rejection&, const Rejection&) = default;
};

/// Something that a person should know; `code` is stable for scripts.
struct Warning {
  std::string code;
  std::string message;
  friend bool operator==(const Warning&, const Warning&) = default;
};

/// A file whose content was proven, under a lease and long enough after its last change, when it had this
/// stat: as long as the machine runs, an equal stat proves the same content.
struct ProvenFile {
  std::string path;
  Digest digest;
  FileStat stat;
  friend bool operator==(const ProvenFile&, const ProvenFile&) = default;
};

/// A file that is there, or was when it was last seen, whose present content is not published.
struct Unpublished {
  enum class Why : std::uint8_t {
    kRefused,  // it is not acceptable as it is
    kWriting,  // it is not finished
    kFailed,   // it could not be read or kept, and is tried again
  };
  /// "." for the watched directory itself.
  std::string path;
  std::string reason;
  Why why = Why::kRefused;
  /// When this began.
  TimePoint since{};
  friend bool operator==(const Unpublished&, const Unpublished&) = default;
};

/// A build barrier that is over.
struct BuildEnd {
  std::uint64_t id = 0;
  /// It was not renewed in time; what it held back went out.
  bool released = false;
  /// How many changed files went out, or were put aside, when it ended. 0 when it was
  /// released, and while builds that overlap with it go on: the last of them has all.
  std::size_t files = 0;
  friend bool operator==(const BuildEnd&, const BuildEnd&) = default;
};

/// What step() found since the last take_output().
struct Output {
  std::vector<Batch> batches;
  std::vector<Rejection> rejections;
  std::vector<Warning> warnings;
  /// Syncs (see request_sync) that are complete: every change that was on disk at their request is in
  /// `batches` of this or an earlier output, or in `rejections`.
  std::vector<std::uint64_t> synced;
  /// Paths that hold other bytes than those that were handed out last, or that cannot be read, while what is
  /// there now cannot be handed out. The end of that is a change, also when the bytes are the same as before.
  std::vector<std::string> doubtful;
  /// Build barriers that ended; what they handed out is in `batches` of this output.
  std::vector<BuildEnd> builds;
};

class Watcher {
 public:
  /// The references must outlive the watcher. Nothing is read before the first step().
  Watcher(WatcherOptions options, FileSystem& file_system, EventSource& events, BlobStore& blobs);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// Before remember(): what a former run on this directory proved, since the machine was started. What is
  /// remembered with this digest, and found with this stat, need not be read again.
  void trust(std::vector<ProvenFile> files);
  /// What a later run may trust.
  [[nodiscard]] std::vector<ProvenFile> proven() const;

  /// Before the first step(): a former run handed out `digest` for `path`. In the first batch, or when it is
  /// known, comes what the path holds now, also when that is the same, or that it is removed.
  void remember(const std::string& path, const Digest& digest);

  /// Reads `path` in the next step although nothing was heard of it: the store may have lost its bytes.
  void read_again(const std::string& path);

  /// Does what is due. Returns when to call again at the latest; earlier when a descriptor becomes readable.
  /// The first full scan of the directory ends in one batch with every file there, which may be empty.
  TimePoint step(TimePoint now);
  [[nodiscard]] Output take_output();

  /// Asks for a barrier: its number comes back in Output::synced. Unless a build is held, what failed builds
  /// put aside goes out with it.
  [[nodiscard]] std::uint64_t request_sync();

  /// While any build barrier is held, nothing is handed out. end_build(id, true) hands out everything that
  /// changed meanwhile as one batch; end_build(id, false) puts it aside until the paths change again, the
  /// next successful build, or a sync. Builds that overlap count as one, which succeeds when all do. A
  /// barrier not renewed within the limit of limits.h is released with a warning. The end is told in
  /// Output::builds.
  [[nodiscard]] std::uint64_t begin_build(TimePoint now);
  void renew_build(std::uint64_t id, TimePoint now);
  void end_build(std::uint64_t id, bool success);

  /// Everything that is not published as it is on disk, by path.
  [[nodiscard]] std::vector<Unpublished> unpublished() const;
  /// Whether nothing is there at the moment, and it may still come back: no removal yet.
  [[nodiscard]] bool is_away(const std::string& path) const;

  /// Whether the initial scan is done and nothing is being written, proven or held back.
  [[nodiscard]] bool idle() const;
  /// Whether bytes are in the blob store, or will be soon, that no output has told of yet: not idle, or
  /// something that a failed build left is put aside.
  [[nodiscard]] bool holds_back() const;
  [[nodiscard]] std::vector<int> descriptors() const;
  /// "inotify", "polling", "fsevents", as EventSource names itself.
  [[nodiscard]] std::string backend() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev::watcher
