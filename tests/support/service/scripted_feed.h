// Changes by script: a directory that is a map, told to the daemon as the watcher would.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/change_feed.h"
#include "protocol/blob_store.h"

namespace moddev::daemon::testing {

class ScriptedFeed final : public ChangeFeed {
 public:
  /// The directory holds exactly `wanted` (path to bytes): one batch with what differs from before.
  void write(BlobStore& blobs, const std::map<std::string, std::string>& wanted, TimePoint now);
  /// The directory holds `wanted`, and nobody is told before restart().
  void change_unseen(BlobStore& blobs, const std::map<std::string, std::string>& wanted);
  /// As after a new start of the daemon: one batch with everything that is there.
  void restart(TimePoint now);

  void remember(const std::string& path, const Digest&) override { remembered_.insert(path); }
  void read_again(const std::string& path) override { to_read_again.push_back(path); }
  TimePoint step(TimePoint) override { return due; }
  watcher::Output take_output() override;
  std::uint64_t request_sync() override {
    waiting_.push_back(++last_sync_);
    return last_sync_;
  }
  std::uint64_t begin_build(TimePoint) override {
    builds[++last_build_] = 0;
    return last_build_;
  }
  void renew_build(std::uint64_t id, TimePoint) override { ++builds.at(id); }
  void end_build(std::uint64_t id, bool success) override { ended.emplace_back(id, success); }
  [[nodiscard]] bool holds_back() const override { return holding_back; }
  [[nodiscard]] std::vector<watcher::Unpublished> unpublished() const override { return unfinished; }
  [[nodiscard]] bool is_away(const std::string& path) const override { return away.contains(path); }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }
  [[nodiscard]] std::string backend() const override { return "scripted"; }

  std::map<std::string, std::string> content;
  /// What step() returns.
  TimePoint due = kNever;
  /// Syncs are not completed as long as this is set.
  bool hold_syncs = false;
  std::vector<watcher::Unpublished> unfinished;
  /// Paths that are there, and of which nothing can be told.
  std::set<std::string> unreadable;
  std::set<std::string> away;
  std::vector<std::string> to_read_again;
  /// As if a build were held.
  bool holding_back = false;
  /// What the next take_output() gives, besides completed syncs.
  watcher::Output output;
  /// How often each build was renewed, and which were ended with what success.
  std::map<std::uint64_t, int> builds;
  std::vector<std::pair<std::uint64_t, bool>> ended;

 private:
  std::set<std::string> remembered_;
  std::vector<std::uint64_t> waiting_;
  std::uint64_t last_sync_ = 0;
  std::uint64_t last_build_ = 0;
};

}  // namespace moddev::daemon::testing
