// What goes out, and when: whole builds together, barriers, syncs.
#include <algorithm>

#include "watcher/watcher_state.h"

namespace moddev::watcher {

bool Watcher::State::holds(const Pending& state) const {
  switch (state.stage) {
    case Stage::kReady:
      return true;
    case Stage::kQuiet:
    case Stage::kWriting:
    case Stage::kUnsure:
    case Stage::kEmpty:
      return !state.late;
    case Stage::kTorn:
      return !state.late && !state.reported_torn;
    case Stage::kMissing:  // the first batch tells also what is gone since the former run
      return !initial_handed_out && !state.late;
    case Stage::kFailed:
      return false;
  }
  return false;
}

TimePoint Watcher::State::hold_deadline() {
  if (!builds.empty() || (finished.empty() && initial_handed_out)) return kNever;
  bool only_resaves = true;
  bool holding = false;
  for (const auto& [path, state] : pending) {
    if (!holds(state)) continue;
    holding = true;
    only_resaves = only_resaves && finished.contains(path);
  }
  if (!holding && removing_more()) return finished_since + limits::kBurstLimit;
  if (!holding)
    return burst ? std::min<TimePoint>(touched_at + limits::kBurstQuiet, finished_since + limits::kBurstLimit)
                 : now;
  return finished_since + (only_resaves ? Duration(limits::kBurstLimit) : Duration(limits::kHoldLimit));
}

bool Watcher::State::removing_more() const {
  return std::ranges::all_of(finished, [](const auto& one) { return one.second.removed; }) &&
         std::ranges::any_of(pending, [](const auto& one) {
           return one.second.stage == Stage::kMissing && !one.second.late;
         });
}

void Watcher::State::hand_out() {
  if (!builds.empty()) return;
  if (!initial_handed_out && (has_work() || root_gone)) {
    finished_since = now;
    return;
  }
  if (finished.empty() && initial_handed_out) return;
  if (!scans.empty() && !root_gone && now - finished_since < limits::kHoldLimit) return;
  if (now < hold_deadline()) return;
  // Those that were waited for in vain hold nothing back until they are done.
  std::string named;
  std::size_t count = 0;
  for (auto& [path, state] : pending) {
    if (!holds(state)) continue;
    if (state.stage == Stage::kReady) {
      if (finished.contains(path)) continue;
      return;  // our own work: it is done in the next steps
    }
    state.late = true;
    if (++count <= limits::kPathsNamed) named += (named.empty() ? "'" : ", '") + path + "'";
  }
  if (count > 0) {
    if (count > limits::kPathsNamed) named += " and " + std::to_string(count - limits::kPathsNamed) + " more";
    warn("still-written",
         named + (count == 1 ? " is" : " are") + " still being written after " +
             std::to_string(
                 std::chrono::duration_cast<std::chrono::milliseconds>(now - finished_since).count()) +
             " ms; what else changed is published without waiting longer");
  }
  flush();
}

void Watcher::State::begin_collecting() {
  if (!finished.empty() || !initial_handed_out) return;
  finished_since = now;
  burst = given.size() == limits::kBurstFiles && now - given.front().at < limits::kBurstWindow;
}

void Watcher::State::remember_given(const Batch& batch) {
  for (const FileChange& change : batch.changes) {
    std::erase_if(given, [&](const GivenLately& one) { return one.path == change.path; });
    if (given.size() == limits::kBurstFiles) given.pop_front();
    given.push_back({change.path, now});
  }
}

void Watcher::State::flush() {
  Batch batch;
  batch.changes.reserve(finished.size());
  for (auto& [path, change] : finished) {
    std::erase(output.doubtful, path);
    if (change.removed) {
      tree.remove_file(path);
      const std::string_view parent = Tree::split(path).first;
      const Tree::Directory* directory = tree.directory(parent);
      if (directory != nullptr && directory->gone && directory->files.empty()) tree.remove_directory(parent);
    } else if (KnownFile* known = tree.find(path)) {
      known->given = change.digest;
      known->doubtful = false;
    }
    batch.changes.push_back(std::move(change));
  }
  finished.clear();
  // A build, a sync and the first scan are complete: nothing of theirs is still to come.
  if (initial_handed_out && builds.empty()) remember_given(batch);
  initial_handed_out = true;
  output.batches.push_back(std::move(batch));
}

void Watcher::State::progress_builds() {
  for (auto build = builds.begin(); build != builds.end();) {
    if (build->second > now) {
      ++build;
      continue;
    }
    output.builds.push_back({build->first, true, 0});
    warn("build-abandoned", "a build that holds changes back gave no sign of life for " +
                                std::to_string(std::chrono::seconds(limits::kBuildBarrierLimit).count()) +
                                " s; what it finished so far is published now");
    build = builds.erase(build);
    if (!builds.empty()) continue;
    // The usual rules hand it out, in this very step. That it was a success nobody said.
    if (build_failed) output.builds.back().files = conclude_builds(now);
  }
}

void Watcher::State::take_parked(TimePoint since) {
  for (auto& [path, change] : parked) change.noticed_at = std::max(change.noticed_at, since);
  finished.merge(parked);
  parked.clear();
}

bool Watcher::State::parked_is_part() const {
  return !parked.empty() && std::ranges::any_of(pending, [](const auto& one) { return one.second.aside; });
}

void Watcher::State::join_parked(const std::string& path) {
  if (!parked_is_part()) return take_parked(now);
  if (auto change = finished.extract(path)) parked.insert_or_assign(path, std::move(change.mapped()));
}

std::size_t Watcher::State::conclude_builds(TimePoint since) {
  const bool failed = std::exchange(build_failed, false);
  std::size_t not_kept = 0;
  for (auto& [path, state] : pending) {
    const auto refusal = rejected.find(path);
    if (state.stage != Stage::kFailed || refusal == rejected.end() || failed || !initial_handed_out) continue;
    state.aside = true;
    ++not_kept;
  }
  if (!failed && not_kept == 0) {
    take_parked(since);
    for (auto& [path, change] : finished) change.noticed_at = std::max(change.noticed_at, since);
    const std::size_t count = finished.size();
    if (count > 0) flush();
    return count;
  }
  // Before the first batch nobody knows what the build changed and what was there.
  if (!initial_handed_out) return 0;
  const std::size_t count = finished.size();
  for (auto& [path, change] : finished) parked[path] = std::move(change);
  finished.clear();
  if (not_kept > 0) {
    warn("build-incomplete", "a build succeeded, but " + std::to_string(not_kept) +
                                 (not_kept == 1 ? " file that it wrote" : " files that it wrote") +
                                 " could not be read or kept: what else it changed (" +
                                 std::to_string(count) + (count == 1 ? " file" : " files") +
                                 ") stays unpublished until all of it can go out together");
  } else if (count > 0)
    warn("build-failed", "a build failed: the " + std::to_string(count) +
                             (count == 1 ? " file that it changed stays" : " files that it changed stay") +
                             " unpublished until a build succeeds, the files change again, or 'moddev "
                             "refresh' asks for them");
  return count;
}

void Watcher::State::progress_syncs() {
  for (auto sync = syncs.begin(); sync != syncs.end();) {
    progress_sync(*sync);
    if (sync->stage == Sync::Stage::kSettling && now >= sync->deadline && finish_sync(*sync)) {
      sync = syncs.erase(sync);
    } else {
      ++sync;
    }
  }
}

void Watcher::State::progress_sync(Sync& sync) {
  using Step = Sync::Stage;
  if (sync.stage == Step::kNew) {
    sync.since = now;
    for (auto& [path, state] : pending) {
      if (state.stage == Stage::kFailed) make_ready(path, state);  // another try, for whoever asks
    }
    sync.cookie = std::string(".moddev-cookie-") + (sync.ends_build ? "b" : "s") + std::to_string(sync.id);
    Status created =
        root_gone ? Status(Error{ErrorCode::kNotFound, "", 0}) : files.create_cookie(sync.cookie);
    if (!created && created.error().code == ErrorCode::kAlreadyExists) {  // left by a daemon that was killed
      (void)files.remove_cookie(sync.cookie);
      created = files.create_cookie(sync.cookie);
    }
    sync.deadline = now + limits::kCookiePatience;
    sync.stage = created ? Step::kCookie : Step::kScanning;
    if (!created) queue_scan("", true);
  }
  if (sync.stage == Step::kCookie && (now >= sync.deadline || root_gone)) {
    (void)files.remove_cookie(sync.cookie);
    sync.stage = Step::kScanning;
    queue_scan("", true);
  }
  if (sync.stage == Step::kScanning) {
    sync.deadline = kNever;
    if (!root_gone && !scans.empty()) return;
    sync.stage = Step::kSettling;
    sync.serial = next_serial;
    sync.deadline = now + limits::kSyncWriterPatience;
  }
  if (sync.stage != Step::kSettling) return;
  bool waiting = false;
  bool working = false;
  for (const auto& [path, state] : pending) {
    if (state.serial >= sync.serial) continue;
    working = working || (state.stage == Stage::kReady && !root_gone);
    waiting = waiting || holds(state) || state.stage == Stage::kMissing;
  }
  if (working && now >= sync.deadline) sync.deadline = now + limits::kSyncWriterPatience;
  if (!sync.ends_build && !builds.empty()) {
    sync.deadline = kNever;  // what a build changed goes out when it ends
  } else if (!waiting || root_gone) {
    sync.deadline = now;
  } else if (sync.deadline == kNever) {
    sync.deadline = now + limits::kSyncWriterPatience;
  }
}

bool Watcher::State::finish_sync(const Sync& sync) {
  if (sync.ends_build) {
    if (builds.erase(sync.id) == 0) return true;  // released meanwhile
    build_failed = build_failed || !*sync.ends_build;
    output.builds.push_back({sync.id, false, builds.empty() ? conclude_builds(sync.since) : 0});
    return true;
  }
  if (!builds.empty()) return false;
  if (sync.takes_parked && !parked_is_part()) take_parked(sync.since);
  if (!finished.empty() || !initial_handed_out) flush();
  output.synced.push_back(sync.id);
  return true;
}

}  // namespace moddev::watcher
