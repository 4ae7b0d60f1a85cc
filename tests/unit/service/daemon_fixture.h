// The daemon's step without disk, sockets or clock: scripted changes, a journal in memory, and executors that
// do what a test says.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/daemon.h"
#include "daemon/limits.h"
#include "protocol/codec.h"
#include "tests/support/service/fake_transport.h"
#include "tests/support/service/scripted_feed.h"

namespace moddev::daemon {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// An executor by hand: answers announcements and commits at once, unless told otherwise.
class Executor {
 public:
  Executor(testing::FakeTransport& transport, std::string name) : link_(transport.connect()) {
    identity_.id = Uuid::random();
    identity_.name = std::move(name);
    link_->subscribe({});
  }
  void join(Uuid repo = {}) { ask(JoinRequest{identity_, repo, runs}); }
  void leave(std::vector<RunReport> runs_told = {}) {
    ask(LeaveRequest{identity_.id, std::move(runs_told), last_snapshot.daemon.repo});
  }
  void alive(std::vector<std::string> notes = {}) {
    ask(AliveRequest{identity_.id, ExecutorState::kLive, runs, {}, 0, std::move(notes)});
  }
  void tell(std::vector<RunReport> runs_told) {
    ask(AliveRequest{identity_.id,
                     ExecutorState::kLive,
                     runs,
                     {},
                     0,
                     {},
                     std::move(runs_told),
                     last_snapshot.daemon.repo});
  }
  [[nodiscard]] const ExecutorIdentity& identity() const { return identity_; }
  void ask(RequestBody body) { link_->send({++last_id_, std::move(body)}); }
  void ack(Epoch epoch, AckPhase phase) {
    AckRequest request{identity_.id, epoch, phase, {}, phase == AckPhase::kApplied ? applies_in : 10};
    if (phase == AckPhase::kFailed) request.failures = {{"m", reason}};
    ask(request);
  }

  /// Takes in what came; returns whether there was anything.
  bool turn() {
    bool any = false;
    while (auto input = link_->receive()) {
      any = true;
      if (auto* reply = std::get_if<Reply>(&*input)) {
        if (auto* snapshot = std::get_if<SnapshotReply>(&reply->body)) {
          last_snapshot = *snapshot;
          if (snapshot->committed.epoch > runs) apply(snapshot->committed.epoch);
          if (snapshot->pending) prepare(snapshot->pending->epoch);
        }
        replies.push_back(std::move(*reply));
        continue;
      }
      Event& event = std::get<Event>(*input);
      if (auto* announce = std::get_if<AnnounceEvent>(&event.body)) {
        prepare(announce->epoch);
      } else if (auto* commit = std::get_if<CommitEvent>(&event.body)) {
        const auto& only = commit->only;
        if (only.empty() || std::find(only.begin(), only.end(), identity_.id) != only.end())
          apply(commit->epoch);
      }
      events.push_back(std::move(event));
    }
    return any;
  }
  template <typename T>
  std::optional<T> last() const {
    for (auto reply = replies.rbegin(); reply != replies.rend(); ++reply) {
      if (const T* match = std::get_if<T>(&reply->body)) return *match;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::size_t acks_answered() const {
    return static_cast<std::size_t>(std::count_if(replies.begin(), replies.end(), [](const Reply& reply) {
      return std::holds_alternative<OkReply>(reply.body);
    }));
  }
  std::optional<ReplyBody> last_reply() const {
    if (replies.empty() || replies.back().id != last_id_) return std::nullopt;
    return replies.back().body;
  }

  bool mute = false;
  bool refuses = false;
  Epoch cannot_use = 0;  // fails with this committed one
  std::string reason = "undefined symbol";
  Epoch runs = 0;
  std::int64_t applies_in = 10;  // microseconds since the announcement
  std::vector<Event> events;
  std::vector<Reply> replies;
  SnapshotReply last_snapshot;

 private:
  void prepare(Epoch epoch) {
    if (!mute) ack(epoch, refuses ? AckPhase::kFailed : AckPhase::kPrepared);
  }
  void apply(Epoch epoch) {
    if (mute) return;
    if (epoch == cannot_use) return ack(epoch, AckPhase::kFailed);
    if (refuses && epoch > runs) return;
    runs = std::max(runs, epoch);
    ack(epoch, AckPhase::kApplied);
  }
  std::unique_ptr<Link> link_;
  ExecutorIdentity identity_;
  std::uint64_t last_id_ = 0;
};

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Journal::open(":memory:", wall());
    ASSERT_TRUE(opened) << opened.error().message;
    journal = std::move(*opened);
    start();
  }
  void start(FleetOptions fleet = {}) {
    DaemonOptions options;
    options.fleet = std::move(fleet);
    options.directory = "/project/build";
    options.software = "moddev test";
    options.pid = 42;
    daemon = std::make_unique<Daemon>(options, feed, blobs, *journal, transport);
  }
  WallTime wall() const { return WallTime(now.time_since_epoch()); }

  /// One step and what it made the executors say, until nobody has anything to say.
  void settle() {
    for (int turns = 0; turns < 1000; ++turns) {
      due = daemon->step(now, wall());
      for (DaemonEvent& event : daemon->take_events()) told.push_back(std::move(event));
      bool any = false;
      for (const auto& executor : executors) any |= executor->turn();
      if (!any && due > now) return;
    }
    FAIL() << "never comes to rest";
  }
  /// Time passes, in steps at which living executors renew their lease.
  void pass(Duration d) {
    const TimePoint end = now + d;
    while (now < end) {
      now = std::min({end, std::max(due, now + milliseconds(1)), now + milliseconds(500)});
      for (const auto& executor : executors) {
        if (!executor->mute) executor->alive();
      }
      settle();
    }
  }
  Executor& add(const std::string& name) {
    executors.push_back(std::make_unique<Executor>(transport, name));
    executors.back()->join();
    settle();
    return *executors.back();
  }
  /// What the directory holds is now `content`, and the daemon is told.
  void write(const std::map<std::string, std::string>& content) {
    feed.write(blobs, content, now);
    settle();
  }
  template <typename T>
  std::vector<T> all() const {
    std::vector<T> result;
    for (const DaemonEvent& event : told) {
      if (const T* match = std::get_if<T>(&event)) result.push_back(*match);
    }
    return result;
  }
  std::vector<Event> sent() const {
    std::vector<Event> result;
    for (const Event& event : transport.published()) {
      if (!std::holds_alternative<HeartbeatEvent>(event.body)) result.push_back(event);
    }
    return result;
  }
  ReplyBody ask(Executor& executor, RequestBody body) {
    executor.ask(std::move(body));
    settle();
    const auto reply = executor.last_reply();
    EXPECT_TRUE(reply);
    return reply.value_or(OkReply{});
  }

  TimePoint now{seconds(1000)};
  TimePoint due = kNever;
  testing::ScriptedFeed feed;
  MemoryBlobStore blobs;
  testing::FakeTransport transport;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Daemon> daemon;
  std::vector<std::unique_ptr<Executor>> executors;
  std::vector<DaemonEvent> told;
};

}  // namespace moddev::daemon
