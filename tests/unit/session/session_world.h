// One session among a fake link, a fake loader, a cache in memory and a scripted daemon, on a clock that the
// test turns.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "client/src/limits.h"
#include "client/src/session.h"
#include "tests/support/session/fake_link.h"
#include "tests/support/session/fake_loader.h"
#include "tests/support/session/script_daemon.h"

namespace moddev::test {

using std::chrono::milliseconds;
using std::chrono::seconds;
namespace client_limits = client::limits;

class SessionWorld : public ::testing::Test {
 protected:
  SessionWorld() {
    options.identity.id.bytes[0] = 7;
    options.identity.name = "worker-1";
    options.endpoint = "ipc:///run/test.sock";
    options.seed = 42;
  }

  /// The session, made at first use.
  Session& session() {
    if (!session_) session_ = std::make_unique<Session>(options, link, loader, cache, views);
    return *session_;
  }
  void drop_session() { session_.reset(); }

  /// One step at the present time. Collects events.
  TimePoint step() {
    daemon.wall = wall_at(now);
    const TimePoint next = session().step(now, daemon.wall);
    for (ClientEvent& event : session().take_events()) events.push_back(std::move(event));
    return next;
  }
  /// Lets time pass, stepping at every deadline, as an event loop does.
  void run(Duration span) {
    const TimePoint end = now + span;
    for (TimePoint next = step(); next <= end; next = step()) now = std::max(next, now);
    now = end;
    step();
  }
  /// The same with a daemon that sends its heartbeats.
  void run_with_heartbeats(Duration span) {
    const TimePoint end = now + span;
    while (now < end) {
      daemon.heartbeat();
      run(std::min<Duration>(limits::kHeartbeatInterval, end - now));
    }
  }

  [[nodiscard]] WallTime wall_at(TimePoint when) const {
    return WallTime(Duration(1'700'000'000'000'000'000)) + when.time_since_epoch();
  }

  /// A member that runs epoch 1: module "a" with content "a1".
  void join_at_epoch_one() {
    daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
    step();
    ASSERT_EQ(session().applied_epoch(), 1U);
    events.clear();
    daemon.acks.clear();
    daemon.blob_requests.clear();
    loader.prepared.clear();
  }

  [[nodiscard]] std::vector<ClientEvent> events_of(ClientEvent::Kind kind) const {
    std::vector<ClientEvent> found;
    std::copy_if(events.begin(), events.end(), std::back_inserter(found),
                 [&](const ClientEvent& event) { return event.kind == kind; });
    return found;
  }
  [[nodiscard]] bool acked(Epoch epoch, AckPhase phase) const { return acks(epoch, phase) > 0; }
  [[nodiscard]] std::size_t acks(Epoch epoch, AckPhase phase) const {
    return static_cast<std::size_t>(
        std::count_if(daemon.acks.begin(), daemon.acks.end(),
                      [&](const AckRequest& ack) { return ack.epoch == epoch && ack.phase == phase; }));
  }
  /// What the live view has as content of a module.
  [[nodiscard]] std::string live(const std::string& module) {
    const auto view = views.current();
    const LoadedModule* found = view ? view->find(module) : nullptr;
    return found == nullptr ? "(none)" : std::string(as_text(*found->bytes()));
  }

  TimePoint now{seconds(1000)};
  SessionOptions options;
  FakeLink link;
  MemoryBlobStore cache;
  FakeLoader loader{cache};
  ScriptDaemon daemon{link};
  ViewStore views;
  std::vector<ClientEvent> events;

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace moddev::test
