// Directories: watch first, then list, and compare with what is known.
#include <algorithm>
#include <utility>

#include "watcher/watcher_state.h"

namespace moddev::watcher {

void Watcher::State::queue_scan(const std::string& path, bool deep) {
  if (scans_queued.insert(path).second) {
    scans.push_back({path, deep});
    return;
  }
  if (!deep) return;
  for (Scan& scan : scans) {
    if (scan.path == path) scan.deep = true;
  }
}

void Watcher::State::scan() {
  // Looking goes before scanning, so that the list of files to look at stays short in a large tree.
  while (!root_gone && !scans.empty() && directories_left > 0 && ready.size() < limits::kLooksPerStep) {
    --directories_left;
    Scan next = std::move(scans.front());
    scans.pop_front();
    scans_queued.erase(next.path);
    scan_directory(next.path, next.deep);
    if (!dangling.empty()) links_dirty = true;
    if (scans.empty()) {
      plan_slow_rescan();
      tell_unwatched();
    }
  }
}

void Watcher::State::plan_slow_rescan() {
  const auto factor = 1 + static_cast<std::int64_t>(tree.file_count() / limits::kSlowRescanFiles);
  slow_rescan_at = now + limits::kSlowRescan * factor;
}

void Watcher::State::watch(const std::string& path) {
  const Status status = events.watch_directory(path);
  if (status) {
    watched_again(path);
    return;
  }
  if (status.error().code == ErrorCode::kNotFound) return;  // listing it will tell
  if (status.error().code == ErrorCode::kLimit) {
    over_limit.insert(path);
  } else if (status.error().code != ErrorCode::kPermission) {  // it cannot be listed either, and that is told
    warn_once("watch " + path, "directory-unwatched",
              status.error().message + "; it is listed every " +
                  std::to_string(std::chrono::seconds(limits::kUnwatchedPoll).count()) + " s instead");
  }
  unwatched.insert(path);
  unwatched_poll_at = std::min(unwatched_poll_at, now + limits::kUnwatchedPoll);
}

void Watcher::State::watched_again(const std::string& path) {
  unwatched.erase(path);
  over_limit.erase(path);
  if (unwatched.empty()) unwatched_poll_at = kNever;
}

void Watcher::State::tell_unwatched() {
  if (over_limit.empty()) {
    warned.erase("watch-limit");  // told again when it happens again
    return;
  }
  const std::string advice = events.limit_advice(tree.directory_count());
  if (advice.empty()) return;
  warn_once("watch-limit", "watch-limit",
            std::to_string(over_limit.size()) + " of " + std::to_string(tree.directory_count()) +
                " directories get no events, because " + advice +
                ". Until then these directories are listed every " +
                std::to_string(std::chrono::seconds(limits::kUnwatchedPoll).count()) +
                " s, so their changes come later and cost more");
}

void Watcher::State::scan_directory(const std::string& path, bool deep) {
  const auto depth = static_cast<std::size_t>(std::ranges::count(path, '/'));
  if (depth >= limits::kDirectoryDepth) {
    warn_once("depth " + path, "too-deep",
              "the directory '" + path + "' is nested deeper than " +
                  std::to_string(limits::kDirectoryDepth) + " levels and is not watched");
    return;
  }
  watch(path);
  auto listed = files.list(path);
  if (!listed) {
    if (listed.error().code == ErrorCode::kNotFound) {
      if (path.empty())
        lost_root();
      else
        forget_directory(path, false);
    } else {
      // Not to see is not to know: what was published from there stays.
      const std::string& why = listed.error().message;
      reject(path.empty() ? "." : path,
             why + "; what was published from there stays. Make it readable, or ignore it");
    }
    return;
  }
  rejected.erase(path.empty() ? "." : path);
  Tree::Directory& directory = tree.add_directory(path);
  const bool is_new = directory.files.empty() && directory.gone == false;
  directory.gone = false;

  std::vector<DirectoryEntry>& entries = *listed;
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  const auto listed_as = [&entries](std::string_view name) -> const DirectoryEntry* {
    const auto at = std::ranges::lower_bound(
        entries, name, {}, [](const DirectoryEntry& e) { return std::string_view(e.name); });
    return at != entries.end() && at->name == name ? &*at : nullptr;
  };

  std::vector<std::string> missing;
  for (const KnownFile& file : directory.files) {
    const DirectoryEntry* entry = listed_as(file.name);
    if (entry == nullptr || entry->type == FileType::kDirectory)
      missing.push_back(Tree::join(path, file.name));
  }
  if (!is_new || deep) {
    for (const std::string& name : tree.subdirectories(path)) {
      const DirectoryEntry* entry = listed_as(name);
      const std::string child = Tree::join(path, name);
      if ((entry == nullptr || entry->type != FileType::kDirectory) && !tree.directory(child)->gone)
        forget_directory(child, false);
    }
  }
  for (const std::string& file : missing) touch(file, WatchEvent::Kind::kRemoved, false);

  for (const DirectoryEntry& entry : entries) {
    if (entry.type == FileType::kOther) continue;
    const std::string child = Tree::join(path, entry.name);
    if (rules.ignored(child, entry.type == FileType::kDirectory)) continue;
    if (entry.type == FileType::kDirectory) {
      const Tree::Directory* known = tree.directory(child);
      if (deep || known == nullptr || known->gone) queue_scan(child, true);
    } else {
      found(child, entry.type);
    }
  }
}

void Watcher::State::found(const std::string& path, FileType type) {
  const auto waiting = pending.find(path);
  if (waiting != pending.end()) {
    // It was gone for a moment only. Everything else that waits has its own reason and time.
    if (waiting->second.stage == Stage::kMissing) {
      waiting->second.certain = false;
      make_ready(path, waiting->second);
    }
    return;
  }
  KnownFile* known = tree.find(path);
  if (known != nullptr && !known->digest.is_zero() && unchanged(path, type, *known)) {
    if (std::exchange(known->trusted, false)) hand_over(path, known->digest, known->stat.size, now);
    return;
  }
  Pending& state = pending[path];
  state.noticed_at = now;
  state.serial = next_serial++;
  make_ready(path, state);
}

bool Watcher::State::unchanged(const std::string& path, FileType type, const KnownFile& known) {
  if (known.fresh && now - known.proven_at >= limits::kStampGranularity) return false;
  const auto link = link_target.find(path);
  if ((type == FileType::kSymlink) != (link != link_target.end())) return false;
  if (type == FileType::kSymlink) {
    auto target = files.resolve(path);
    if (!target || *target != link->second) return false;
  }
  auto stat = type == FileType::kSymlink ? files.stat(path) : files.lstat(path);
  return stat && same_file(*stat, known.stat, true);
}

void Watcher::State::forget_directory(const std::string& path, bool certain) {
  for (const std::string& below : tree.subtree(path)) {
    events.unwatch_directory(below);
    watched_again(below);
    rejected.erase(below);
    Tree::Directory* directory = tree.directory(below);
    directory->gone = true;
    std::vector<std::string> names;
    names.reserve(directory->files.size());
    for (const KnownFile& file : directory->files) names.push_back(file.name);
    for (const std::string& name : names) {
      const std::string file = Tree::join(below, name);
      touch(file, certain ? WatchEvent::Kind::kRenamedAway : WatchEvent::Kind::kRemoved, certain);
    }
    if (names.empty()) tree.remove_directory(below);
  }
  watched_again(path);  // it may never have been listed
  rejected.erase(path);
  // Files that were refused or are still waited for have no record in the tree.
  const std::string prefix = path + '/';
  for (auto& [name, state] : pending) {
    if (name.starts_with(prefix) && state.stage != Stage::kMissing) make_ready(name, state);
  }
}

void Watcher::State::lost_root() {
  if (root_gone) return;
  root_gone = true;
  root_gone_since = now;
  root_pause = limits::kRootRetryFirst;
  root_retry_at = now + root_pause;
  warn("root-gone",
       "the watched directory is gone; what was published from it stays, and it is watched again when it is "
       "back");
  for (const std::string& path : tree.subtree("")) events.unwatch_directory(path);
  unwatched.clear();
  over_limit.clear();
  unwatched_poll_at = kNever;
  scans.clear();
  scans_queued.clear();
  snapshotter.cancel();
  // A copy that was under way is begun again.
  for (auto& [path, state] : pending) {
    if (state.stage == Stage::kReady && !state.queued) make_ready(path, state);
  }
}

void Watcher::State::look_for_root() {
  auto stat = files.stat("");
  if (!stat || stat->type != FileType::kDirectory) {
    root_pause = std::min<Duration>(2 * root_pause, limits::kRootRetryLast);
    root_retry_at = now + root_pause;
    return;
  }
  root_gone = false;
  root_retry_at = kNever;
  warn("root-back", "the watched directory is back");
  for (auto& [path, state] : pending) {
    if (state.stage == Stage::kMissing) wait(state, Stage::kMissing, limits::kRemovalGrace);
  }
  queue_scan("", true);
}

}  // namespace moddev::watcher
