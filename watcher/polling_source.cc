#include "watcher/polling_source.h"

#include "watcher/limits.h"
#include "watcher/tree.h"

namespace moddev::watcher {

using Kind = WatchEvent::Kind;

Status PollingSource::list(const std::string& path, Listing& listing, std::vector<WatchEvent>* events) {
  auto entries = files_.list(path);
  if (!entries) return entries.error();
  for (auto& [name, seen] : listing) seen.present = false;
  for (const DirectoryEntry& entry : *entries) {
    const std::string child = Tree::join(path, entry.name);
    auto stat = files_.lstat(child);
    if (!stat) continue;  // gone again
    ++entries_;
    auto [at, is_new] = listing.try_emplace(entry.name);
    const bool directory = stat->type == FileType::kDirectory;
    const bool replaced =
        is_new || at->second.stat.inode != stat->inode || at->second.stat.type != stat->type;
    // A directory's times change with its entries, and these are compared one by one.
    const bool changed = directory ? replaced : is_new || at->second.stat != *stat;
    at->second = {*stat, true};
    if (events != nullptr && changed)
      events->push_back({directory ? Kind::kDirectory : Kind::kChanged, child, {}});
  }
  for (auto at = listing.begin(); at != listing.end();) {
    if (at->second.present) {
      ++at;
      continue;
    }
    if (events != nullptr) events->push_back({Kind::kRemoved, Tree::join(path, at->first), {}});
    at = listing.erase(at);
  }
  return {};
}

Status PollingSource::watch_directory(const std::string& path) {
  const auto [at, is_new] = directories_.try_emplace(path);
  if (path.empty()) root_gone_ = false;
  if (!is_new) return {};
  // Whoever watches lists afterwards: what is there now needs no event.
  Status listed = list(path, at->second, nullptr);
  if (!listed) directories_.erase(at);
  return listed;
}

void PollingSource::unwatch_directory(const std::string& path) {
  directories_.erase(path);
}

void PollingSource::poll(const std::string& path, Listing& listing, std::vector<WatchEvent>& events) {
  const Status listed = list(path, listing, &events);
  if (listed || listed.error().code != ErrorCode::kNotFound || !path.empty() || root_gone_) return;
  root_gone_ = true;
  events.push_back({Kind::kRootGone, {}, {}});
}

std::vector<WatchEvent> PollingSource::read(TimePoint now) {
  std::vector<WatchEvent> events;
  if (now < next_) return events;
  auto at = in_round_ ? directories_.lower_bound(position_) : directories_.begin();
  if (!in_round_) entries_ = 0;
  in_round_ = true;
  const std::size_t limit = entries_ + limits::kPollEntriesPerRead;
  for (; at != directories_.end() && entries_ < limit; ++at) poll(at->first, at->second, events);
  in_round_ = at != directories_.end();
  if (in_round_) {
    position_ = at->first;
    next_ = now + limits::kPollInterval / 8;
  } else {
    next_ = now + limits::kPollInterval + limits::kPollCostPerEntry * static_cast<std::int64_t>(entries_);
  }
  return events;
}

}  // namespace moddev::watcher
