// A fleet whose members do what a test says, and a clock.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/fleet.h"
#include "daemon/limits.h"

namespace moddev::daemon::fleets {

using Kind = FleetAction::Kind;
using Kinds = std::vector<Kind>;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline Uuid uuid(unsigned n) {
  Uuid id;
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

/// A fleet, a clock, and what the daemon would have to do. Members that are not `dead` renew their lease.
class Fleets {
 public:
  explicit Fleets(FleetOptions options) : fleet(std::move(options)) {}

  void join(unsigned n, Epoch runs = 0) { join(n, "w" + std::to_string(n), runs); }
  void join(unsigned n, const std::string& name, Epoch runs = 0) {
    ASSERT_TRUE(fleet.join({{uuid(n), name, "host", 1}, {}, runs}, committed, now));
    lives.insert(n);
  }
  void ack(unsigned n, AckPhase phase, Epoch of) {
    AckRequest request{uuid(n), of, phase, {}, 0};
    if (phase == AckPhase::kFailed) request.failures = {{"scorer", "undefined symbol"}};
    fleet.ack(request, now);
  }
  void prepared(unsigned n) { ack(n, AckPhase::kPrepared, epoch); }
  void applied(unsigned n) { ack(n, AckPhase::kApplied, epoch); }
  void refuses(unsigned n) { ack(n, AckPhase::kFailed, epoch); }
  void begin(bool known_good = false) { fleet.begin(++epoch, now, now, known_good); }

  /// What came of it, and of `length` more time.
  Kinds run(Duration length = Duration::zero()) {
    Kinds kinds;
    const TimePoint end = now + length;
    for (;;) {
      std::vector<FleetAction> actions;
      TimePoint next = fleet.step(now, actions);
      for (FleetAction& action : actions) {
        if (action.kind == Kind::kCommit) {
          committed = action.epoch;
          fleet.committed(now);
        }
        if (action.kind != Kind::kJoined && action.kind != Kind::kRepeatAnnounce &&
            action.kind != Kind::kRepeatCommit && action.kind != Kind::kRepeatTrial)
          kinds.push_back(action.kind);
        last[action.kind] = std::move(action);
      }
      if (!actions.empty()) continue;
      if (now >= end) return kinds;
      now = std::min({end, std::max(next, now + milliseconds(1)), now + milliseconds(900)});
      for (const unsigned n : lives) (void)fleet.alive({uuid(n), ExecutorState::kLive, 0, {}, 0}, now);
    }
  }
  /// The members 1..count, on an epoch that all have applied.
  void settle_on_one(unsigned count) {
    for (unsigned n = 1; n <= count; ++n) join(n);
    begin();
    for (unsigned n = 1; n <= count; ++n) prepared(n);
    run();
    for (unsigned n = 1; n <= count; ++n) applied(n);
    run();
    ASSERT_FALSE(fleet.busy());
    run(limits::kAftermath);  // what happens now is no news about that epoch
  }
  /// Of the members 1 and 2 the first is a canary and has been told to switch.
  void begin_trial() {
    settle_on_one(1);
    join(2);
    begin();
    prepared(1);
    prepared(2);
    ASSERT_EQ(run(), Kinds{Kind::kTrial});
  }
  void die(unsigned n) { lives.erase(n); }

  Fleet fleet;
  TimePoint now{seconds(1000)};
  Epoch epoch = 0;
  Epoch committed = 0;
  std::set<unsigned> lives;
  std::map<Kind, FleetAction> last;
};

inline FleetOptions with_sync(SyncPolicy policy) {
  FleetOptions options;
  options.sync = policy;
  return options;
}
inline FleetOptions with_canaries(std::size_t count, std::vector<std::string> names = {}) {
  FleetOptions options;
  options.canaries = {count, std::move(names)};
  return options;
}

}  // namespace moddev::daemon::fleets
