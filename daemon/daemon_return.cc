// The way back from what is committed: executors died of it, or nobody ever ran it and the first that tries
// cannot. Always a new epoch with old bytes, recorded like any other; which one is decided here.
#include <algorithm>
#include <utility>

#include "daemon/daemon_state.h"
#include "daemon/rollback.h"
#include "daemon/versioner.h"

namespace moddev::daemon {

bool Daemon::State::has_run(Epoch epoch) const {
  if (fleet.anyone_runs(epoch)) return true;
  const auto of_epoch = [&](const AppliedRecord& record) { return record.epoch == epoch; };
  if (std::any_of(serving.applied.begin(), serving.applied.end(), of_epoch)) return true;
  const auto count = journal.applied_count(epoch);
  return count && *count > 0;
}

/// The newest epoch before the committed one that somebody ran and that is not the same once more, as far as
/// the history tells; 0: none.
Epoch Daemon::State::last_that_ran() const {
  Epoch epoch = journal.committed().epoch;
  const auto is_the_same = [&](Epoch former) {
    const auto manifest = journal.manifest(former);
    return manifest && same_content(*manifest, journal.committed());
  };
  for (unsigned n = 0; n < limits::kEpochsLookedBack; ++n) {
    const auto record = journal.epoch(epoch);
    if (!record) return 0;
    epoch = record->restores != 0 ? record->restores : record->base;
    if (epoch == 0 || (has_run(epoch) && !is_the_same(epoch))) return epoch;
  }
  return 0;
}

/// One can be anything; whoever comes back was only cut off. What is heard in the step of a commit was said
/// before it.
void Daemon::State::note_death(const FleetAction& excluded) {
  const Epoch committed = journal.committed().epoch;
  if (!excluded.dead || excluded.runs >= committed || excluded.last_word <= committed_at) return;
  if (loading_deaths.epoch != committed) loading_deaths = {committed, {}};
  if (loading_deaths.died.size() < limits::kBlamingDeaths) loading_deaths.died.push_back(*excluded.executor);
}

/// Committed while nobody could be asked, or failed in everyone at the last step. Who can use it is not known
/// before somebody has tried, and the first that did cannot, or did not live to tell.
void Daemon::State::judge_unproven() {
  if (fleet.busy()) return;
  const Epoch committed = journal.committed().epoch;
  std::string why;
  if (const auto failed = std::exchange(unusable, std::nullopt); failed && failed->epoch == committed) {
    const ExecutorFailure& first = failed->failures.front();
    why = first.executor + " cannot use it (" + (first.module.empty() ? "" : first.module + ": ") +
          first.error + ")";
  } else if (loading_deaths.died.size() >= limits::kBlamingDeaths) {
    const LoadingDeaths deaths = std::exchange(loading_deaths, {});
    if (deaths.epoch != committed) return;
    for (const ExecutorIdentity& one : deaths.died) {
      why += (why.empty() ? "" : ", ") + (one.name.empty() ? "an executor without a name" : one.name);
    }
    why += " died before they had loaded it";
  }
  if (why.empty() || has_run(committed) || last_that_ran() == 0) return;
  FleetAction& back = dying_of.emplace();
  back.kind = FleetAction::Kind::kReturn;
  back.epoch = committed;
  back.reason = "nobody has run epoch " + std::to_string(committed) + " yet, and " + why;
}

/// Changes in the directory have their turn before: they may be the cure.
void Daemon::State::go_back(TimePoint now, WallTime wall) {
  if (!scanned || undecided() || fleet.busy() || !proposing.due(now)) return;
  judge_unproven();
  if (!dying_of) return;
  if (dying_of->epoch != journal.committed().epoch) return dying_of.reset();
  Result<EpochRecord> record = roll_back_all(journal, catalog.modules(), last_that_ran(), wall);
  if (!record) {
    tell(WarningEvent{"executors_died", dying_of->reason + ". " + record.error().message});
    return dying_of.reset();
  }
  record->cause = "return to epoch " + std::to_string(record->restores) + ", because " + dying_of->reason;
  if (Status recorded = journal.record_epoch(*record); !recorded) {
    if (proposing.failed(now)) journal_refused("The return waits for the next try", recorded.error());
    return;
  }
  proposing.succeeded();
  tell(WarningEvent{"returned",
                    dying_of->reason + ": everyone goes back to epoch " + std::to_string(record->restores) +
                        ". What had changed stays out until its files change; a rollback to epoch " +
                        std::to_string(dying_of->epoch) + " brings it back as it is."});
  dying_of.reset();
  announce(std::move(*record), now, now, wall, true);
}

void Daemon::State::quarantine(TimePoint now, WallTime wall) {
  if (deadly.empty() || !scanned || fleet.busy() || !proposing.due(now)) return;
  HoldSet holds = with_quarantine(journal.holds(), deadly, journal.committed(), catalog.modules());
  if (holds == journal.holds()) return deadly.clear();  // the files have changed
  EpochRecord record = committed_again(wall);
  record.holds = std::move(holds);
  if (Status recorded = journal.record_epoch(record); !recorded) {
    if (proposing.failed(now)) journal_refused("The quarantine waits for the next try", recorded.error());
    return;
  }
  proposing.succeeded();
  deadly.clear();
  announce(std::move(record), now, now, wall, true);
  proposed = decided;  // changes that wait have their turn after it
}

std::vector<std::string> Daemon::State::quarantined() const {
  std::vector<std::string> names;
  if (!refused || !refused->deadly) return names;
  for (const auto& [name, hold] : journal.holds()) {
    const ModuleEntry* suspect = refused->manifest.find(name);
    if (suspect != nullptr && suspect->digest == hold.overrides) names.push_back(name);
  }
  return names;
}

/// A person wants another try, or nobody died of it.
void Daemon::State::lift_quarantine() {
  deadly.clear();
  const std::vector<std::string> names = quarantined();
  if (names.empty()) return;
  if (Status ended = journal.end_holds(names); !ended)
    return journal_refused("What is in quarantine stays there", ended.error());
  ++revision;
  again = true;
}

/// What is committed, under a number that those must take who run an epoch that was aborted: canaries.
EpochRecord Daemon::State::committed_again(WallTime wall) const {
  EpochRecord record;
  record.epoch = journal.head() + 1;
  record.base = journal.committed().epoch;
  record.manifest = journal.committed();
  record.manifest.epoch = record.epoch;
  record.announced_at = wall;
  record.cause = "return of the canaries to epoch " + std::to_string(record.base);
  return record;
}

}  // namespace moddev::daemon
