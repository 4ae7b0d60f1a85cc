#include "watcher/inotify_source.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <fstream>

#include "watcher/inotify_decode.h"
#include "watcher/limits.h"

namespace moddev::watcher {

Result<std::unique_ptr<InotifySource>> InotifySource::create(const std::string& root) {
  const int descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor >= 0) return std::unique_ptr<InotifySource>(new InotifySource(root, descriptor));
  const int err = errno;
  if (err == EMFILE) {
    const std::uint64_t value = inotify_limit("max_user_instances");
    return Error{ErrorCode::kLimit, inotify_limit_advice("max_user_instances", value, value + 1), err};
  }
  return errno_error("inotify is not available", err);
}

InotifySource::InotifySource(std::string root, int descriptor)
    : root_(std::move(root)), descriptor_(descriptor), buffer_(limits::kInotifyBufferBytes) {}

InotifySource::~InotifySource() {
  ::close(descriptor_);
}

Status InotifySource::watch_directory(const std::string& path) {
  const bool outside = !path.empty() && path.front() == '/';
  std::string absolute = outside ? path : root_;
  if (!outside && !path.empty()) absolute += (absolute.back() == '/' ? "" : "/") + path;
  // The root may be a symlink; a directory inside that became one is a different thing.
  const std::uint32_t follow = outside || path.empty() ? 0U : static_cast<std::uint32_t>(IN_DONT_FOLLOW);
  const int watch = ::inotify_add_watch(descriptor_, absolute.c_str(), inotify_mask() | follow);
  if (watch < 0) {
    const int err = errno;
    if (err != ENOSPC) return errno_error("cannot watch the directory '" + absolute + "'", err);
    return Error{ErrorCode::kLimit, "no inotify watch is left for '" + absolute + "'", err};
  }
  const auto old = watches_.find(path);
  if (old != watches_.end() && old->second != watch) {
    // The path names another directory than before; the old one, if it lives, is told about elsewhere.
    const int stale = old->second;
    watches_.erase(old);
    const auto found = paths_.find(stale);
    if (found != paths_.end() && found->second == path) {
      paths_.erase(found);
      ::inotify_rm_watch(descriptor_, stale);
    }
  }
  auto [known, is_new] = paths_.try_emplace(watch, path);
  if (!is_new && known->second != path) {
    // The directory was moved here: the watch follows the inode.
    const auto previous = watches_.find(known->second);
    if (previous != watches_.end() && previous->second == watch) watches_.erase(previous);
    known->second = path;
  }
  watches_[path] = watch;
  return {};
}

void InotifySource::unwatch_directory(const std::string& path) {
  const auto found = watches_.find(path);
  if (found == watches_.end()) return;
  const int watch = found->second;
  watches_.erase(found);
  if (paths_.erase(watch) != 0) ::inotify_rm_watch(descriptor_, watch);
}

void InotifySource::forget(int watch) {
  const auto found = paths_.find(watch);
  if (found == paths_.end()) return;
  const auto path = watches_.find(found->second);
  if (path != watches_.end() && path->second == watch) watches_.erase(path);
  paths_.erase(found);
}

std::vector<WatchEvent> InotifySource::read(TimePoint /*now*/) {
  std::vector<WatchEvent> events;
  const auto directory_of = [this](int watch) -> const std::string* {
    const auto found = paths_.find(watch);
    return found == paths_.end() ? nullptr : &found->second;
  };
  for (int i = 0; i < limits::kInotifyReads; ++i) {
    const ssize_t n = ::read(descriptor_, buffer_.data(), buffer_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const auto size = static_cast<std::size_t>(n);
    const std::vector<InotifyRecord> records = parse_inotify(std::span(buffer_).first(size));
    InotifyDecoded decoded = decode_inotify(records, directory_of);
    for (const int watch : decoded.ended) forget(watch);
    if (events.empty()) {
      events = std::move(decoded.events);
    } else {
      std::move(decoded.events.begin(), decoded.events.end(), std::back_inserter(events));
    }
    // A buffer with room for one more event was the last one.
    if (size + sizeof(inotify_event) + NAME_MAX + 1 <= buffer_.size()) break;
  }
  return events;
}

std::string inotify_limit_advice(std::string_view sysctl, std::uint64_t value, std::uint64_t needed) {
  const std::string key = "fs.inotify." + std::string(sysctl);
  const std::uint64_t proposal = std::bit_ceil(std::max<std::uint64_t>(needed, value) + needed / 4 + 1);
  return "the system's limit " + key + " = " + std::to_string(value) + " is used up, and " +
         std::to_string(needed) + " are needed here; raise it with: sudo sysctl -w " + key + "=" +
         std::to_string(proposal);
}

std::uint64_t inotify_limit(std::string_view sysctl) {
  std::ifstream file("/proc/sys/fs/inotify/" + std::string(sysctl));
  std::uint64_t value = 0;
  file >> value;
  return value;
}

}  // namespace moddev::watcher
