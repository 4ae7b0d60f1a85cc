// One epoch: announced, voted on, committed or aborted, settled. daemon_return.cc goes back from one.
#include <algorithm>
#include <set>
#include <utility>

#include "daemon/daemon_state.h"
#include "daemon/versioner.h"

namespace moddev::daemon {
namespace {

std::string describe(const FleetAction& failed) {
  std::string text = failed.executor->name + " cannot use epoch " + std::to_string(failed.epoch) + ":";
  for (const ExecutorFailure& failure : failed.failures) {
    text += (failure.module.empty() ? " " : " " + failure.module + ": ") + failure.error;
    if (text.back() == '.') text.pop_back();  // some reasons are sentences
    text += ';';
  }
  text.back() = '.';
  return text + (failed.runs == 0 ? " It has nothing else to run." : " It goes on with what it has.");
}

std::string describe_no_canary(Epoch epoch, const std::vector<std::string>& names, std::size_t members) {
  std::string text = "No executor that could try epoch " + std::to_string(epoch) + " first is named";
  for (const std::string& name : names) text += (&name == &names.front() ? " '" : " or '") + name + "'";
  text += ": there is no canary, and ";
  text +=
      members == 1 ? "the only executor switches" : "all " + std::to_string(members) + " executors switch";
  return text + " at once. `moddev status` shows who is there.";
}

/// "load scorer 3", "load scorer 3 and base 2", "load 5 modules", "go on without scorer".
SwitchSubject subject_of(const std::vector<ModuleChange>& changes) {
  SwitchSubject subject;
  if (changes.size() == 1) subject.module = changes.front().module.name;
  std::string loaded;
  std::size_t count = 0;
  for (const ModuleChange& change : changes) {
    if (change.change == ChangeKind::kRemoved) continue;
    loaded +=
        (count++ == 0 ? "" : " and ") + change.module.name + " " + std::to_string(change.module.version);
  }
  if (count == 0) {
    subject.task = changes.empty() ? "" : "go on without " + changes.front().module.name;
    if (changes.size() > 1) subject.task += " and " + std::to_string(changes.size() - 1) + " more";
  } else {
    subject.task = "load " + (count <= 2 ? loaded : std::to_string(count) + " modules");
  }
  return subject;
}

}  // namespace

/// What is recorded is told to everyone, and the switch to it begins.
void Daemon::State::announce(EpochRecord record, TimePoint since, TimePoint now, WallTime wall,
                             bool known_good) {
  proposed = revision;
  serving.somebody_is_ahead = false;
  current = std::move(record);
  tell(PublishedEvent{current.epoch, current.changes, fleet.members(), current.cause});
  fleet.begin(current.epoch, since, now, known_good, subject_of(current.changes));

  AnnounceEvent event{current.epoch, current.base, current.manifest.digest(), current.changes, {}};
  if (signing) signing->propose(journal.id().repo, event, wall);
  serving.pending = event;
  housekeeping.disturb(now);
  event.inline_blobs = inline_blobs(current);
  std::uint64_t inline_bytes = 0;
  for (const AnnounceEvent::Inline& blob : event.inline_blobs) inline_bytes += blob.bytes->size();
  serving.sent.announced_bytes += inline_bytes * send_first(std::move(event));
  announce_seq = serving.seq;
}

std::vector<AnnounceEvent::Inline> Daemon::State::inline_blobs(const EpochRecord& record) const {
  std::vector<AnnounceEvent::Inline> blobs_inside;
  if (fleet.members() == 0) return blobs_inside;
  std::set<Digest> known;
  std::size_t total = 0;
  for (const ModuleChange& change : record.changes) {
    const ModuleEntry& module = change.module;
    if (change.change == ChangeKind::kRemoved || module.size > limits::kInlineModuleBytes) continue;
    if (total + module.size > limits::kInlineAnnouncementBytes) continue;
    const ModuleEntry* before = journal.committed().find(module.name);
    if (before != nullptr && before->digest == module.digest) continue;
    if (!known.insert(module.digest).second) continue;
    // Not verified here: the receiver does, and fetches whatever is not as promised.
    auto bytes = blobs.read_range(module.digest, 0, module.size);
    if (!bytes || bytes->size() != module.size) continue;
    total += bytes->size();
    blobs_inside.push_back({module.digest, share(std::move(*bytes))});
    if (blobs_inside.size() == limits::kInlineBlobs) break;
  }
  return blobs_inside;
}

TimePoint Daemon::State::steer_fleet(TimePoint now, WallTime wall) {
  TimePoint next = kNever;
  std::vector<FleetAction> actions;
  do {
    actions.clear();
    next = fleet.step(now, actions);
    for (FleetAction& action : actions) carry_out(std::move(action), now, wall);
    if (commit_wanted && committing.due(now)) commit(now, wall);
  } while (!actions.empty());
  // What came in meanwhile has its turn.
  const bool free = !fleet.busy() || (undecided() && fleet.only_followers_left());
  const bool wanted = undecided() || serving.somebody_is_ahead || return_wanted() || !deadly.empty();
  if (free && may_begin(now) && wanted && proposing.due(now)) again = true;
  return next;
}

void Daemon::State::carry_out(FleetAction action, TimePoint now, WallTime wall) {
  using Kind = FleetAction::Kind;
  switch (action.kind) {
    case Kind::kRepeatAnnounce:
      if (serving.pending) send_again(*serving.pending, announce_seq);
      break;
    case Kind::kNoCanary:
      tell(WarningEvent{"no_canary",
                        describe_no_canary(action.epoch, options.fleet.canaries.names, fleet.members())});
      break;
    case Kind::kTrial:
      begin_trial(std::move(action), wall);
      break;
    case Kind::kRepeatTrial:
      send_again(trial, trial_seq);
      break;
    case Kind::kCommit:
      commit_wanted = true;
      break;
    case Kind::kRepeatCommit:
      send_again(commit_event(action.epoch), commit_seq);
      break;
    case Kind::kAbort:
      abort(std::move(action), wall);
      break;
    case Kind::kSettled:
      tell(CommittedEvent{action.epoch, std::move(current.changes), action.applied, action.excluded,
                          action.elapsed});
      break;
    case Kind::kJoined:
      rejoin.joined(*action.executor);
      // It was thought dead of the content, and was only cut off.
      if (refused && std::erase(refused->died, action.executor->id) > 0 && refused->died.empty()) {
        refused->retries = 0;
        lift_quarantine();
      }
      std::erase_if(loading_deaths.died,
                    [&](const ExecutorIdentity& one) { return one.id == action.executor->id; });
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kJoined, std::move(*action.executor), {}});
      break;
    case Kind::kLeft:
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kLeft, std::move(*action.executor), {}});
      break;
    case Kind::kExcluded:
      note_death(action);
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kExcluded, std::move(*action.executor),
                         std::move(action.reason)});
      break;
    case Kind::kFailed:
      tell(WarningEvent{"executor_failed", describe(action)});
      if (action.epoch == journal.committed().epoch) unusable = std::move(action);
      break;
    case Kind::kNote:
      tell(WarningEvent{"executor_note", action.executor->name + ": " + action.reason});
      break;
    case Kind::kReturn:
      dying_of = std::move(action);
      break;
  }
}

CommitEvent Daemon::State::commit_event(Epoch epoch) const {
  CommitEvent event{epoch};
  if (signing) event.release = signing->release();
  return event;
}

void Daemon::State::begin_trial(FleetAction action, WallTime wall) {
  trial = CommitEvent{action.epoch, std::move(action.canaries)};
  if (signing && serving.pending) {
    trial.statement =
        signing->trial(journal.id().repo, action.epoch, serving.pending->manifest_digest, trial.only, wall);
  }
  send_first(trial);
  trial_seq = serving.seq;
  const std::size_t count = trial.only.size();
  const std::size_t others = fleet.members() - std::min(count, fleet.members());
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(options.fleet.canary_time) / 100;
  tell(WarningEvent{"canary", "Epoch " + std::to_string(action.epoch) + " runs in " + std::to_string(count) +
                                  (count == 1 ? " canary" : " canaries") + " first; the other " +
                                  std::to_string(others) + (others == 1 ? " follows" : " follow") + " in " +
                                  std::to_string(tenths.count() / 10) + "." +
                                  std::to_string(tenths.count() % 10) + " s, unless a canary dies."});
}

/// Nobody hears of a commit that is not recorded. While recording fails, every member stays prepared.
void Daemon::State::look_after_journal() {
  if (journal_lost || journal.still_there()) return;
  journal_lost = true;
  tell(WarningEvent{"history_gone", "The history '" + journal.path().string() +
                                        "' was removed or replaced while the daemon runs. What is published "
                                        "goes live all the same, and is forgotten when the daemon ends: stop "
                                        "it and start it again, and a new history begins."});
}

void Daemon::State::commit(TimePoint now, WallTime wall) {
  if (Status recorded = journal.record_commit(current.epoch, wall); !recorded) {
    if (committing.failed(now)) {
      journal_refused("Epoch " + std::to_string(current.epoch) +
                          " is ready everywhere and goes live only when a later try succeeds",
                      recorded.error());
    }
    return;
  }
  committing.succeeded();
  look_after_journal();
  commit_wanted = false;
  committed_at = now;
  serving.somebody_is_ahead = false;  // who runs what was aborted before learns this
  send_first(commit_event(current.epoch));
  commit_seq = serving.seq;
  serving.pending.reset();
  if (rollbacks.under_way()) rollbacks.committed(journal, current);
  if (current.holds) {
    tell_holds(*current.holds);
  } else if (!current.changes.empty()) {
    refused.reset();
  }
  decided = proposed;
  housekeeping.disturb(now);
  fleet.committed(now);
  again = true;
}

void Daemon::State::abort(FleetAction action, WallTime wall) {
  // A failure to record changes nothing: an epoch that is left announced counts as aborted at the next start.
  if (Status recorded = journal.record_abort(action.epoch, action.failures, wall); !recorded) {
    journal_refused("The refusal of epoch " + std::to_string(action.epoch) + " is not in the history",
                    recorded.error());
  }
  std::erase_if(serving.applied,
                [&](const AppliedRecord& record) { return record.epoch == action.epoch; });  // canaries
  send_first(AbortEvent{action.epoch, action.failures});
  serving.pending.reset();
  decided = proposed;
  serving.somebody_is_ahead = action.on_trial;
  if (rollbacks.under_way()) rollbacks.aborted(action.failures);
  if (current.holds) {
    // Nobody tries it again, so that it need not be remembered; what was refused before still is.
    tell(AbortedEvent{action.epoch, std::move(current.changes), std::move(action.failures)});
    return;
  }
  unsigned retries = refused && same_content(refused->manifest, current.manifest) ? refused->retries + 1 : 0;
  const bool quarantined = !action.died.empty();
  if (quarantined) {  // canaries are not to die of it once more
    retries = limits::kRefusedRetries;
    deadly = current.changes;
  }
  refused = Refused{action.epoch,
                    std::move(current.manifest),
                    std::move(action.refused_by),
                    std::move(action.died),
                    quarantined,
                    retries};
  tell(AbortedEvent{action.epoch, std::move(current.changes), std::move(action.failures)});
  if (!quarantined) return;
  tell(WarningEvent{
      "quarantined",
      "What epoch " + std::to_string(action.epoch) +
          " changed stays out until its files change, because a canary died of it or got stuck, as it seems. "
          "`moddev refresh` tries it again as it is, `moddev rollback --to " +
          std::to_string(action.epoch) + "` later as well."});
}

}  // namespace moddev::daemon
