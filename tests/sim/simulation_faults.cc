// What goes wrong in a simulated world, and when: the first act of simulation.h.
#include <algorithm>

#include "tests/sim/simulation.h"

namespace moddev::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// One more event of the world: mostly somebody builds something, now and then something breaks.
void Simulation::act() {
  // Whom a new version kills must be missed before the next one comes.
  const Duration longest = weather_.deadly > 0 ? Duration(seconds(5)) : Duration(milliseconds(900));
  act_at_ = now_ + (random_.chance(0.3) ? random_.between(Duration::zero(), milliseconds(20))
                                        : random_.between(milliseconds(20), longest));
  switch (random_.below(8)) {
    case 0:
      toolchain_.begin_build(now_);
      break;
    case 1:
    case 2:
    case 3:
      toolchain_.begin(now_);
      break;
    case 4:
      act_on_daemon();
      break;
    case 5:
      act_on_executor();
      break;
    case 6:
      act_on_watching();
      break;
    case 7: {
      ExecutorProcess& executor = *executors_[random_.below(executors_.size())];
      if (executor.up()) executor.take_pin(now_ + random_.between(milliseconds(1), seconds(5)));
      break;
    }
    default:
      break;
  }
}

void Simulation::act_on_daemon() {
  switch (random_.below(5)) {
    case 0:
      if (!weather_.daemon_restarts || !daemon_.up()) return;
      trace_("daemon is to die");
      daemon_.kill_after(random_.below(40));
      return;
    case 1: {
      if (!weather_.daemon_restarts || !daemon_.up()) return;
      const bool orderly = random_.chance(0.4);
      trace_(orderly ? "daemon stopped" : "daemon killed");
      ++tally_.daemon_deaths;
      if (orderly)
        daemon_.stop();
      else
        daemon_.kill();
      meet_disaster();
      daemon_up_at_ = now_ + random_.between(milliseconds(1), seconds(6));
      return;
    }
    case 2:
      if (!weather_.pauses) return;
      trace_("daemon paused");
      daemon_paused_until_ = now_ + random_.between(milliseconds(5), seconds(6));
      return;
    case 3:
      if (!weather_.pauses) return;
      // The whole machine slept, or somebody set the wall clock.
      trace_("clock jumps");
      if (random_.chance(0.5))
        now_ += random_.between(milliseconds(100), seconds(20));
      else
        wall_offset_ += random_.between(-std::chrono::hours(2), std::chrono::hours(2));
      act_at_ = std::max(act_at_, now_);
      return;
    default:
      if (!weather_.full_disks) return;
      trace_("daemon's disk is full");
      {
        // One disk for both, or only the one of them that asks for room first.
        const bool blobs = random_.chance(0.7);
        daemon_.fill_disk(blobs, !blobs || random_.chance(0.7));
      }
      faults_end_ = now_ + random_.between(milliseconds(50), seconds(3));
  }
}

void Simulation::meet_disaster() {
  if (weather_.power_cuts && random_.chance(0.5)) {
    trace_("power cut");
    daemon_.cut_power();
  }
  if (!weather_.new_repo || !faults_on_) return;
  if (random_.chance(0.3)) {
    trace_("journal lost");
    daemon_.lose_journal();
  } else if (random_.chance(0.3)) {
    trace_("journal damaged");
    daemon_.damage_journal();
  }
}

void Simulation::act_on_executor() {
  const std::size_t number = random_.below(executors_.size());
  ExecutorProcess& executor = *executors_[number];
  switch (random_.below(4)) {
    case 0:
      if (!weather_.executor_restarts || !executor.up()) return;
      trace_("executor stops", number);
      stop_executor(executor, random_.chance(0.5));
      executor_up_at_[number] = now_ + random_.between(milliseconds(1), seconds(5));
      return;
    case 1:
      if (!weather_.pauses) return;
      trace_("executor paused", number);
      executor_paused_until_[number] = now_ + random_.between(milliseconds(5), seconds(8));
      return;
    case 2:
      if (!weather_.partitions) return;
      trace_("executor cut off", number);
      network_.cut(number, true);
      faults_end_ = now_ + random_.between(milliseconds(50), seconds(8));
      return;
    default:
      if (!weather_.full_disks) return;
      trace_("executor's disk is full", number);
      executor.cache().full = true;
      faults_end_ = now_ + random_.between(milliseconds(50), seconds(3));
  }
}

void Simulation::act_on_watching() {
  if (!daemon_.up()) return;
  if (weather_.overflows && random_.chance(0.5)) {
    trace_("events overflow");
    daemon_.events().overflow();
  }
  if (weather_.late_events && random_.chance(0.5)) {
    trace_("events come late");
    daemon_.hold_events(true);
    faults_end_ = now_ + random_.between(milliseconds(1), seconds(1));
  }
}

/// Which contents an executor cannot load follows from their digest, so that it is the same each time.
std::optional<std::string> Simulation::refuses(std::size_t executor, const ModuleEntry& module) {
  if (!refusals_on_) return std::nullopt;
  Random fate(std::hash<Digest>{}(module.digest) ^ (options_.seed << 8) ^ executor);
  if (fate.chance(weather_.killers / static_cast<double>(executors_.size()))) doomed_[executor] = faults_on_;
  if (!fate.chance(weather_.refusals)) return std::nullopt;
  return "undefined symbol: simulated";
}

bool Simulation::is_deadly(const Manifest& manifest) const {
  return faults_on_ && std::ranges::any_of(manifest.modules, [&](const auto& named) {
           Random fate(std::hash<Digest>{}(named.second.digest) ^ (options_.seed << 8) ^ 0xDEAD);
           return fate.chance(weather_.deadly);
         });
}

}  // namespace moddev::sim
