// A watcher over the fakes on virtual time, and what its listener has been told so far.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/blob_store.h"
#include "tests/support/watcher/fake_event_source.h"
#include "tests/support/watcher/fake_file_system.h"
#include "watcher/watcher.h"

namespace moddev::watcher::testing {

/// What the one who takes the watcher's output holds: path to content.
class Listener {
 public:
  explicit Listener(BlobStore& blobs) : blobs_(blobs) {}
  void take(Output output) {
    for (Batch& batch : output.batches) {
      for (const FileChange& change : batch.changes) {
        if (change.removed) {
          holds.erase(change.path);
          continue;
        }
        const auto bytes = blobs_.read(change.digest);
        MODDEV_ASSERT(bytes.ok(), "a change names bytes that are not in the store");
        std::string content(as_text(**bytes));
        // Handing out what is held already would be a version without a change, unless it was in doubt.
        const bool in_doubt = doubtful.erase(change.path) > 0;
        if (holds.contains(change.path) && holds[change.path] == content) {
          if (!in_doubt) ++empty_changes;
          continue;
        }
        history[change.path].push_back(content);
        holds[change.path] = std::move(content);
      }
      batches.push_back(std::move(batch));
    }
    doubtful.insert(output.doubtful.begin(), output.doubtful.end());
    std::ranges::move(output.rejections, std::back_inserter(rejections));
    std::ranges::move(output.warnings, std::back_inserter(warnings));
    std::ranges::move(output.synced, std::back_inserter(synced));
  }
  [[nodiscard]] bool warned(const std::string& code) const {
    return std::ranges::any_of(warnings, [&](const Warning& w) { return w.code == code; });
  }

  std::map<std::string, std::string> holds;
  std::map<std::string, std::vector<std::string>> history;
  std::set<std::string> doubtful;
  std::vector<Batch> batches;
  std::vector<Rejection> rejections;
  std::vector<Warning> warnings;
  std::vector<std::uint64_t> synced;
  int empty_changes = 0;

 private:
  BlobStore& blobs_;
};

/// A watcher on virtual time. Steps at every deadline, as the event loop would.
class World {
 public:
  explicit World(WatcherOptions options = {}) : watcher(std::move(options), files, events, blobs) {}

  /// One step at the present time.
  void step() {
    deadline = watcher.step(now);
    listener.take(watcher.take_output());
  }
  /// Lets `length` pass: steps now, whenever it is due, and at the end.
  void run(Duration length = Duration::zero()) {
    const TimePoint end = now + length;
    int steps = 0;
    for (;;) {
      step();
      MODDEV_ASSERT(++steps < 100'000, "the watcher finds no rest");
      if (deadline <= now) continue;
      if (deadline > end) break;
      advance(deadline - now);
    }
    if (now < end) {
      advance(end - now);
      step();
    }
  }
  void advance(Duration length) {
    now += length;
    files.advance_time(length.count());
  }

  FakeFileSystem files;
  FakeEventSource events{files};
  MemoryBlobStore blobs;
  Watcher watcher;
  Listener listener{blobs};
  TimePoint now{std::chrono::seconds(1)};
  TimePoint deadline{};
};

}  // namespace moddev::watcher::testing
