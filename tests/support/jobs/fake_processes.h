// Processes without processes: records what the supervisor does, and says what the test tells it to.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/supervisor/processes.h"

namespace moddev::test {

class FakeProcesses final : public supervisor::Processes {
 public:
  using Id = supervisor::ProcessId;
  struct Process {
    unsigned worker = 0;
    std::int64_t pid = 0;
    unsigned asked = 0;
    std::vector<supervisor::ProcessSignal> signals;
  };

  Result<supervisor::StartedProcess> spawn(unsigned worker) override {
    if (spawn_error) return *spawn_error;
    const Id id = ++last_id_;
    living[id] = {worker, static_cast<std::int64_t>(1000 + id), 0, {}};
    started.push_back(id);
    most_living = std::max(most_living, living.size());
    return supervisor::StartedProcess{id, living[id].pid};
  }
  void ask_ready(Id id, TimePoint) override {
    if (!living.contains(id)) return;
    ++living[id].asked;
    if (ready_when_asked && !never_ready.contains(id)) ready(id);
  }
  void signal(Id id, supervisor::ProcessSignal signal) override {
    if (!living.contains(id)) return;
    living[id].signals.push_back(signal);
    if (signal == supervisor::ProcessSignal::kKill) return exit(id, {0, 9});
    terminated.push_back(id);
    if (obedient) exit(id, {0, 0});
  }
  std::optional<supervisor::ProcessEvent> poll() override {
    if (events_.empty()) return std::nullopt;
    const auto event = events_.front();
    events_.pop_front();
    return event;
  }
  [[nodiscard]] std::optional<Id> owner_of(std::int64_t pid) const override {
    for (const auto& [id, process] : living) {
      if (process.pid == pid) return id;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

  // What happens to a process.
  void ready(Id id) {
    if (ready_.insert(id).second) events_.push_back({id, supervisor::ProcessEvent::Kind::kReady, {}});
  }
  void stopping(Id id) { events_.push_back({id, supervisor::ProcessEvent::Kind::kStopping, {}}); }
  void exit(Id id, supervisor::ExitStatus status) {
    if (living.erase(id) > 0) events_.push_back({id, supervisor::ProcessEvent::Kind::kExited, status});
  }

  /// The newest living process of a worker.
  [[nodiscard]] Id newest_of(unsigned worker) const {
    Id newest = 0;
    for (const auto& [id, process] : living) {
      if (process.worker == worker) newest = id;
    }
    return newest;
  }
  [[nodiscard]] std::size_t living_and_ready() const {
    std::size_t count = 0;
    for (const auto& [id, process] : living)
      count += ready_.contains(id) && process.signals.empty() ? 1U : 0U;
    return count;
  }

  [[nodiscard]] bool has_events() const { return !events_.empty(); }

  std::map<Id, Process> living;
  std::vector<Id> started;
  std::vector<Id> terminated;
  std::size_t most_living = 0;
  std::optional<Error> spawn_error;
  /// Ends at once when told to.
  bool obedient = true;
  bool ready_when_asked = true;
  std::set<Id> never_ready;

 private:
  Id last_id_ = 0;
  std::set<Id> ready_;
  std::deque<supervisor::ProcessEvent> events_;
};

}  // namespace moddev::test
