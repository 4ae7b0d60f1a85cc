// When what executors told of their runs is written: never in the middle of a switch, and at the end.
#include <utility>

#include "daemon/daemon_state.h"

namespace moddev::daemon {

/// A switch goes before, for as long as a switch takes; a trial takes longer.
TimePoint Daemon::State::runs_due() const {
  if (serving.runs.due() == kNever || !fleet.busy()) return serving.runs.due();
  return serving.runs.due() + limits::kAuditPatience;
}

void Daemon::State::write_runs(TimePoint now) {
  if (now >= runs_due()) write_runs(now, limits::kRunRecordsPerStep);
  if (now >= runs_due()) again = true;
}

void Daemon::State::write_runs(TimePoint now, std::size_t most) {
  if (serving.runs.waiting() == 0) return;
  std::vector<RunRecord> records = serving.runs.take_some(most);
  if (Status recorded = journal.record_runs(records); !recorded) {
    serving.runs.not_written(std::move(records), now);
    if (!std::exchange(runs_failing, true))
      journal_refused("Who ran what is missing in the statistics", recorded.error());
    return;
  }
  runs_failing = false;
}

}  // namespace moddev::daemon
