// Keeps N workers of a server running, and brings changes to them without downtime. A state machine over the
// seam Processes: step(now) takes in what happened, does what is due and returns the next deadline. It owns
// no thread and reads no clock; it does not know how it learns of epochs (fleet_follower) or what is printed.
//
//   start -> asked until ready -> serving -> drained (SIGTERM, deadline, SIGKILL) -> stopped
//   a change: per worker nothing, a reload in place (the worker's own client does it), or a cycle
//   a cycle: one worker at a time; the new process is ready before the old one is drained
//   a new process that does not become ready, or ends soon, stops the rollout: the old ones go on, and the
//   same bytes are not tried again
//   changes during a rollout are merged: the next one goes to the newest epoch at once
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "tools/supervisor/limits.h"
#include "tools/supervisor/processes.h"
#include "tools/supervisor/rollout_rules.h"

namespace moddev::supervisor {

struct Options {
  unsigned workers = 1;
  Duration ready_patience = limits::kReadyPatience;
  Duration drain_patience = limits::kDrainPatience;
  /// How long the first workers wait for on_fleet(), to know which epoch they run.
  Duration first_fleet_patience = limits::kFirstFleetPatience;
  ModuleRules rules;
  /// How a worker is asked, for messages: "READY=1 on NOTIFY_SOCKET".
  std::string readiness = "READY=1 on NOTIFY_SOCKET";
  /// What to do about a worker that never is; empty when a person has chosen how it is asked.
  std::string readiness_advice =
      "A server that does not say READY=1 needs --ready-tcp PORT or --ready-command SH.";
};

/// What is committed, and which processes of this machine are members of the fleet.
struct FleetPicture {
  Manifest committed;
  std::vector<std::int64_t> member_pids;
};

struct SupervisorEvent {
  enum class Kind : std::uint8_t {
    kStarted,         // worker, pid, epoch (on disk at that time; 0: not known)
    kReady,           // worker, pid, elapsed
    kServing,         // all workers are ready, for the first time or again; count
    kDraining,        // worker, pid, message (why)
    kStopped,         // worker, pid, exit, expected, message (when not expected)
    kRestarting,      // worker, delay, count (ends in a row), message
    kCrashLoop,       // worker, count, delay, message
    kRolloutStarted,  // epoch, modules, workers (that are cycled), count (that reload in place)
    kRolloutDone,     // epoch, modules, workers (that were cycled), count, elapsed
    kRolloutStopped,  // epoch, worker, workers (that stay with the old code), message
  };
  Kind kind = Kind::kStarted;
  unsigned worker = 0;
  std::int64_t pid = 0;
  Epoch epoch = 0;
  std::vector<std::string> modules{};
  std::vector<unsigned> workers{};
  std::uint64_t count = 0;
  ExitStatus exit{};
  bool expected = false;
  Duration elapsed{};
  Duration delay{};
  std::string message{};
};

class Supervisor {
 public:
  /// `processes` must outlive it.
  Supervisor(Options options, Processes& processes);
  ~Supervisor();

  /// The newest picture; an equal one changes nothing.
  void on_fleet(FleetPicture picture);
  /// Drains all workers; a second call kills them.
  void stop();

  TimePoint step(TimePoint now);
  [[nodiscard]] std::vector<SupervisorEvent> take_events();

  /// After stop(): no process is left.
  [[nodiscard]] bool stopped() const;
  /// The command could not be executed at the start: nothing runs, and trying again cannot help.
  [[nodiscard]] const Error* start_error() const;
  /// Workers that are ready.
  [[nodiscard]] unsigned serving() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev::supervisor
