// A fleet, a clock, and what the daemon would have to do, for the tests of the two-phase switch.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/fleet.h"
#include "daemon/limits.h"

namespace moddev::daemon {

using Kind = FleetAction::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline Uuid uuid(unsigned n) {
  Uuid id;
  for (std::size_t i = 0; i < sizeof n; ++i) id.bytes[15 - i] = static_cast<std::uint8_t>(n >> (8 * i));
  return id;
}

class FleetTest : public testing::Test {
 protected:
  void join(unsigned n, Epoch runs = 0) {
    ASSERT_TRUE(
        fleet.join({{uuid(n), "worker-" + std::to_string(n), "host", static_cast<std::int64_t>(n)}, {}, runs},
                   committed, now));
  }
  bool ack(unsigned n, Epoch epoch, AckPhase phase, std::vector<ModuleFailure> failures = {}) {
    return fleet.ack({uuid(n), epoch, phase, std::move(failures), 0}, now);
  }
  void prepared(unsigned n, Epoch epoch) { ack(n, epoch, AckPhase::kPrepared); }
  void applied(unsigned n, Epoch epoch) { ack(n, epoch, AckPhase::kApplied); }
  void refuses(unsigned n, Epoch epoch, const std::string& why) {
    ack(n, epoch, AckPhase::kFailed, {{"scorer", why}});
  }
  bool alive(unsigned n, Epoch epoch = 0) {
    return fleet.alive({uuid(n), ExecutorState::kLive, epoch, {}, 0}, now);
  }
  void begin(Epoch epoch) { fleet.begin(epoch, now, now); }

  /// One step; commits are recorded and published at once.
  std::vector<FleetAction> step() {
    std::vector<FleetAction> all;
    std::vector<FleetAction> actions;
    do {
      actions.clear();
      next = fleet.step(now, actions);
      for (const FleetAction& action : actions) {
        if (action.kind == Kind::kCommit && record_commits) commit(action.epoch);
        all.push_back(action);
      }
    } while (!actions.empty());
    return all;
  }
  void commit(Epoch epoch) {
    committed = epoch;
    fleet.committed(now);
  }
  std::vector<Kind> kinds() {
    std::vector<Kind> result;
    for (const FleetAction& action : step()) result.push_back(action.kind);
    return result;
  }
  /// The members 1..count, all on epoch 1, nothing under way.
  void a_fleet_of(unsigned count) {
    for (unsigned n = 1; n <= count; ++n) join(n);
    begin(1);
    for (unsigned n = 1; n <= count; ++n) prepared(n, 1);
    step();
    for (unsigned n = 1; n <= count; ++n) applied(n, 1);
    step();
    ASSERT_FALSE(fleet.busy());
  }
  ExecutorStatus status_of(unsigned n) {
    for (const ExecutorStatus& status : fleet.status(committed, now)) {
      if (status.identity.id == uuid(n)) return status;
    }
    return {};
  }
  void pass(Duration d) { now += d; }

  Fleet fleet{FleetOptions{}};
  TimePoint now{seconds(1000)};
  TimePoint next = kNever;
  Epoch committed = 0;
  bool record_commits = true;
};

}  // namespace moddev::daemon
