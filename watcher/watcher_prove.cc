// Files: look, judge, and keep what is finished or wait for what may bring it further.
#include <algorithm>
#include <cerrno>

#include "watcher/watcher_state.h"

namespace moddev::watcher {
namespace {

Duration doubled(Duration pause, Duration first, Duration last) {
  return pause == Duration::zero() ? first : std::min(2 * pause, last);
}

}  // namespace

void Watcher::State::look() {
  while (!root_gone && looks_left > 0 && bytes_left > 0) {
    if (!snapshotter.busy()) {
      if (ready.empty()) return;
      const std::string path = std::move(ready.front());
      ready.pop_front();
      --looks_left;
      const auto found = pending.find(path);
      if (found == pending.end()) continue;
      found->second.queued = false;
      if (found->second.stage != Stage::kReady) continue;  // it vanished or is to be quiet first
      begin_look(path);
      if (!snapshotter.busy()) continue;
    }
    const auto complete = snapshotter.advance(bytes_left);
    if (!complete) {
      begin_failed(snapshotter.path(), complete.error());
    } else if (*complete) {
      conclude();
    }
  }
}

void Watcher::State::begin_look(const std::string& path) {
  const Status begun = snapshotter.begin(path, path);
  if (!begun) {
    begin_failed(path, begun.error());
  } else if (!link_target.empty()) {
    forget_link(path);  // it is a plain file now
  }
}

void Watcher::State::begin_failed(const std::string& path, const Error& error) {
  const auto found = pending.find(path);
  if (found == pending.end()) return;
  Pending& state = found->second;
  switch (error.code) {
    case ErrorCode::kNotFound:
      vanished(path);
      break;
    case ErrorCode::kConflict:
      look_behind_name(path);
      break;
    case ErrorCode::kUnavailable:
      state.pause = doubled(state.pause, limits::kWriterRetryFirst, limits::kWriterRetryLast);
      wait(state, Stage::kWriting, state.pause);
      break;
    case ErrorCode::kPermission:  // a change of mode is an event
    case ErrorCode::kLimit:
      reject(path, error.message);
      settle(path);
      break;
    default:
      reject(path, error.message, std::nullopt, true);
      failed(path);
  }
}

void Watcher::State::look_behind_name(const std::string& path) {
  auto stat = files.lstat(path);
  if (!stat) {
    if (stat.error().code == ErrorCode::kNotFound) return vanished(path);
    reject(path, stat.error().message, std::nullopt, true);
    return failed(path);
  }
  if (stat->type != FileType::kSymlink) {
    if (tree.find(path) != nullptr) removed(path);
    settle(path);
    if (stat->type == FileType::kDirectory && !rules.ignored(path, true)) queue_scan(path, true);
    return;
  }
  auto target = files.resolve(path);
  if (!target) {
    // A link that leads in circles leads nowhere.
    if (target.error().code == ErrorCode::kNotFound || target.error().sys_errno == ELOOP) {
      dangling.insert(path);
      return vanished(path);
    }
    reject(path, target.error().message);
    return settle(path);
  }
  auto behind = files.stat(path);
  if (!behind) return vanished(path);
  const bool outside = target->starts_with('/');
  if (outside && !options.follow_outside) {
    reject(
        path,
        "the symlink leads to '" + *target +
            "', outside of the watched directory; allow that with follow_outside = true, or copy the file");
    return settle(path);
  }
  if (behind->type != FileType::kRegular) {
    if (behind->type == FileType::kDirectory) {
      links_dirty = true;  // files may be reached through it
      if (outside)
        reject(path, "the symlink leads to the directory '" + *target +
                         "', and only symlinks to files are followed outside");
    }
    if (tree.find(path) != nullptr) removed(path);
    return settle(path);
  }
  set_link(path, *target);
  const Status begun = snapshotter.begin(path, *target);
  if (begun) return;
  if (begun.error().code == ErrorCode::kConflict) return vanished(path);  // replaced at this moment
  begin_failed(path, begun.error());
}

void Watcher::State::conclude() {
  const std::string path = snapshotter.path();
  const auto found = pending.find(path);
  if (found == pending.end()) return snapshotter.cancel();
  Pending& state = found->second;
  const std::optional<Error> store_error = snapshotter.store_error();
  const Look look = snapshotter.take_look();
  if (may_copy(look.lease) && store_error) return not_kept(path, *store_error);
  const bool empty_for_long = state.empty_since != kNever && now - state.empty_since >= limits::kEmptyQuiet;
  switch (judge(look, {state.earlier, empty_for_long})) {
    case Verdict::kFinished:
      return keep_finished(path, look);
    case Verdict::kWriting: {
      const bool without_events = polling || unwatched.contains(std::string(Tree::split(path).first));
      const Duration first = state.closed     ? limits::kClosedRetryFirst
                             : without_events ? Duration(limits::kPollingWriterRetryFirst)
                                              : Duration(limits::kWriterRetryFirst);
      const Duration last =
          without_events ? Duration(limits::kPollingWriterRetryLast) : Duration(limits::kWriterRetryLast);
      state.pause = doubled(state.pause, first, last);
      wait(state, Stage::kWriting, state.pause);
      break;
    }
    case Verdict::kRestless:
      if (++state.tries <= limits::kRestlessRetries) {
        make_ready(path, state);
      } else {
        wait(state, Stage::kQuiet, limits::kRestlessPause);
      }
      break;
    case Verdict::kEmpty:
      if (state.empty_since == kNever) state.empty_since = now;
      wait(state, Stage::kEmpty, limits::kEmptyQuiet - (now - state.empty_since));
      break;
    case Verdict::kTorn:
      if (state.tries++ > 0 || rejected.contains(path)) {
        reject(path, look.incomplete, look.after);
        state.reported_torn = true;
      }
      // From now on an event or a rescan that finds other times must bring it back.
      if (state.tries > limits::kTornRetries) return settle(path);
      state.pause = state.pause == Duration::zero() ? Duration(limits::kTornGrace) : 2 * state.pause;
      wait(state, Stage::kTorn, state.pause);
      break;
    case Verdict::kLookAgain: {
      const std::string why = files.why_no_lease(path);
      warn_once(
          "no-lease " + why, "no-lease",
          "'" + path + "' cannot be proven finished by the kernel: " + why +
              ". Instead its content must stay the same for " +
              std::to_string(to_us(limits::kFallbackQuiet) / 1000) +
              " ms: changes come later, and a writer that pauses for longer can be caught in the middle");
      state.earlier = EarlierLook{look.digest, look.before};
      wait(state, Stage::kUnsure, limits::kFallbackQuiet);
      break;
    }
  }
  snapshotter.cancel();  // the copy is worth nothing
}

bool Watcher::State::is_stored(const Digest& digest, std::uint64_t size) const {
  const auto stored = blobs.size(digest);
  return stored.ok() && *stored == size;
}

void Watcher::State::keep_finished(const std::string& path, const Look& look) {
  KnownFile* known = tree.add_file(path);
  if (known == nullptr) {  // its directory went meanwhile
    snapshotter.cancel();
    return settle(path);
  }
  const bool rewritten = known->digest != look.digest || !same_file(known->stat, look.after, false);
  const auto told = finished.find(path);
  const bool to_tell = known->doubtful || (rewritten && known->given != look.digest);
  const bool is_news = to_tell && (told == finished.end() || told->second.digest != look.digest);
  if (is_news || !is_stored(look.digest, look.after.size)) {
    if (Status kept = snapshotter.commit(); !kept) {
      snapshotter.cancel();
      return not_kept(path, kept.error());
    }
    warned.erase("store-failed");
    store_ready_at = std::min<TimePoint>(store_ready_at, now + limits::kStoreReadyAfter);
  }
  snapshotter.cancel();
  const std::int64_t stamp = files.stamp_now();
  const std::int64_t newest = std::max(look.after.mtime_ns, look.after.ctime_ns);
  const bool confirmed = !rewritten && now - known->proven_at >= limits::kStampGranularity;
  known->fresh = !confirmed && (stamp == 0 || stamp - newest < Duration(limits::kStampGranularity).count());
  known->leased = look.lease == LeaseState::kHeld;
  known->trusted = false;
  known->stat = look.after;
  known->digest = look.digest;
  rejected.erase(path);
  if (rewritten || to_tell) {
    known->proven_at = now;
    parked.erase(path);
    if (to_tell) {
      hand_over(path, look.digest, look.after.size, pending[path].noticed_at);
    } else {
      finished.erase(path);  // back to what is known outside
    }
  }
  settle(path);
}

/// The content of `path` is to go out.
void Watcher::State::hand_over(const std::string& path, const Digest& digest, std::uint64_t size,
                               TimePoint noticed) {
  begin_collecting();
  FileChange change;
  change.path = path;
  const auto link = link_target.find(path);
  change.real_path = link == link_target.end() ? path : link->second;
  change.digest = digest;
  change.size = size;
  change.noticed_at = noticed;
  finished[path] = std::move(change);
}

void Watcher::State::vanished(const std::string& path) {
  Pending& state = pending[path];
  if (state.certain) return removed(path);
  if (tree.find(path) == nullptr && !rejected.contains(path)) {
    forget_link(path);
    finished.erase(path);
    return settle(path);
  }
  wait(state, Stage::kMissing, limits::kRemovalGrace);
}

void Watcher::State::removed(const std::string& path) {
  const TimePoint noticed = pending[path].noticed_at;
  forget_link(path);
  rejected.erase(path);
  parked.erase(path);
  KnownFile* known = tree.find(path);
  if (known != nullptr && !known->given.is_zero()) {
    begin_collecting();
    FileChange change;
    change.path = path;
    change.real_path = path;
    change.removed = true;
    change.noticed_at = noticed;
    finished[path] = std::move(change);
    known->digest = Digest{};
  } else {
    finished.erase(path);
    tree.remove_file(path);
  }
  settle(path);
}

void Watcher::State::not_kept(const std::string& path, const Error& error) {
  const std::string why = "its content could not be kept: " + error.message;
  warn_once("store-failed", "store-failed",
            "'" + path + "' is finished but " + why +
                "; the former content stays live, other files go on being published, and this one is tried "
                "again and again, at once by 'moddev refresh'. Free some space if the disk is full");
  (void)note_refusal(path, why, std::nullopt, true);
  failed(path);
}

void Watcher::State::failed(const std::string& path) {
  Pending& state = pending[path];
  state.pause = doubled(state.pause, limits::kFailureRetryFirst, limits::kFailureRetryLast);
  wait(state, Stage::kFailed, state.pause);
}

void Watcher::State::settle(const std::string& path) {
  const auto found = pending.find(path);
  // Events that came during the look ask for another one.
  if (found == pending.end() || found->second.queued) return;
  const bool aside = found->second.aside;
  pending.erase(found);
  if (aside) join_parked(path);
}

}  // namespace moddev::watcher
