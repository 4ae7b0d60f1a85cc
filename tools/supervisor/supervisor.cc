#include "tools/supervisor/supervisor.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>

namespace moddev::supervisor {
namespace {

using Kind = SupervisorEvent::Kind;
using ManifestPtr = std::shared_ptr<const Manifest>;

std::string seconds(Duration duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

std::string list(const std::vector<unsigned>& workers) {
  std::string text;
  for (const unsigned worker : workers) text += (text.empty() ? "" : ", ") + std::to_string(worker);
  return text;
}

struct Child {
  ProcessId id = 0;
  std::int64_t pid = 0;
  TimePoint started{};
  TimePoint ready_since = kNever;  // kNever: not ready
  TimePoint deadline{};            // to be ready, or to be gone
  TimePoint ask_at{};
  /// What was committed when it started, or what it has reloaded to; null while no daemon was there.
  ManifestPtr runs;
  bool embeds_client = false;
  /// The rollout that is going on replaces it.
  bool outdated = false;
  /// It was started by the rollout that is going on.
  bool of_rollout = false;
};

/// One worker: who serves, and who is about to take over (or to be the first).
struct Slot {
  std::optional<Child> serving;
  std::optional<Child> coming;
  TimePoint start_at{};  // when both are missing
  Duration backoff{};
  unsigned ends_in_a_row = 0;
};

struct Draining {
  unsigned worker = 0;
  Child child;
  bool expected = true;
  bool killed = false;
};

struct Rollout {
  Epoch epoch = 0;
  std::vector<std::string> modules;
  std::vector<unsigned> cycled;
  std::uint64_t reloaded = 0;
  TimePoint since{};
  std::optional<unsigned> current;
  ManifestPtr tried;  // what was committed when its latest process was started
};

}  // namespace

std::string describe(const ExitStatus& status) {
  if (status.signal == 0) return "exit code " + std::to_string(status.code);
  const char* name = ::strsignal(status.signal);
  return "signal " + std::to_string(status.signal) + (name == nullptr ? "" : " (" + std::string(name) + ")");
}

struct Supervisor::State {
  State(Options given, Processes& seam)
      : options(std::move(given)), processes(seam), slots(options.workers) {}

  TimePoint step(TimePoint time);
  void take(const ProcessEvent& event);
  void on_ready(unsigned worker);
  void on_exit(const ProcessEvent& event);
  void begin_stopping();
  void kill_the_late();
  void ask_the_coming();
  void start_the_missing();
  void begin_rollout();
  void advance_rollout();
  void stop_rollout(unsigned worker, std::string why);

  void start(unsigned worker, bool of_rollout);
  void drain(unsigned worker, Child child, const std::string& why, bool by_itself = false);
  void abandon_coming(unsigned worker, const std::string& why);
  void plan_restart(unsigned worker, const Child& ended);
  void emit(SupervisorEvent event);
  SupervisorEvent event_of(Kind kind, unsigned worker, const Child& child) const;
  void tell_serving();
  [[nodiscard]] unsigned count_serving() const;
  [[nodiscard]] bool drains(unsigned worker) const;
  [[nodiscard]] TimePoint next_deadline() const;

  Options options;
  Processes& processes;
  std::vector<Slot> slots;
  std::vector<Draining> draining;

  TimePoint now{};
  TimePoint fleet_deadline = kNever;
  bool begun = false;
  bool any_started = false;
  unsigned stops = 0;       // stop() calls
  unsigned stops_done = 0;  // those acted on
  bool all_serving = false;
  std::optional<Error> start_error;

  ManifestPtr newest;
  Epoch newest_epoch = 0;
  ManifestPtr planned_for;  // the newest that a rollout was planned for
  ManifestPtr refused;      // what a rollout was stopped at
  std::optional<Rollout> rollout;

  std::deque<SupervisorEvent> events;
};

Supervisor::Supervisor(Options options, Processes& processes)
    : state_(std::make_unique<State>(std::move(options), processes)) {}
Supervisor::~Supervisor() = default;

void Supervisor::stop() {
  ++state_->stops;
}
TimePoint Supervisor::step(TimePoint now) {
  return state_->step(now);
}
bool Supervisor::stopped() const {
  return state_->stops_done > 0 && state_->draining.empty();
}
const Error* Supervisor::start_error() const {
  return state_->start_error ? &*state_->start_error : nullptr;
}
unsigned Supervisor::serving() const {
  return state_->count_serving();
}

std::vector<SupervisorEvent> Supervisor::take_events() {
  std::vector<SupervisorEvent> taken(std::make_move_iterator(state_->events.begin()),
                                     std::make_move_iterator(state_->events.end()));
  state_->events.clear();
  return taken;
}

void Supervisor::on_fleet(FleetPicture picture) {
  State& s = *state_;
  std::vector<ProcessId> members;
  for (const std::int64_t pid : picture.member_pids) {
    if (const auto owner = s.processes.owner_of(pid)) members.push_back(*owner);
  }
  s.newest_epoch = picture.committed.epoch;
  if (!s.newest || !affected_modules(*s.newest, picture.committed).empty()) {
    s.newest = std::make_shared<const Manifest>(std::move(picture.committed));
  }
  for (Slot& slot : s.slots) {
    for (std::optional<Child>* child : {&slot.serving, &slot.coming}) {
      if (!*child) continue;
      if (std::find(members.begin(), members.end(), (*child)->id) != members.end())
        (*child)->embeds_client = true;
      // Started before any daemon told: from here on its changes are known.
      if (!(*child)->runs) (*child)->runs = s.newest;
    }
  }
}

// ------------------------------------------------------------------------------------------------- the steps

TimePoint Supervisor::State::step(TimePoint time) {
  now = time;
  if (fleet_deadline == kNever) fleet_deadline = now + options.first_fleet_patience;
  while (const auto event = processes.poll()) take(*event);
  begin_stopping();
  kill_the_late();
  if (stops_done == 0 && !start_error) {
    begun = begun || newest || now >= fleet_deadline;
    if (begun) start_the_missing();
    advance_rollout();
  }
  ask_the_coming();
  tell_serving();
  return next_deadline();
}

void Supervisor::State::take(const ProcessEvent& event) {
  if (event.kind == ProcessEvent::Kind::kExited) return on_exit(event);
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    Slot& slot = slots[worker];
    const bool is_coming = slot.coming && slot.coming->id == event.id;
    const bool is_serving = slot.serving && slot.serving->id == event.id;
    if (event.kind == ProcessEvent::Kind::kReady && is_coming) return on_ready(worker);
    if (event.kind != ProcessEvent::Kind::kStopping || (!is_coming && !is_serving)) continue;
    // It ends by itself and in good order: it has the same time for it as one that is told to.
    std::optional<Child>& place = is_coming ? slot.coming : slot.serving;
    const Child child = *std::exchange(place, std::nullopt);
    const std::string why = "it said STOPPING=1";
    drain(worker, child, why, true);
    if (child.of_rollout && rollout) {
      stop_rollout(worker,
                   "the new process (pid " + std::to_string(child.pid) + ") ended by itself: " + why + ".");
    }
    if (!slot.serving && !slot.coming) plan_restart(worker, child);
    return;
  }
}

void Supervisor::State::on_ready(unsigned worker) {
  Slot& slot = slots[worker];
  Child child = *std::exchange(slot.coming, std::nullopt);
  child.ready_since = now;
  SupervisorEvent event = event_of(Kind::kReady, worker, child);
  event.elapsed = now - child.started;
  emit(std::move(event));
  if (slot.serving) {
    const Child old = *std::exchange(slot.serving, std::nullopt);
    drain(worker, old, "replaced by pid " + std::to_string(child.pid));
  }
  slot.serving = std::move(child);
}

void Supervisor::State::on_exit(const ProcessEvent& event) {
  const auto drained = std::find_if(draining.begin(), draining.end(),
                                    [&](const Draining& one) { return one.child.id == event.id; });
  if (drained != draining.end()) {
    SupervisorEvent stopped = event_of(Kind::kStopped, drained->worker, drained->child);
    stopped.exit = event.exit;
    stopped.expected = drained->expected;
    draining.erase(drained);
    return emit(std::move(stopped));
  }
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    Slot& slot = slots[worker];
    const bool is_coming = slot.coming && slot.coming->id == event.id;
    if (!is_coming && !(slot.serving && slot.serving->id == event.id)) continue;
    const Child child = *std::exchange(is_coming ? slot.coming : slot.serving, std::nullopt);
    const std::string after =
        is_coming ? "before it was ready" : "after it had served for " + seconds(now - child.ready_since);
    SupervisorEvent stopped = event_of(Kind::kStopped, worker, child);
    stopped.exit = event.exit;
    stopped.message = "Worker " + std::to_string(worker) + " (pid " + std::to_string(child.pid) +
                      ") ended by itself, " + after + ": " + describe(event.exit) + ".";
    emit(std::move(stopped));
    if (child.of_rollout && rollout) {
      stop_rollout(worker, "the new process (pid " + std::to_string(child.pid) + ") ended by itself, " +
                               after + ": " + describe(event.exit) + ".");
    }
    if (!slot.serving && !slot.coming) plan_restart(worker, child);
    return;
  }
}

void Supervisor::State::begin_stopping() {
  if (stops_done == stops) return;
  const bool first = stops_done == 0;
  stops_done = stops;
  rollout.reset();
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    for (std::optional<Child>* place : {&slots[worker].coming, &slots[worker].serving}) {
      if (*place) drain(worker, *std::exchange(*place, std::nullopt), "the supervisor stops");
    }
  }
  if (first && stops < 2) return;
  for (Draining& one : draining) one.child.deadline = now;
}

void Supervisor::State::kill_the_late() {
  for (Draining& one : draining) {
    if (one.killed || now < one.child.deadline) continue;
    one.killed = true;
    processes.signal(one.child.id, ProcessSignal::kKill);
  }
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    const auto& coming = slots[worker].coming;
    if (!coming || now < coming->deadline) continue;
    abandon_coming(worker, "did not become ready within " + seconds(options.ready_patience) +
                               " (asked: " + options.readiness + ")");
  }
}

void Supervisor::State::abandon_coming(unsigned worker, const std::string& why) {
  Slot& slot = slots[worker];
  const Child child = *std::exchange(slot.coming, std::nullopt);
  const std::string who = "pid " + std::to_string(child.pid);
  SupervisorEvent event = event_of(Kind::kDraining, worker, child);
  event.message = "Worker " + std::to_string(worker) + " (" + who + ") " + why + "; it is killed.";
  if (!options.readiness_advice.empty()) event.message += " " + options.readiness_advice;
  emit(std::move(event));
  draining.push_back({worker, child, false, true});
  processes.signal(child.id, ProcessSignal::kKill);
  if (child.of_rollout && rollout) stop_rollout(worker, "the new process (" + who + ") " + why + ".");
  if (!slot.serving) plan_restart(worker, child);
}

void Supervisor::State::ask_the_coming() {
  for (Slot& slot : slots) {
    if (!slot.coming || now < slot.coming->ask_at) continue;
    slot.coming->ask_at = now + limits::kProbeInterval;
    processes.ask_ready(slot.coming->id, now);
  }
}

void Supervisor::State::start_the_missing() {
  for (unsigned worker = 0; worker < slots.size() && !start_error; ++worker) {
    Slot& slot = slots[worker];
    if (!slot.serving && !slot.coming && now >= slot.start_at) start(worker, false);
  }
}

// ---------------------------------------------------------------------------------------------------
// rollouts

void Supervisor::State::begin_rollout() {
  if (planned_for == newest) return;
  planned_for = newest;
  const bool same_as_refused = refused && affected_modules(*refused, *newest).empty();
  if (!same_as_refused) refused.reset();

  Rollout plan;
  plan.epoch = newest_epoch;
  plan.since = now;
  std::vector<unsigned> to_cycle;
  // Most workers started on the same epoch: its difference to the newest is found once.
  std::map<const Manifest*, std::vector<std::string>> differences;
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    for (std::optional<Child>* place : {&slots[worker].serving, &slots[worker].coming}) {
      if (!*place) continue;
      Child& child = **place;
      const auto [difference, unknown] = differences.try_emplace(child.runs.get());
      if (unknown && child.runs) difference->second = affected_modules(*child.runs, *newest);
      const std::vector<std::string>& affected = difference->second;
      const Treatment treatment = treatment_of(affected, options.rules, child.embeds_client);
      child.outdated = treatment == Treatment::kCycle && !same_as_refused;
      if (child.outdated && (to_cycle.empty() || to_cycle.back() != worker)) to_cycle.push_back(worker);
      if (treatment == Treatment::kReload) ++plan.reloaded;
      if (treatment != Treatment::kCycle) child.runs = newest;
      if (treatment == Treatment::kNothing) continue;
      std::vector<std::string> all;
      std::set_union(plan.modules.begin(), plan.modules.end(), affected.begin(), affected.end(),
                     std::back_inserter(all));
      plan.modules = std::move(all);
    }
  }
  if (to_cycle.empty() && plan.reloaded == 0) return;
  SupervisorEvent event;
  event.kind = Kind::kRolloutStarted;
  event.epoch = plan.epoch;
  event.modules = plan.modules;
  event.workers = std::move(to_cycle);
  event.count = plan.reloaded;
  emit(std::move(event));
  rollout = std::move(plan);
}

void Supervisor::State::advance_rollout() {
  if (!newest) return;
  if (!rollout) begin_rollout();
  if (!rollout) return;
  if (rollout->current) {
    const unsigned worker = *rollout->current;
    if (slots[worker].coming || drains(worker)) return;
    rollout->cycled.push_back(worker);
    rollout->current.reset();
  }
  bool waits = false;  // for one that is still starting
  for (unsigned worker = 0; worker < slots.size(); ++worker) {
    Slot& slot = slots[worker];
    waits = waits || (slot.coming && slot.coming->outdated);
    if (!slot.serving || !slot.serving->outdated || slot.coming) continue;
    rollout->current = worker;
    rollout->tried = newest;
    return start(worker, true);
  }
  if (waits) return;
  SupervisorEvent event;
  event.kind = Kind::kRolloutDone;
  event.epoch = rollout->epoch;
  event.modules = std::move(rollout->modules);
  event.workers = std::move(rollout->cycled);
  event.count = rollout->reloaded;
  event.elapsed = now - rollout->since;
  emit(std::move(event));
  rollout.reset();
  for (Slot& slot : slots) {
    if (slot.serving) slot.serving->of_rollout = false;
  }
}

void Supervisor::State::stop_rollout(unsigned worker, std::string why) {
  SupervisorEvent event;
  event.kind = Kind::kRolloutStopped;
  event.epoch = rollout->epoch;
  event.worker = worker;
  event.modules = std::move(rollout->modules);
  for (unsigned other = 0; other < slots.size(); ++other) {
    Slot& slot = slots[other];
    if (slot.serving && slot.serving->outdated) event.workers.push_back(other);
    for (std::optional<Child>* place : {&slot.serving, &slot.coming}) {
      if (!*place) continue;
      (*place)->outdated = false;
      (*place)->of_rollout = false;
    }
  }
  event.message = "The rollout of epoch " + std::to_string(rollout->epoch) + " stopped at worker " +
                  std::to_string(worker) + ": " + why;
  event.message += event.workers.empty() ? " No worker is left with the old code."
                                         : " With the old code go on: worker " + list(event.workers) + ".";
  event.message += " The next change starts a new rollout.";
  emit(std::move(event));
  refused = rollout->tried;
  rollout.reset();
}

// ---------------------------------------------------------------------------------------------- the
// processes

void Supervisor::State::start(unsigned worker, bool of_rollout) {
  const auto started = processes.spawn(worker);
  if (!started) {
    const std::string why = "could not be started: " + started.error().message;
    if (of_rollout) return stop_rollout(worker, "the new process " + why);
    if (!any_started) {
      start_error = started.error();
      return;
    }
    SupervisorEvent event;
    event.kind = Kind::kStopped;
    event.worker = worker;
    event.exit.code = 127;  // as shells say it
    event.message = "Worker " + std::to_string(worker) + " " + why;
    emit(std::move(event));
    return plan_restart(worker, Child{});
  }
  any_started = true;
  Child child;
  child.id = started->id;
  child.pid = started->pid;
  child.started = now;
  child.ask_at = now;
  child.deadline = now + options.ready_patience;
  child.runs = newest;
  child.of_rollout = of_rollout;
  SupervisorEvent event = event_of(Kind::kStarted, worker, child);
  event.epoch = newest ? newest_epoch : 0;
  slots[worker].coming = std::move(child);
  emit(std::move(event));
}

void Supervisor::State::drain(unsigned worker, Child child, const std::string& why, bool by_itself) {
  SupervisorEvent event = event_of(Kind::kDraining, worker, child);
  event.message = why;
  emit(std::move(event));
  child.deadline = now + options.drain_patience;
  const ProcessId id = child.id;
  draining.push_back({worker, std::move(child), !by_itself, false});
  if (!by_itself) processes.signal(id, ProcessSignal::kTerminate);
}

void Supervisor::State::plan_restart(unsigned worker, const Child& ended) {
  Slot& slot = slots[worker];
  if (ended.ready_since != kNever && now - ended.ready_since >= limits::kStableAfter) {
    slot.ends_in_a_row = 0;
    slot.backoff = {};
  }
  ++slot.ends_in_a_row;
  slot.backoff = slot.backoff == Duration{} ? Duration(limits::kBackoffFirst)
                                            : std::min<Duration>(slot.backoff * 2, limits::kBackoffLast);
  slot.start_at = now + slot.backoff;
  if (stops > 0) return;
  SupervisorEvent event;
  event.kind = Kind::kRestarting;
  event.worker = worker;
  event.count = slot.ends_in_a_row;
  event.delay = slot.backoff;
  event.message = "Worker " + std::to_string(worker) + " is started again in " + seconds(slot.backoff) + ".";
  emit(event);
  if (slot.ends_in_a_row != limits::kCrashLoop) return;
  event.kind = Kind::kCrashLoop;
  const bool never_ready = ended.ready_since == kNever && now >= ended.deadline;
  event.message =
      "Worker " + std::to_string(worker) + " ended " + std::to_string(slot.ends_in_a_row) +
      " times in a row without serving for " + seconds(limits::kStableAfter) +
      ". It is started again and again, at last every " + seconds(limits::kBackoffLast) + ". " +
      (never_ready ? "The last time it was not ready within " + seconds(options.ready_patience) + "."
                   : "Its own output says why it ends.");
  if (never_ready && !options.readiness_advice.empty()) event.message += " " + options.readiness_advice;
  emit(std::move(event));
}

// ------------------------------------------------------------------------------------------------ small
// things

SupervisorEvent Supervisor::State::event_of(Kind kind, unsigned worker, const Child& child) const {
  SupervisorEvent event;
  event.kind = kind;
  event.worker = worker;
  event.pid = child.pid;
  if (child.runs) event.epoch = child.runs->epoch;
  return event;
}

void Supervisor::State::emit(SupervisorEvent event) {
  if (events.size() >= limits::kWaitingEvents) events.pop_front();
  events.push_back(std::move(event));
}

void Supervisor::State::tell_serving() {
  const unsigned count = count_serving();
  const bool all = count == slots.size();
  if (all && !all_serving) {
    SupervisorEvent event;
    event.kind = Kind::kServing;
    event.count = count;
    emit(std::move(event));
  }
  all_serving = all;
}

unsigned Supervisor::State::count_serving() const {
  return static_cast<unsigned>(
      std::count_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.serving.has_value(); }));
}

bool Supervisor::State::drains(unsigned worker) const {
  return std::any_of(draining.begin(), draining.end(),
                     [&](const Draining& one) { return one.worker == worker; });
}

TimePoint Supervisor::State::next_deadline() const {
  // A change that came meanwhile begins its rollout at once.
  if (newest && !rollout && planned_for != newest && stops_done == 0 && !start_error) return now;
  TimePoint next = kNever;
  for (const Draining& one : draining) {
    if (!one.killed) next = std::min(next, one.child.deadline);
  }
  for (const Slot& slot : slots) {
    if (slot.coming) next = std::min({next, slot.coming->deadline, slot.coming->ask_at});
    if (!slot.serving && !slot.coming && stops_done == 0 && !start_error) {
      next = std::min(next, begun ? slot.start_at : fleet_deadline);
    }
  }
  return next;
}

}  // namespace moddev::supervisor
