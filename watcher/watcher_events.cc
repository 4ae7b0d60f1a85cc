// What events do to paths: each is only a hint to look.
#include <algorithm>

#include "watcher/watcher_state.h"

namespace moddev::watcher {

bool Watcher::State::read_events() {
  const std::vector<WatchEvent> read = events.read(now);
  for (const WatchEvent& event : read) handle(event);
  return !read.empty();
}

void Watcher::State::handle(const WatchEvent& event) {
  using Kind = WatchEvent::Kind;
  // Something new may be what a dangling link waits for.
  if (!dangling.empty() && event.kind != Kind::kAttributes && tree.find(event.path) == nullptr)
    links_dirty = true;
  switch (event.kind) {
    case Kind::kOverflow:
      overflowed();
      return;
    case Kind::kRootGone:
      lost_root();
      return;
    case Kind::kDirectory:
      if (event.path.empty() || (event.path.front() != '/' && !rules.ignored(event.path, true)))
        queue_scan(event.path, true);
      return;
    default:
      break;
  }
  for (Sync& sync : syncs) {
    if (sync.stage == Sync::Stage::kCookie && sync.cookie == event.path) {
      (void)files.remove_cookie(sync.cookie);
      sync.stage = Sync::Stage::kScanning;
      queue_scan("", true);
      return;
    }
  }
  touch_links_to(event.path, event.kind);
  if (!event.path.empty() && event.path.front() == '/') return;  // watched for the links only
  const bool away = event.kind == Kind::kRemoved || event.kind == Kind::kRenamedAway;
  // A new name that counts makes the end of the old one certain; "x" to "x~" does not.
  const bool certain = event.kind == Kind::kRenamedAway && !rules.ignored_on_the_way(event.target);
  if (away && tree.has_directory(event.path)) forget_directory(event.path, certain);
  const Tree::Directory* directory = tree.directory(Tree::split(event.path).first);
  if (directory == nullptr || rules.ignored(event.path, false)) return;
  touch(event.path, event.kind, certain);
}

void Watcher::State::touch_links_to(const std::string& path, WatchEvent::Kind kind) {
  if (link_target.empty()) return;
  if (link_target.contains(path)) links_dirty = true;
  const auto found = links_to.find(path);
  if (found == links_to.end()) return;
  const std::set<std::string> links = found->second;
  for (const std::string& link : links) touch(link, kind, false);
}

void Watcher::State::touch(const std::string& path, WatchEvent::Kind kind, bool certain) {
  using Kind = WatchEvent::Kind;
  const bool away = kind == Kind::kRemoved || kind == Kind::kRenamedAway;
  auto found = pending.find(path);
  const bool is_new = found == pending.end();
  if (is_new) {
    KnownFile* known = tree.find(path);
    if (kind == Kind::kAttributes && known != nullptr && !known->digest.is_zero()) {
      // chmod, chown, link: the content is the same when the write time is. No link and no lease is needed to
      // see that, and ld.bfd's chmod after close costs no second copy.
      auto stat = link_target.contains(path) ? files.stat(path) : files.lstat(path);
      if (stat && same_file(*stat, known->stat, false)) {
        known->stat = *stat;
        return;
      }
    }
    if (away && known == nullptr && !rejected.contains(path) && !finished.contains(path)) return;
    found = pending.try_emplace(path).first;
    found->second.noticed_at = now;
    found->second.serial = next_serial++;
  }
  Pending& state = found->second;
  touched_at = now;
  state.earlier.reset();
  state.certain = certain;
  state.closed = kind == Kind::kClosedWrite;
  if (away && !certain) {
    wait(state, Stage::kMissing, limits::kRemovalGrace);
    return;
  }
  // More writing by a writer that is known: its close event will come.
  const bool writing = kind == Kind::kChanged || kind == Kind::kWritten;
  if (writing && state.stage == Stage::kWriting && !state.queued) return;
  state.tries = 0;
  state.pause = {};
  if (!away) state.empty_since = kNever;
  if (options.debounce > Duration::zero()) {
    wait(state, Stage::kQuiet, options.debounce);
  } else if (kind == Kind::kWritten && (is_new || state.stage != Stage::kReady)) {
    wait(state, Stage::kQuiet, limits::kCloseExpected);
  } else {
    make_ready(path, state);
  }
}

void Watcher::State::make_ready(const std::string& path, Pending& state) {
  state.stage = Stage::kReady;
  state.due = kNever;
  if (state.queued) return;
  state.queued = true;
  ready.push_back(path);
}

void Watcher::State::wait(Pending& state, Stage stage, Duration pause) {
  state.stage = stage;
  state.due = now + pause;
  next_due = std::min(next_due, state.due);
}

void Watcher::State::overflowed() {
  const bool again = last_overflow != TimePoint{} && now - last_overflow < limits::kOverflowForgiven;
  overflow_pause = !again ? Duration::zero()
                   : overflow_pause == Duration::zero()
                       ? Duration(limits::kOverflowPauseFirst)
                       : std::min<Duration>(2 * overflow_pause, limits::kOverflowPauseLast);
  last_overflow = now;
  if (!again)
    warn("events-lost",
         "more changed at once than the system could report, so the whole directory is looked at again; "
         "nothing is "
         "missed, it only takes longer");
  overflow_rescan_at = std::min(overflow_rescan_at, now + overflow_pause);
}

void Watcher::State::check_links() {
  if (!links_dirty) return;
  links_dirty = false;
  std::vector<std::string> moved;
  for (const auto& [link, target] : link_target) {
    auto resolved = files.resolve(link);
    if (!resolved || *resolved != target) moved.push_back(link);
  }
  for (auto link = dangling.begin(); link != dangling.end();) {
    auto stat = files.lstat(*link);
    const bool is_link = stat && stat->type == FileType::kSymlink;
    if (is_link && !files.resolve(*link)) {
      ++link;
      continue;
    }
    if (is_link) moved.push_back(*link);
    link = dangling.erase(link);
  }
  for (const std::string& link : moved) touch(link, WatchEvent::Kind::kChanged, false);
}

void Watcher::State::set_link(const std::string& path, const std::string& target) {
  const auto known = link_target.find(path);
  if (known != link_target.end() && known->second == target) return;
  forget_link(path);
  dangling.erase(path);
  link_target[path] = target;
  links_to[target].insert(path);
  // Writers of the target are seen only where its directory is watched.
  const std::string parent(Tree::split(target).first);
  const Tree::Directory* directory = tree.directory(parent);
  if (directory != nullptr && !directory->gone) return;
  if (target_watches[parent]++ == 0) {
    const std::string watched = parent.empty() && target.front() == '/' ? "/" : parent;
    if (!events.watch_directory(watched))
      warn_once(
          "target " + watched, "target-unwatched",
          "the directory '" + watched + "', where the symlink '" + path +
              "' leads, cannot be watched: changes there are found only by the slow rescan and by 'moddev "
              "refresh'");
  }
}

void Watcher::State::forget_link(const std::string& path) {
  const auto known = link_target.find(path);
  if (known == link_target.end()) return;
  const std::string target = known->second;
  link_target.erase(known);
  auto& links = links_to[target];
  links.erase(path);
  if (links.empty()) links_to.erase(target);
  const std::string parent(Tree::split(target).first);
  const auto watched = target_watches.find(parent);
  if (watched == target_watches.end() || --watched->second > 0) return;
  target_watches.erase(watched);
  if (!tree.has_directory(parent)) events.unwatch_directory(parent);
}

}  // namespace moddev::watcher
