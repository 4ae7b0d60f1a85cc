#include "watcher/inotify_decode.h"

#include <sys/inotify.h>

#include <cstring>

namespace moddev::watcher {
namespace {

std::string join(const std::string& directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path += directory;
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

/// The path that the file of the record at `index` was renamed to, or "" when that half is not here.
std::string other_half(std::span<const InotifyRecord> records, std::size_t index,
                       const DirectoryOfWatch& directory_of) {
  const InotifyRecord& from = records[index];
  for (std::size_t i = index + 1; i < records.size(); ++i) {
    const InotifyRecord& to = records[i];
    if (to.cookie != from.cookie || (to.mask & IN_MOVED_TO) == 0) continue;
    const std::string* directory = directory_of(to.watch);
    return directory == nullptr ? std::string() : join(*directory, to.name);
  }
  return {};
}

/// What happened to the watched directory itself.
void decode_self(const InotifyRecord& record, const std::string& directory, std::vector<WatchEvent>& events) {
  const bool gone = (record.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0;
  if (directory.empty()) {
    if (gone) events.push_back({WatchEvent::Kind::kRootGone, {}, {}});
    if ((record.mask & IN_ATTRIB) != 0) events.push_back({WatchEvent::Kind::kDirectory, {}, {}});
  } else if ((record.mask & IN_UNMOUNT) != 0 || (gone && directory.front() == '/')) {
    // A parent inside tells about its directories; nobody tells about one outside, or under a mount.
    events.push_back({WatchEvent::Kind::kRemoved, directory, {}});
  }
}

void decode_entry(std::span<const InotifyRecord> records, std::size_t index, std::string path,
                  const DirectoryOfWatch& directory_of, std::vector<WatchEvent>& events) {
  using Kind = WatchEvent::Kind;
  const InotifyRecord& record = records[index];
  const std::uint32_t mask = record.mask;
  if ((mask & IN_ISDIR) != 0) {
    if ((mask & (IN_MOVED_FROM | IN_DELETE)) != 0) {
      std::string target = (mask & IN_MOVED_FROM) != 0 ? other_half(records, index, directory_of) : "";
      const Kind kind = target.empty() ? Kind::kRemoved : Kind::kRenamedAway;
      events.push_back({kind, std::move(path), std::move(target)});
      return;
    }
    // A change of mode may have made it readable.
    if ((mask & (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)) != 0)
      events.push_back({Kind::kDirectory, std::move(path), {}});
    return;
  }
  if ((mask & IN_MOVED_FROM) != 0) {
    std::string target = other_half(records, index, directory_of);
    const Kind kind = target.empty() ? Kind::kRemoved : Kind::kRenamedAway;
    events.push_back({kind, std::move(path), std::move(target)});
  } else if ((mask & IN_DELETE) != 0) {
    events.push_back({Kind::kRemoved, std::move(path), {}});
  } else if ((mask & IN_CLOSE_WRITE) != 0) {
    events.push_back({Kind::kClosedWrite, std::move(path), {}});
  } else if ((mask & IN_MOVED_TO) != 0) {
    events.push_back({Kind::kChanged, std::move(path), {}});
  } else if ((mask & (IN_CREATE | IN_MODIFY)) != 0) {
    events.push_back({Kind::kWritten, std::move(path), {}});
  } else if ((mask & IN_ATTRIB) != 0) {
    events.push_back({Kind::kAttributes, std::move(path), {}});
  }
}

}  // namespace

std::uint32_t inotify_mask() {
  // IN_MODIFY: truncate(2) gives nothing else. IN_EXCL_UNLINK: writes to a file that lost its name concern
  // nobody.
  return IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB |
         IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
}

std::vector<InotifyRecord> parse_inotify(std::span<const std::byte> bytes) {
  std::vector<InotifyRecord> records;
  while (bytes.size() >= sizeof(inotify_event)) {
    inotify_event head{};
    std::memcpy(&head, bytes.data(), sizeof head);
    bytes = bytes.subspan(sizeof head);
    if (head.len > bytes.size()) break;
    std::string_view name(reinterpret_cast<const char*>(bytes.data()), head.len);
    name = name.substr(0, name.find('\0'));  // padded with NULs
    records.push_back({head.wd, head.mask, head.cookie, name});
    bytes = bytes.subspan(head.len);
  }
  return records;
}

InotifyDecoded decode_inotify(std::span<const InotifyRecord> records, const DirectoryOfWatch& directory_of) {
  InotifyDecoded decoded;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const InotifyRecord& record = records[i];
    if ((record.mask & IN_Q_OVERFLOW) != 0) {
      decoded.events.push_back({WatchEvent::Kind::kOverflow, {}, {}});
      continue;
    }
    if ((record.mask & IN_IGNORED) != 0) {
      decoded.ended.push_back(record.watch);
      continue;
    }
    const std::string* directory = directory_of(record.watch);
    if (directory == nullptr) continue;
    const std::size_t before = decoded.events.size();
    if (record.name.empty()) {
      decode_self(record, *directory, decoded.events);
    } else {
      decode_entry(records, i, join(*directory, record.name), directory_of, decoded.events);
    }
    if (decoded.events.size() == before + 1 && before > 0 &&
        decoded.events[before] == decoded.events[before - 1]) {
      decoded.events.pop_back();
    }
  }
  return decoded;
}

}  // namespace moddev::watcher
