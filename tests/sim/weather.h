// What one seed's world is like: how many executors, which faults, how strong. Drawn once, so that quiet
// worlds with a single kind of fault occur as well as worlds where everything happens at once.
#pragma once

#include <cstddef>
#include <string>

#include "daemon/fleet.h"
#include "tests/support/world/random.h"
#include "tests/support/world/sim_network.h"

namespace moddev::sim {

/// Known mistakes, to prove that the checkers notice them.
enum class Plant : std::uint8_t {
  kNone,
  kDeafToGaps,        // a client that no heartbeat, gap or answer tells that it lags
  kHastyCommit,       // a client that switches at the announcement
  kMixedView,         // a loader that leaves a module of the former epoch in the new view
  kLyingLease,        // a file system whose lease ignores writers
  kForgetfulJournal,  // after a crash the disk holds an older journal
  kSilentPowerCut,    // a power cut that the next daemon cannot know of
  kEagerFollower,     // a client that switches when only canaries shall
  kHastyRestart,      // a daemon that decides after a start before those that ran are back
  kSilentRunner       // a client that leaves out a part of its runs and takes it for told
};
[[nodiscard]] const char* to_string(Plant plant);

struct Weather {
  std::size_t executors = 3;
  Duration chaos{};
  NetworkFaults network;
  bool partitions = false;
  bool daemon_restarts = false;
  bool executor_restarts = false;
  bool pauses = false;  // SIGSTOP, a debugger, a machine that sleeps
  bool full_disks = false;
  bool lost_events = false;  // silently, as on NFS
  bool overflows = false;
  bool late_events = false;
  bool no_leases = false;
  bool new_repo = false;  // somebody deletes the journal, or the disk damages it
  bool power_cuts = false;
  bool short_memory = false;  // few epochs are retained
  bool slow_loading = false;
  double refusals = 0;       // this part of all contents cannot be loaded by some executor
  double killers = 0;        // this part kills the executor that loads it
  double deadly = 0;         // this part kills every executor soon after it has switched
  bool one_machine = false;  // the daemon sees which executors live
  Duration debounce{};
  daemon::FleetOptions fleet;
};

[[nodiscard]] Weather draw_weather(Random& random);
/// In one line, for a trace.
[[nodiscard]] std::string describe(const Weather& weather);

}  // namespace moddev::sim
