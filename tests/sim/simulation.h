// A whole world on virtual time from one seed: a directory with writers, a daemon, executors, a network, and
// faults. First everything goes wrong that the seed's weather allows; then the faults stop, and within a
// bounded time everyone must run what is in the directory. The cores are the production ones, unmodified.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/checkers.h"
#include "tests/sim/daemon_process.h"
#include "tests/sim/executor_process.h"
#include "tests/sim/weather.h"
#include "tests/support/world/random.h"
#include "tests/support/world/sim_network.h"
#include "tests/support/world/toolchain.h"
#include "tests/support/world/trace.h"

namespace moddev::sim {

struct SimulationOptions {
  std::uint64_t seed = 1;
  Plant plant = Plant::kNone;
  bool print = false;
};

/// How much happened: a world in which nothing does proves nothing.
struct Tally {
  std::uint64_t announced = 0;
  std::uint64_t committed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t trials = 0;   // epochs that canaries ran first
  std::uint64_t returns = 0;  // epochs that were gone back from
  std::uint64_t applied = 0;
  std::uint64_t daemon_deaths = 0;
  std::uint64_t executor_deaths = 0;
  std::uint64_t messages = 0;
  Duration to_converge{};
  Tally& operator+=(const Tally& other);
};

struct SimulationResult {
  std::optional<Violation> violation;
  std::uint64_t trace_digest = 0;
  Tally tally;
};

[[nodiscard]] SimulationResult simulate(const SimulationOptions& options);

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  SimulationResult run();

 private:
  // The acts.
  void chaos();
  /// Everything works again but for modules that some executors cannot load.
  void truce();
  void heal();
  void end_faults();
  void settle();

  /// Runs the world until `end`, or until `enough` holds.
  template <typename Condition>
  void run_until(TimePoint end, Condition enough);
  [[nodiscard]] TimePoint next_instant() const;
  bool step_ready();
  void step_daemon();
  void step_executor(ExecutorProcess& executor);
  void start_daemon();
  void wire(SimTransport& transport);
  void check_runs(const ExecutorProcess& executor, const Request& request);

  // What goes wrong.
  void act();
  void act_on_daemon();
  void act_on_executor();
  void act_on_watching();
  /// What may become of the disk of a daemon that is down.
  void meet_disaster();
  [[nodiscard]] std::optional<std::string> refuses(std::size_t executor, const ModuleEntry& module);
  /// Some contents are the death of everyone who runs them.
  [[nodiscard]] bool is_deadly(const Manifest& manifest) const;

  void observe(ExecutorProcess& executor);
  [[nodiscard]] bool converged() const;
  [[nodiscard]] std::string who_lags() const;
  /// What is not recorded of the runs of one executor.
  [[nodiscard]] std::optional<std::string> untold(const ExecutorProcess& executor) const;
  void ask_for_refresh();
  void start_executor(ExecutorProcess& executor);
  void stop_executor(ExecutorProcess& executor, bool says_goodbye);
  [[nodiscard]] WallTime wall() const { return WallTime(now_.time_since_epoch() + wall_offset_); }
  [[nodiscard]] bool failed() const { return verdict_.first().has_value(); }

  SimulationOptions options_;
  Random random_;
  Weather weather_;
  Trace trace_;
  TimePoint now_{std::chrono::seconds(1000)};
  Duration wall_offset_ = std::chrono::hours(24 * 365 * 55);

  Verdict verdict_;
  Chronicle chronicle_;
  watcher::testing::FakeFileSystem files_;
  Toolchain toolchain_;
  NeverTorn never_torn_;
  NeverMissed never_missed_;
  OnlyRises only_rises_;
  PerProcess per_process_;
  PerFleet per_fleet_;
  LastGood last_good_;
  InTime in_time_;
  Returns returns_;
  Rejoins rejoins_;
  RunsTold runs_told_;
  Bounded bounded_;

  SimNetwork network_;
  DaemonProcess daemon_;
  std::vector<std::unique_ptr<ExecutorProcess>> executors_;

  bool faults_on_ = true;
  bool refusals_on_ = true;
  TimePoint daemon_stepped_{};
  TimePoint healed_at_ = kNever;
  TimePoint act_at_{};
  TimePoint daemon_up_at_ = kNever;
  TimePoint daemon_paused_until_{};
  std::vector<TimePoint> executor_up_at_;
  std::vector<TimePoint> executor_paused_until_;
  std::vector<bool> doomed_;
  std::vector<TimePoint> dies_at_;
  TimePoint faults_end_ = kNever;  // of the temporary ones under way
  std::uint64_t newest_seq_ = 0;
  std::map<std::pair<std::size_t, std::uint64_t>, Uuid> joining_;
  std::vector<const View*> seen_;  // per executor, the view that was checked last
  std::optional<std::uint64_t> refresh_id_;
  bool refreshed_ = false;
  Tally tally_;
};

}  // namespace moddev::sim
