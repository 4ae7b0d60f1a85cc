#include "tests/support/service/scripted_feed.h"

#include <utility>

namespace moddev::daemon::testing {
namespace {

watcher::FileChange file(const std::string& path, const std::string& bytes, TimePoint now) {
  return {path, path, false, digest_of(bytes), bytes.size(), now};
}

}  // namespace

void ScriptedFeed::write(BlobStore& blobs, const std::map<std::string, std::string>& wanted, TimePoint now) {
  watcher::Batch batch;
  for (const auto& [path, bytes] : wanted) {
    const auto before = content.find(path);
    if (before != content.end() && before->second == bytes) continue;
    (void)blobs.put(digest_of(bytes), as_bytes(bytes));
    batch.changes.push_back(file(path, bytes, now));
  }
  for (const auto& [path, bytes] : content) {
    if (!wanted.contains(path)) batch.changes.push_back({path, path, true, {}, 0, now});
  }
  content = wanted;
  output.batches.push_back(std::move(batch));
}

void ScriptedFeed::change_unseen(BlobStore& blobs, const std::map<std::string, std::string>& wanted) {
  for (const auto& [path, bytes] : wanted) (void)blobs.put(digest_of(bytes), as_bytes(bytes));
  content = wanted;
}

void ScriptedFeed::restart(TimePoint now) {
  watcher::Batch batch;
  for (const auto& [path, bytes] : content) batch.changes.push_back(file(path, bytes, now));
  output = {};
  output.batches.push_back(std::move(batch));
  waiting_.clear();
}

watcher::Output ScriptedFeed::take_output() {
  watcher::Output taken = std::exchange(output, {});
  if (!taken.batches.empty()) {
    for (const std::string& path : std::exchange(remembered_, {})) {
      if (!content.contains(path) && !unreadable.contains(path))
        taken.batches.front().changes.push_back({path, path, true, {}, 0, {}});
    }
  }
  if (!hold_syncs) taken.synced = std::exchange(waiting_, {});
  return taken;
}

}  // namespace moddev::daemon::testing
