#include "tests/sim/weather.h"

#include <algorithm>

namespace moddev::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

const char* to_string(Plant plant) {
  switch (plant) {
    case Plant::kNone:
      return "none";
    case Plant::kDeafToGaps:
      return "deaf-to-gaps";
    case Plant::kHastyCommit:
      return "hasty-commit";
    case Plant::kMixedView:
      return "mixed-view";
    case Plant::kLyingLease:
      return "lying-lease";
    case Plant::kForgetfulJournal:
      return "forgetful-journal";
    case Plant::kSilentPowerCut:
      return "silent-power-cut";
    case Plant::kEagerFollower:
      return "eager-follower";
    case Plant::kHastyRestart:
      return "hasty-restart";
    case Plant::kSilentRunner:
      return "silent-runner";
  }
  return "none";
}

Weather draw_weather(Random& random) {
  Weather w;
  w.executors = 1 + random.below(5);
  w.chaos = random.between(seconds(2), seconds(12));
  const auto sometimes = [&](double probability, double strength) {
    return random.chance(probability) ? strength * static_cast<double>(random.below(1000)) / 1000 : 0.0;
  };
  w.network.lose_event = sometimes(0.5, 0.5);
  w.network.lose_request = sometimes(0.4, 0.3);
  w.network.lose_reply = sometimes(0.4, 0.3);
  w.network.repeat = sometimes(0.4, 0.3);
  w.network.slow = sometimes(0.4, 0.3);
  w.network.slowest = random.chance(0.2) ? Duration(seconds(4)) : Duration(milliseconds(80));
  w.network.damage_payload = sometimes(0.2, 0.2);
  w.partitions = random.chance(0.3);
  w.daemon_restarts = random.chance(0.4);
  w.executor_restarts = random.chance(0.4);
  w.pauses = random.chance(0.3);
  w.full_disks = random.chance(0.2);
  w.lost_events = random.chance(0.1);
  w.overflows = random.chance(0.2);
  w.late_events = random.chance(0.2);
  w.no_leases = random.chance(0.12);
  w.new_repo = w.daemon_restarts && random.chance(0.08);
  w.power_cuts = w.daemon_restarts && random.chance(0.3);
  w.short_memory = random.chance(0.3);
  w.slow_loading = random.chance(0.2);
  w.refusals = sometimes(0.3, 0.2);
  w.killers = w.executor_restarts ? sometimes(0.3, 0.1) : 0;
  w.debounce = random.chance(0.2) ? Duration(milliseconds(20)) : Duration::zero();
  w.fleet.prepare_deadline = random.chance(0.5) ? seconds(2) : seconds(10);
  w.fleet.apply_deadline = random.chance(0.5) ? seconds(1) : seconds(5);
  if (random.chance(0.25))
    w.fleet.sync = random.chance(0.6) ? daemon::SyncPolicy::kMajority : daemon::SyncPolicy::kNone;
  w.deadly = w.executor_restarts ? sometimes(0.6, 0.4) : 0;
  if (w.deadly > 0) {
    // Dying, being missed and going back take their time, and more than one.
    w.executors = std::max<std::size_t>(w.executors, 2);
    w.chaos += seconds(20);
  }
  if (random.chance(w.deadly > 0 ? 0.1 : 0.5)) w.fleet.return_within = Duration::zero();
  if (random.chance(0.3)) {
    w.fleet.canaries.count = 1 + random.below(2);
    w.fleet.canary_time = random.between(milliseconds(50), seconds(3));
  }
  w.one_machine = random.chance(0.4);
  return w;
}

std::string describe(const Weather& w) {
  std::string text = std::to_string(w.executors) + " executors";
  const auto part = [&](bool there, const char* name) { text += there ? std::string(", ") + name : ""; };
  part(w.network.lose_event > 0, "events dropped");
  part(w.network.lose_request > 0, "requests dropped");
  part(w.network.lose_reply > 0, "replies dropped");
  part(w.network.repeat > 0, "messages repeated");
  part(w.network.slow > 0, "messages overtaken");
  part(w.network.damage_payload > 0, "payloads damaged");
  part(w.partitions, "partitions");
  part(w.daemon_restarts, "daemon restarts");
  part(w.executor_restarts, "executor restarts");
  part(w.pauses, "pauses");
  part(w.full_disks, "full disks");
  part(w.lost_events, "lost file events");
  part(w.overflows, "overflows");
  part(w.late_events, "late file events");
  part(w.no_leases, "no leases");
  part(w.new_repo, "lost journals");
  part(w.power_cuts, "power cuts");
  part(w.short_memory, "few epochs retained");
  part(w.slow_loading, "slow loading");
  part(w.one_machine, "one machine");
  part(w.refusals > 0, "refusals");
  part(w.killers > 0, "deadly modules");
  part(w.deadly > 0, "modules that kill later");
  part(w.fleet.return_within > Duration::zero(), "returns");
  part(w.fleet.canaries.wanted(), "canaries");
  part(w.debounce > Duration::zero(), "debounce");
  part(w.fleet.sync == daemon::SyncPolicy::kMajority, "the majority decides");
  part(w.fleet.sync == daemon::SyncPolicy::kNone, "nobody waits for anybody");
  return text;
}

}  // namespace moddev::sim
