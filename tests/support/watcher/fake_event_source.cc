#include "tests/support/watcher/fake_event_source.h"

namespace moddev::watcher::testing {

FakeEventSource::FakeEventSource(FakeFileSystem& world) : world_(world) {
  world_.on_event = [this](const WatchEvent& event) { hear(event); };
}

FakeEventSource::~FakeEventSource() {
  world_.on_event = nullptr;
}

void FakeEventSource::hear(const WatchEvent& event) {
  const std::size_t slash = event.path.rfind('/');
  const std::string parent = slash == std::string::npos ? std::string() : event.path.substr(0, slash);
  const auto watch = watches_.find(event.kind == WatchEvent::Kind::kRootGone ? std::string() : parent);
  if (watch == watches_.end()) return;
  // A watch follows its inode: another directory at the same path is not watched.
  const bool outside = parent.starts_with('/');
  if (event.kind != WatchEvent::Kind::kRootGone && !outside && world_.inode_of(parent) != watch->second)
    return;
  if (lose && lose(event)) return;
  WatchEvent told = event;
  if (told.kind == WatchEvent::Kind::kRenamedAway) {
    const std::size_t cut = told.target.rfind('/');
    const bool seen =
        watches_.contains(cut == std::string::npos ? std::string() : told.target.substr(0, cut));
    if (split_renames_ || !seen) told = {WatchEvent::Kind::kRemoved, event.path, {}};
  }
  if (merge_ && !queue_.empty() && queue_.back() == told) return;
  if (queue_.size() >= queue_limit_) {
    if (queue_.back().kind != WatchEvent::Kind::kOverflow)
      queue_.push_back({WatchEvent::Kind::kOverflow, {}, {}});
    return;
  }
  queue_.push_back(std::move(told));
  if (event.kind == WatchEvent::Kind::kRootGone) watches_.clear();
}

void FakeEventSource::overflow() {
  queue_.clear();
  queue_.push_back({WatchEvent::Kind::kOverflow, {}, {}});
}

Status FakeEventSource::watch_directory(const std::string& path) {
  if (path.starts_with('/')) {
    watches_[path] = 0;
    return {};
  }
  const auto inode = world_.inode_of(path);
  if (!inode) return Error{ErrorCode::kNotFound, "'" + path + "' is not there", 0};
  if (!watches_.contains(path) && watches_.size() >= watch_limit_)
    return Error{ErrorCode::kLimit, "no watch is left for '" + path + "'", 0};
  watches_[path] = *inode;
  return {};
}

std::vector<WatchEvent> FakeEventSource::read(TimePoint /*now*/) {
  if (held_back_) return {};
  std::vector<WatchEvent> events(queue_.begin(), queue_.end());
  queue_.clear();
  return events;
}

}  // namespace moddev::watcher::testing
