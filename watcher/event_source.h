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
    kClosedWrite,  // the last reference to an open-for-writing file went
    kRemoved,      // deleted or renamed away
    kDirectory,    // a directory appeared at the path: watch it, then list it
    kOverflow,     // events were lost: look at everything
    kRootGone,     // the watched directory itself is no more at its path
  };
  Kind kind = Kind::kChanged;
  std::string path;  // relative to the watched directory; empty for kOverflow and kRootGone
  friend bool operator==(const WatchEvent&, const WatchEvent&) = default;
};

class EventSource {
 public:
  virtual ~EventSource() = default;
  /// Starts to report the entries of the directory `path`. Watch first, then list. Errors: kLimit when the
  /// system's number of watches is used up; kNotFound when it vanished.
  virtual Status watch_directory(const std::string& path) = 0;
  virtual void unwatch_directory(const std::string& path) = 0;
  /// The events that came since the last call; never blocks.
  virtual std::vector<WatchEvent> read(TimePoint now) = 0;
  /// When read() should be called although no descriptor is readable (polling); kNever for event-driven
  /// sources.
  [[nodiscard]] virtual TimePoint next_poll() const = 0;
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace moddev::watcher
