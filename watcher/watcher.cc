#include "watcher/watcher.h"

#include <algorithm>

#include "watcher/watcher_state.h"

namespace moddev::watcher {

Watcher::Watcher(WatcherOptions options, FileSystem& file_system, EventSource& events, BlobStore& blobs)
    : state_(std::make_unique<State>(std::move(options), file_system, events, blobs)) {}
Watcher::~Watcher() = default;

void Watcher::remember(const std::string& path, const Digest& digest) {
  State& s = *state_;
  if (s.rules.ignored_on_the_way(path)) {
    s.forgotten.push_back(path);
    return;
  }
  for (std::string_view parent = Tree::split(path).first;; parent = Tree::split(parent).first) {
    s.tree.add_directory(std::string(parent));
    if (parent.empty()) break;
  }
  KnownFile* known = s.tree.add_file(path);
  known->given = digest;
  known->doubtful = true;
  const auto former = s.former.find(path);
  if (former == s.former.end() || former->second.digest != digest) return;
  if (!s.is_stored(digest, former->second.stat.size)) return;
  known->digest = digest;
  known->stat = former->second.stat;
  known->fresh = false;
  known->leased = known->trusted = true;
}

void Watcher::read_again(const std::string& path) {
  state_->touch(path, WatchEvent::Kind::kClosedWrite, false);
}

void Watcher::trust(std::vector<ProvenFile> files) {
  for (ProvenFile& file : files) {
    std::string path = file.path;
    state_->former.insert_or_assign(std::move(path), std::move(file));
  }
}

std::vector<ProvenFile> Watcher::proven() const {
  std::vector<ProvenFile> files;
  for (const auto& [directory, content] : state_->tree.directories()) {
    for (const KnownFile& file : content.files) {
      const bool settled = !file.digest.is_zero() && file.digest == file.given && !file.doubtful;
      if (!settled || !file.leased || file.fresh) continue;
      std::string path = Tree::join(directory, file.name);
      if (state_->link_target.contains(path) || state_->pending.contains(path)) continue;
      files.push_back({std::move(path), file.digest, file.stat});
    }
  }
  return files;
}

TimePoint Watcher::step(TimePoint now) {
  State& s = *state_;
  s.now = now;
  s.bytes_left = limits::kStepBytes;
  s.looks_left = limits::kLooksPerStep;
  s.directories_left = limits::kDirectoriesPerStep;
  if (!s.started) s.start();
  bool quiet = true;
  for (int round = 0;; ++round) {
    const bool heard = s.read_events();
    quiet = quiet && !heard;
    // What came while we worked is taken in before anything goes out; the first quiet round ends the step.
    if (round > 0 && (!heard || round == limits::kRoundsPerStep)) break;
    s.run_timers();
    s.check_links();
    s.progress_syncs();
    s.scan();
    s.look();
    if (s.finished.empty() && s.syncs.empty()) break;
  }
  s.progress_builds();
  s.progress_syncs();
  s.hand_out();
  if (quiet && now >= s.store_ready_at && !s.has_work() && s.looks_left == limits::kLooksPerStep)
    s.store_ready_at = s.blobs.make_ready() ? kNever : now + limits::kStoreReadyPause;
  return s.next_deadline();
}

Output Watcher::take_output() {
  return std::exchange(state_->output, Output{});
}

std::uint64_t Watcher::request_sync() {
  Sync sync;
  sync.id = state_->next_sync++;
  sync.takes_parked = state_->builds.empty();
  state_->syncs.push_back(sync);
  return sync.id;
}

std::uint64_t Watcher::begin_build(TimePoint now) {
  State& s = *state_;
  // What this build is about to leave behind, if it fails, is none of theirs.
  for (Sync& sync : s.syncs) sync.takes_parked = false;
  if (s.builds.size() >= limits::kBuildBarriers) {
    s.output.builds.push_back({s.builds.begin()->first, true, 0});
    s.builds.erase(s.builds.begin());
    s.warn("build-barriers", "more than " + std::to_string(limits::kBuildBarriers) +
                                 " builds run at once; the oldest barrier was released");
  }
  const std::uint64_t id = s.next_build++;
  s.builds[id] = now + limits::kBuildBarrierLimit;
  return id;
}

void Watcher::renew_build(std::uint64_t id, TimePoint now) {
  const auto found = state_->builds.find(id);
  if (found != state_->builds.end() && found->second != kNever)
    found->second = now + limits::kBuildBarrierLimit;
}

void Watcher::end_build(std::uint64_t id, bool success) {
  State& s = *state_;
  const auto found = s.builds.find(id);
  if (found == s.builds.end() || found->second == kNever) return;
  // The barrier stays until everything that the build left on disk is proven.
  found->second = kNever;
  Sync sync;
  sync.id = id;
  sync.ends_build = success;
  s.syncs.push_back(sync);
}

std::vector<Unpublished> Watcher::unpublished() const {
  using Why = Unpublished::Why;
  const State& s = *state_;
  std::vector<Unpublished> all;
  if (s.root_gone)
    all.push_back({".", "the watched directory is gone; what was published from it stays", Why::kFailed,
                   s.root_gone_since});
  for (const auto& [path, refusal] : s.rejected)
    all.push_back({path, refusal.reason, refusal.failed ? Why::kFailed : Why::kRefused, refusal.since});
  for (const auto& [path, state] : s.pending) {
    const bool unfinished = state.stage == Stage::kWriting || state.stage == Stage::kQuiet ||
                            state.stage == Stage::kUnsure || state.stage == Stage::kEmpty ||
                            state.stage == Stage::kTorn;
    if (!unfinished || s.rejected.contains(path)) continue;
    all.push_back(
        {path,
         state.stage == Stage::kWriting ? "somebody still has it open for writing" : "it is not finished yet",
         Why::kWriting, state.noticed_at});
  }
  if (s.parked_is_part()) {
    for (const auto& [path, change] : s.parked)
      all.push_back({path, "other files of its build could not be kept, and they belong together",
                     Why::kFailed, change.noticed_at});
  }
  std::ranges::sort(all, {}, &Unpublished::path);
  return all;
}

bool Watcher::is_away(const std::string& path) const {
  const auto found = state_->pending.find(path);
  return found != state_->pending.end() && found->second.stage == Stage::kMissing;
}

bool Watcher::idle() const {
  const State& s = *state_;
  return s.initial_handed_out && !s.has_work() && s.pending.empty() && s.finished.empty() &&
         s.syncs.empty() && s.builds.empty();
}

bool Watcher::holds_back() const {
  return !idle() || !state_->parked.empty();
}

std::vector<int> Watcher::descriptors() const {
  return state_->events.descriptors();
}
std::string Watcher::backend() const {
  return state_->events.name();
}

void Watcher::State::start() {
  started = true;
  polling = events.next_poll() != kNever;
  finished_since = now;
  for (const std::string& path : forgotten) finished[path] = {path, path, true, {}, 0, now};
  forgotten.clear();
  former.clear();
  queue_scan("", true);
}

void Watcher::State::run_timers() {
  if (root_gone) {
    if (now >= root_retry_at) look_for_root();
    return;
  }
  if (now >= overflow_rescan_at) {
    overflow_rescan_at = kNever;
    queue_scan("", true);
  }
  if (now >= slow_rescan_at) {
    slow_rescan_at = kNever;  // planned anew when the scan is done
    queue_scan("", true);
  }
  if (now >= unwatched_poll_at) {
    unwatched_poll_at = now + limits::kUnwatchedPoll;
    for (const std::string& path : unwatched) queue_scan(path, false);
  }
  if (now < next_due) return;
  next_due = kNever;
  for (auto& [path, state] : pending) {
    if (state.due <= now) {
      if (state.stage == Stage::kMissing) state.certain = true;
      make_ready(path, state);
    } else {
      next_due = std::min(next_due, state.due);
    }
  }
}

bool Watcher::State::has_work() const {
  if (root_gone) return false;
  return !ready.empty() || !scans.empty() || snapshotter.busy() || links_dirty;
}

TimePoint Watcher::State::next_deadline() {
  if (has_work()) return now;
  TimePoint next = std::min({root_retry_at, events.next_poll(), hold_deadline(), store_ready_at});
  for (const auto& [id, until] : builds) next = std::min(next, until);
  for (const Sync& sync : syncs) next = std::min(next, sync.stage == Sync::Stage::kNew ? now : sync.deadline);
  if (root_gone) return next;
  return std::min({next, next_due, overflow_rescan_at, slow_rescan_at, unwatched_poll_at});
}

void Watcher::State::warn(std::string code, std::string message) {
  output.warnings.push_back({std::move(code), std::move(message)});
}

void Watcher::State::warn_once(const std::string& key, std::string code, std::string message) {
  if (warned.insert(key).second) warn(std::move(code), std::move(message));
}

void Watcher::State::reject(const std::string& path, std::string reason,
                            const std::optional<FileStat>& judged, bool failed) {
  if (note_refusal(path, reason, judged, failed)) output.rejections.push_back({path, std::move(reason)});
}

bool Watcher::State::note_refusal(const std::string& path, const std::string& reason,
                                  const std::optional<FileStat>& judged, bool failed) {
  doubt(path);
  const auto [refusal, is_new] = rejected.try_emplace(path);
  Refusal& known = refusal->second;
  const bool other = is_new || known.reason != reason;
  const bool rewritten = judged && (!known.stat || !same_file(*judged, *known.stat, true));
  if (other || rewritten) known = {reason, now, failed, judged};
  return other;
}

void Watcher::State::doubt(const std::string& path) {
  KnownFile* known = tree.find(path);
  if (known == nullptr || known->given.is_zero() || known->doubtful) return;
  known->doubtful = true;
  output.doubtful.push_back(path);
}

}  // namespace moddev::watcher
