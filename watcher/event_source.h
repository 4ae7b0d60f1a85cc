// The EventSource seam: hints about which paths may have changed. Events may be merged, doubled, late or
// lost; the watcher treats each as "look at this path" and repairs losses by scanning. Implementations:
// inotify_source, polling_source, fsevents_source, and the simulation's fake.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev::watcher {

struct WatchEvent {
  enum class Kind : std::uint8_t {
    kChanged,      // something about the path: created, written, attributes, renamed here
    kWritten,      // created or written to, by somebody whose kClosedWrite is likely to follow
    kClosedWrite,  // the last reference to an open-for-writing file went
    kAttributes,   // mode, owner, link count or times, and nothing that writes content
    kRemoved,      // deleted or renamed away
    kRenamedAway,  // renamed to `target`, which has an event of its own
    kDirectory,    // a directory appeared at the path: watch it, then list it
    kOverflow,     // events were lost: look at everything
    kRootGone,     // the watched directory itself is no more at its path
  };
  Kind kind = Kind::kChanged;
  /// Relative to the watched directory (absolute below a directory that was watched by its absolute path);
  /// empty for kOverflow and kRootGone.
  std::string path;
  std::string target;  // kRenamedAway only
  friend bool operator==(const WatchEvent&, const WatchEvent&) = default;
};

class EventSource {
 public:
  virtual ~EventSource() = default;
  /// Starts to report the entries of the directory `path`; again for one that is watched already is harmless
  /// and repairs a watch on a directory that was replaced. Watch first, then list. An absolute path watches a
  /// directory outside. Errors: kLimit when the system's number of watches is used up; kNotFound when it
  /// vanished; kPermission.
  virtual Status watch_directory(const std::string& path) = 0;
  virtual void unwatch_directory(const std::string& path) = 0;
  /// The events that came since the last call; never blocks.
  virtual std::vector<WatchEvent> read(TimePoint now) = 0;
  /// When read() should be called although no descriptor is readable (polling); kNever for event-driven
  /// sources.
  [[nodiscard]] virtual TimePoint next_poll() const = 0;
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
  [[nodiscard]] virtual std::string name() const = 0;
  /// What a person can do about kLimit when `needed` directories are to be watched.
  [[nodiscard]] virtual std::string limit_advice(std::size_t /*needed*/) const { return {}; }
};

}  // namespace moddev::watcher
