// What inotify's bytes mean. Pure: bytes and records in, events out; no descriptor is touched here.
// inotify(7) and include/uapi/linux/inotify.h are the source of every rule.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/event_source.h"

namespace moddev::watcher {

/// What is asked for on every directory.
[[nodiscard]] std::uint32_t inotify_mask();

/// One struct inotify_event. `name` points into the bytes that it was parsed from.
struct InotifyRecord {
  int watch = -1;
  std::uint32_t mask = 0;
  std::uint32_t cookie = 0;
  std::string_view name;
};

/// Splits what read(2) returned. A record that is cut off (the kernel writes none) ends the list.
[[nodiscard]] std::vector<InotifyRecord> parse_inotify(std::span<const std::byte> bytes);

/// The directory of a watch descriptor; null when it is no longer known.
using DirectoryOfWatch = std::function<const std::string*(int watch)>;

struct InotifyDecoded {
  std::vector<WatchEvent> events;
  /// Watches that the kernel has removed (IN_IGNORED).
  std::vector<int> ended;
};

/// Records of one read in their order. Identical neighbours become one event; the two halves of a rename of a
/// file become kRenamedAway and kChanged when both are here, and a removal and an appearance when not.
[[nodiscard]] InotifyDecoded decode_inotify(std::span<const InotifyRecord> records,
                                            const DirectoryOfWatch& directory_of);

}  // namespace moddev::watcher
