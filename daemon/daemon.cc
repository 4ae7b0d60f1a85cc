#include "daemon/daemon.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "daemon/builds.h"
#include "daemon/housekeeping.h"
#include "daemon/limits.h"
#include "daemon/request_handler.h"
#include "daemon/rollbacks.h"
#include "daemon/versioner.h"

namespace moddev::daemon {
namespace {

/// Waking up so much later than asked means that nobody could be heard meanwhile.
constexpr Duration kDeafAfter = std::chrono::milliseconds(500);

/// An operation that is tried again ever more seldom.
class Backoff {
 public:
  [[nodiscard]] bool due(TimePoint now) const { return now >= at_; }
  [[nodiscard]] bool failing() const { return delay_ > Duration::zero(); }
  /// When to try again; kNever when nothing failed.
  [[nodiscard]] TimePoint next() const { return failing() ? at_ : kNever; }
  /// Returns whether it is the first failure in a row: worth telling a person.
  bool failed(TimePoint now) {
    const bool first = !failing();
    delay_ = first ? Duration(limits::kJournalRetryFirst)
                   : std::min<Duration>(delay_ * 2, limits::kJournalRetryLast);
    at_ = now + delay_;
    return first;
  }
  void succeeded() { *this = {}; }

 private:
  TimePoint at_ = TimePoint::min();
  Duration delay_{};
};

/// A content that executors refused.
struct Refused {
  Manifest manifest;
  std::vector<Uuid> by;
  unsigned retries = 0;
};

struct WaitingRefresh {
  Peer peer;
  std::uint64_t id = 0;
  std::uint64_t sync = 0;
  TimePoint since{};
  /// The catalog's revision at the time of the sync: answered when that is decided.
  std::optional<std::uint64_t> wanted;
};

bool same_content(const Manifest& a, const Manifest& b) {
  return std::equal(a.modules.begin(), a.modules.end(), b.modules.begin(), b.modules.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && x.second.digest == y.second.digest &&
                             x.second.depends_on == y.second.depends_on;
                    });
}

bool same_peer(const Peer& a, const Peer& b) {
  return std::equal(a.envelope.begin(), a.envelope.end(), b.envelope.begin(), b.envelope.end(),
                    [](const SharedBytes& x, const SharedBytes& y) { return x == y || *x == *y; });
}

std::string describe(const FleetAction& failed) {
  std::string text = failed.executor->name + " cannot use epoch " + std::to_string(failed.epoch) + ":";
  for (const ExecutorFailure& failure : failed.failures) {
    text += (failure.module.empty() ? " " : " " + failure.module + ": ") + failure.error + ";";
  }
  text.back() = '.';
  return text + " It goes on with what it has.";
}

}  // namespace

struct Daemon::State {
  State(DaemonOptions daemon_options, ChangeFeed& change_feed, BlobStore& blob_store, Journal& its_journal,
        Transport& its_transport)
      : options(std::move(daemon_options)),
        changes(change_feed),
        blobs(blob_store),
        journal(its_journal),
        transport(its_transport),
        catalog(options.catalog, blobs),
        builds(change_feed),
        fleet(options.fleet),
        housekeeping(options.retention, journal, blobs, catalog, fleet),
        serving{journal,
                blobs,
                fleet,
                options.directory,
                options.software,
                options.pid,
                transport.endpoint(),
                transport.events_endpoint(),
                changes.backend(),
                0,
                std::nullopt,
                {}} {
    serving.encoded = &encoded;
    if (!journal.notice().empty()) tell(WarningEvent{"journal_repaired", journal.notice()});
    remember_refusal_of_former_run();
    tell_holds(journal.holds());
  }

  // The steps, in their order.
  TimePoint take_in_changes(TimePoint now);
  void propose(TimePoint now, WallTime wall);
  void go_back(TimePoint now, WallTime wall);
  void roll_back(TimePoint now, WallTime wall);
  void answer_requests(TimePoint now, WallTime wall);
  TimePoint steer_fleet(TimePoint now, WallTime wall);
  void answer_refreshes(TimePoint now);
  void answer_builds(TimePoint now);
  void answer_rollbacks(TimePoint now);
  void heartbeat(TimePoint now);
  void write_applied(TimePoint now);
  TimePoint keep_house(TimePoint now);
  [[nodiscard]] TimePoint next_due(TimePoint now) const;

  void notice_deafness(TimePoint now);
  void remember_refusal_of_former_run();
  [[nodiscard]] bool refused_may_be_retried() const;
  [[nodiscard]] bool undecided() const { return scanned && revision != decided; }
  void announce(EpochRecord record, TimePoint since, TimePoint now, bool known_good = false);
  bool end_holds(TimePoint now);
  void tell_holds(const HoldSet& holds);
  [[nodiscard]] EpochRecord committed_again(WallTime wall) const;
  [[nodiscard]] std::vector<AnnounceEvent::Inline> inline_blobs(const EpochRecord& record) const;
  void take_refresh(IncomingRequest request, TimePoint now);
  void carry_out(FleetAction action, TimePoint now, WallTime wall);
  void commit(TimePoint now, WallTime wall);
  void abort(FleetAction action, WallTime wall);
  void begin_trial(FleetAction action);
  void send_first(decltype(Event::body) body) {
    transport.publish({journal.id(), ++serving.seq, std::move(body)});
  }
  void send_again(decltype(Event::body) body, std::uint64_t seq) {
    transport.publish({journal.id(), seq, std::move(body)});
  }
  void tell(DaemonEvent event);
  void journal_refused(std::string_view what, const Error& error);

  DaemonOptions options;
  ChangeFeed& changes;
  BlobStore& blobs;
  Journal& journal;
  Transport& transport;
  Catalog catalog;
  Builds builds;
  Rollbacks rollbacks;
  Fleet fleet;
  EncodedBlobs encoded{blobs, options.encoder};
  Housekeeping housekeeping;
  Serving serving;

  /// Whether the first full scan is in the catalog. Before, a file that is not there yet is not removed.
  bool scanned = false;
  /// Counts the states of the catalog; `proposed` is the one in the epoch under way, `decided` the newest one
  /// that was committed, refused or found to be nothing new.
  std::uint64_t revision = 0;
  std::uint64_t proposed = 0;
  std::uint64_t decided = 0;
  /// When the oldest change that was not proposed yet was noticed.
  TimePoint noticed = kNever;

  EpochRecord current;  // while the fleet is busy
  std::uint64_t announce_seq = 0;
  std::uint64_t commit_seq = 0;
  CommitEvent trial;  // to the canaries of the epoch under way
  std::uint64_t trial_seq = 0;
  bool commit_wanted = false;
  std::optional<FleetAction> dying_of;  // kReturn, until it is done
  std::optional<Refused> refused;
  TimePoint retry_refused_at = kNever;
  Backoff proposing;
  Backoff committing;

  std::vector<WaitingRefresh> refreshes;
  TimePoint heartbeat_at = TimePoint::min();
  std::deque<DaemonEvent> events;
  std::uint64_t events_dropped = 0;
  bool applied_lost = false;
  /// Something is due at once.
  bool again = false;
  TimePoint due = kNever;
};

Daemon::Daemon(DaemonOptions options, watcher::Watcher& watcher, BlobStore& blobs, Journal& journal,
               Transport& transport)
    : feed_(std::make_unique<WatcherFeed>(watcher)),
      state_(std::make_unique<State>(std::move(options), *feed_, blobs, journal, transport)) {}
Daemon::Daemon(DaemonOptions options, ChangeFeed& changes, BlobStore& blobs, Journal& journal,
               Transport& transport)
    : state_(std::make_unique<State>(std::move(options), changes, blobs, journal, transport)) {}
Daemon::~Daemon() = default;

TimePoint Daemon::step(TimePoint now, WallTime wall) {
  State& s = *state_;
  s.again = false;
  s.notice_deafness(now);
  const TimePoint watcher_due = s.take_in_changes(now);
  s.propose(now, wall);
  s.go_back(now, wall);
  s.roll_back(now, wall);
  s.answer_requests(now, wall);
  const TimePoint fleet_due = s.steer_fleet(now, wall);
  s.answer_refreshes(now);
  s.answer_builds(now);
  s.answer_rollbacks(now);
  s.heartbeat(now);
  s.write_applied(now);
  const TimePoint house_due = s.keep_house(now);
  s.due = std::min({watcher_due, fleet_due, house_due, s.next_due(now)});
  return s.due;
}

std::vector<DaemonEvent> Daemon::take_events() {
  State& s = *state_;
  std::vector<DaemonEvent> events(std::make_move_iterator(s.events.begin()),
                                  std::make_move_iterator(s.events.end()));
  s.events.clear();
  if (s.events_dropped > 0) {
    events.insert(events.begin(),
                  WarningEvent{"events_dropped",
                               std::to_string(s.events_dropped) +
                                   " older events were not shown, because nobody took them in time."});
    s.events_dropped = 0;
  }
  return events;
}

std::vector<int> Daemon::descriptors() const {
  std::vector<int> all = state_->changes.descriptors();
  const std::vector<int> more = state_->transport.descriptors();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void Daemon::State::notice_deafness(TimePoint now) {
  if (due == kNever || now - due <= kDeafAfter) return;
  fleet.was_deaf(now - due, now);
  builds.was_deaf(now);
}

/// A refusal holds across a restart. The members are unknown then; the first that join are asked again.
void Daemon::State::remember_refusal_of_former_run() {
  if (journal.head() <= journal.committed().epoch) return;
  auto newest = journal.epoch(journal.head());
  if (!newest || newest->state != EpochState::kAborted || newest->failures.empty()) return;
  refused = Refused{std::move(newest->manifest), {}, 0};
}

TimePoint Daemon::State::take_in_changes(TimePoint now) {
  const TimePoint next = changes.step(now);
  watcher::Output output = changes.take_output();
  for (const watcher::Batch& batch : output.batches) {
    Catalog::Outcome outcome = catalog.apply(batch);
    if (outcome.changed || !scanned) ++revision;
    scanned = true;
    if (outcome.changed) {
      for (const watcher::FileChange& change : batch.changes) noticed = std::min(noticed, change.noticed_at);
    }
    for (watcher::Rejection& r : outcome.rejections)
      tell(RejectedEvent{std::move(r.path), std::move(r.reason)});
    for (watcher::Warning& w : outcome.warnings) tell(WarningEvent{std::move(w.code), std::move(w.message)});
  }
  for (watcher::Rejection& r : output.rejections) tell(RejectedEvent{std::move(r.path), std::move(r.reason)});
  for (watcher::Warning& w : output.warnings) tell(WarningEvent{std::move(w.code), std::move(w.message)});
  for (const std::uint64_t sync : output.synced) {
    for (WaitingRefresh& refresh : refreshes) {
      if (refresh.sync == sync) refresh.wanted = revision;
    }
  }
  builds.ended(output.builds, revision);
  if (!output.batches.empty()) housekeeping.disturb(now);
  return next;
}

/// A refused content is proposed again when those who refused it have gone and somebody is there to be asked.
bool Daemon::State::refused_may_be_retried() const {
  return refused && refused->retries < limits::kRefusedRetries && retry_refused_at != kNever &&
         fleet.members() > 0 && std::none_of(refused->by.begin(), refused->by.end(), [&](const Uuid& id) {
           return fleet.is_member(id);
         });
}

void Daemon::State::propose(TimePoint now, WallTime wall) {
  if (!scanned || !proposing.due(now)) return;
  if (fleet.busy()) {
    if (!undecided() || !fleet.only_followers_left()) return;
    fleet.let_followers_go(now);  // something newer comes in the next step
    again = true;
    return;
  }
  const bool retry = now >= retry_refused_at && refused_may_be_retried();
  if (!undecided() && !retry && !serving.somebody_is_ahead) return;
  if (!journal.holds().empty() && !end_holds(now)) return;

  const Manifest* avoided = refused && !retry ? &refused->manifest : nullptr;
  std::optional<ModuleSet> held;
  if (!journal.holds().empty()) held = with_holds(catalog.modules(), journal.holds());
  std::optional<EpochRecord> record = next_epoch(held ? *held : catalog.modules(), journal.committed(),
                                                 avoided, journal.head(), journal.last_versions(), wall);
  bool known_good = false;
  if (!record) {
    decided = revision;
    noticed = kNever;
    if (retry) refused.reset();  // the directory holds the committed content again
    if (!serving.somebody_is_ahead) return;
    record = committed_again(wall);
    known_good = true;
  }
  if (Status recorded = journal.record_epoch(*record); !recorded) {
    if (proposing.failed(now))
      journal_refused("Nothing is published until the next try succeeds", recorded.error());
    return;
  }
  proposing.succeeded();
  const TimePoint since = noticed == kNever ? now : std::min(noticed, now);
  noticed = kNever;
  announce(std::move(*record), since, now, known_good);
}

/// Executors died of what is committed. Changes in the directory have their turn before: they may be the
/// cure.
void Daemon::State::go_back(TimePoint now, WallTime wall) {
  if (!dying_of || !scanned || undecided() || fleet.busy() || !proposing.due(now)) return;
  if (dying_of->epoch != journal.committed().epoch) return dying_of.reset();
  Result<EpochRecord> record = roll_back_all(journal, catalog.modules(), 0, wall);
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
  announce(std::move(*record), now, now, true);
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

/// A rollback leads on from what is decided: changes in the directory have their turn before it.
void Daemon::State::roll_back(TimePoint now, WallTime wall) {
  if (!rollbacks.waiting() || !scanned || undecided() || fleet.busy()) return;
  std::optional<EpochRecord> record = rollbacks.next(journal, blobs, catalog.modules(), wall);
  if (!record) return;
  if (Status recorded = journal.record_epoch(*record); !recorded) {
    rollbacks.failed(recorded.error());
    return;
  }
  announce(std::move(*record), now, now);
}

/// What is recorded is told to everyone, and the switch to it begins.
void Daemon::State::announce(EpochRecord record, TimePoint since, TimePoint now, bool known_good) {
  proposed = revision;
  serving.somebody_is_ahead = false;
  current = std::move(record);
  tell(PublishedEvent{current.epoch, current.changes, fleet.members(), current.cause});
  fleet.begin(current.epoch, since, now, known_good);

  AnnounceEvent event{current.epoch, current.base, current.manifest.digest(), current.changes, {}};
  serving.pending = event;
  housekeeping.disturb(now);
  event.inline_blobs = inline_blobs(current);
  for (const AnnounceEvent::Inline& blob : event.inline_blobs) {
    serving.sent.announced_bytes += blob.bytes->size() * fleet.members();
  }
  send_first(std::move(event));
  announce_seq = serving.seq;
}

/// Modules whose files have changed follow the directory again. Returns false when that cannot be recorded
/// now.
bool Daemon::State::end_holds(TimePoint now) {
  const std::vector<std::string> ended = ended_holds(journal.holds(), catalog.modules());
  if (ended.empty()) return true;
  std::vector<std::string> messages;
  for (const std::string& name : ended) {
    messages.push_back(name + " follows '" + journal.holds().at(name).path +
                       "' again, which has changed since the rollback.");
  }
  if (Status recorded = journal.end_holds(ended); !recorded) {
    if (proposing.failed(now))
      journal_refused("Nothing is published until the next try succeeds", recorded.error());
    return false;
  }
  for (std::string& message : messages) tell(WarningEvent{"hold_ended", std::move(message)});
  return true;
}

void Daemon::State::tell_holds(const HoldSet& holds) {
  std::size_t told = 0;
  for (const auto& [name, hold] : holds) {
    if (told++ == limits::kCandidatesShown) {
      tell(WarningEvent{"held", std::to_string(holds.size() - limits::kCandidatesShown) +
                                    " more modules are held. `moddev status` lists them."});
      return;
    }
    tell(WarningEvent{"held", describe_hold(name, hold)});
  }
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

void Daemon::State::answer_requests(TimePoint now, WallTime wall) {
  for (std::size_t count = 0; count < limits::kRequestsPerStep; ++count) {
    std::optional<IncomingRequest> request = transport.receive();
    if (!request) return;
    std::optional<ReplyBody> body = answer(request->request.body, serving, now, wall);
    if (body) {
      transport.reply(request->peer, {request->request.id, std::move(*body)});
    } else if (const auto* build = std::get_if<BuildRequest>(&request->request.body)) {
      builds.take(*build, request->peer, request->request.id, now);
      again = true;
    } else if (const auto* rollback = std::get_if<RollbackRequest>(&request->request.body)) {
      rollbacks.take(*rollback, request->peer, request->request.id, now);
      again = true;
    } else {
      take_refresh(std::move(*request), now);
    }
  }
  again = true;
}

void Daemon::State::take_refresh(IncomingRequest request, TimePoint now) {
  std::erase_if(refreshes, [&](const WaitingRefresh& r) {
    return r.id == request.request.id && same_peer(r.peer, request.peer);
  });
  if (refreshes.size() >= limits::kWaitingRefreshes) {
    transport.reply(request.peer,
                    {request.request.id, ErrorReply{ErrorCode::kLimit,
                                                    std::to_string(limits::kWaitingRefreshes) +
                                                        " refreshes (kWaitingRefreshes) are waiting already.",
                                                    1000}});
    return;
  }
  // A person who asks wants another try, also of what was refused.
  if (refused) {
    refused.reset();
    ++revision;
  }
  refreshes.push_back(
      {std::move(request.peer), request.request.id, changes.request_sync(), now, std::nullopt});
  again = true;
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
  const bool wanted = undecided() || serving.somebody_is_ahead || dying_of;
  if (free && scanned && wanted && proposing.due(now)) again = true;
  return next;
}

void Daemon::State::carry_out(FleetAction action, TimePoint now, WallTime wall) {
  using Kind = FleetAction::Kind;
  switch (action.kind) {
    case Kind::kRepeatAnnounce:
      if (serving.pending) send_again(*serving.pending, announce_seq);
      break;
    case Kind::kTrial:
      begin_trial(std::move(action));
      break;
    case Kind::kRepeatTrial:
      send_again(trial, trial_seq);
      break;
    case Kind::kCommit:
      commit_wanted = true;
      break;
    case Kind::kRepeatCommit:
      send_again(CommitEvent{action.epoch}, commit_seq);
      break;
    case Kind::kAbort:
      abort(std::move(action), wall);
      break;
    case Kind::kSettled:
      tell(CommittedEvent{action.epoch, std::move(current.changes), action.applied, action.excluded,
                          action.elapsed});
      break;
    case Kind::kJoined:
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kJoined, std::move(*action.executor), {}});
      break;
    case Kind::kLeft:
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kLeft, std::move(*action.executor), {}});
      break;
    case Kind::kExcluded:
      retry_refused_at = now + limits::kRefusedRetryDelay;
      tell(ExecutorEvent{ExecutorEvent::Kind::kExcluded, std::move(*action.executor),
                         std::move(action.reason)});
      break;
    case Kind::kFailed:
      tell(WarningEvent{"executor_failed", describe(action)});
      break;
    case Kind::kReturn:
      dying_of = std::move(action);
      break;
  }
}

void Daemon::State::begin_trial(FleetAction action) {
  trial = CommitEvent{action.epoch, std::move(action.canaries)};
  send_first(trial);
  trial_seq = serving.seq;
  const std::size_t count = trial.only.size();
  const std::size_t others = fleet.members() - std::min(count, fleet.members());
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(options.fleet.canary_time);
  tell(WarningEvent{"canary", "Epoch " + std::to_string(action.epoch) + " runs in " + std::to_string(count) +
                                  (count == 1 ? " canary" : " canaries") + " first; the other " +
                                  std::to_string(others) + " follow in " + std::to_string(wait.count()) +
                                  " ms, unless one of them dies."});
}

/// Nobody hears of a commit that is not recorded. While recording fails, every member stays prepared.
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
  commit_wanted = false;
  send_first(CommitEvent{current.epoch});
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
  if (action.on_trial) retries = limits::kRefusedRetries;  // canaries are not to die of it once more
  refused = Refused{std::move(current.manifest), std::move(action.refused_by), retries};
  tell(AbortedEvent{action.epoch, std::move(current.changes), std::move(action.failures)});
}

void Daemon::State::answer_refreshes(TimePoint now) {
  std::erase_if(refreshes, [&](const WaitingRefresh& refresh) {
    if (scanned && refresh.wanted && decided >= *refresh.wanted) {
      transport.reply(refresh.peer, {refresh.id, RefreshReply{journal.head(), journal.committed().epoch}});
      return true;
    }
    if (now - refresh.since < limits::kRefreshPatience) return false;
    const std::string why = !refresh.wanted       ? "files are still being written or a build is held"
                            : proposing.failing() ? "the journal cannot be written"
                                                  : "the executors have not decided yet";
    transport.reply(refresh.peer, {refresh.id, ErrorReply{ErrorCode::kTimeout,
                                                          "What is on disk was not published in time: " +
                                                              why + ". Look at the output of `moddev watch`.",
                                                          0}});
    return true;
  });
}

void Daemon::State::answer_builds(TimePoint now) {
  for (Builds::Answer& answer : builds.take_answers(scanned ? decided : 0, now)) {
    if (auto* reply = std::get_if<BuildReply>(&answer.reply.body)) {
      reply->daemon = journal.id();
      reply->epoch = journal.head();
      reply->committed_epoch = journal.committed().epoch;
    }
    transport.reply(answer.peer, answer.reply);
  }
}

void Daemon::State::answer_rollbacks(TimePoint now) {
  for (Rollbacks::Answer& answer : rollbacks.take_answers(now)) transport.reply(answer.peer, answer.reply);
  if (rollbacks.waiting() && scanned && !undecided() && !fleet.busy()) again = true;
}

void Daemon::State::heartbeat(TimePoint now) {
  if (now < heartbeat_at) return;
  heartbeat_at = now + limits::kHeartbeatInterval;
  transport.publish({journal.id(), serving.seq, HeartbeatEvent{journal.head(), journal.committed().epoch}});
}

TimePoint Daemon::State::keep_house(TimePoint now) {
  const bool calm = scanned && !fleet.busy() && !undecided() && !again && serving.applied.empty() &&
                    !rollbacks.waiting() && !changes.holds_back();
  const TimePoint next = housekeeping.step(now, calm);
  if (const std::optional<Error> problem = housekeeping.take_problem()) {
    tell(WarningEvent{"housekeeping_failed", "Old epochs and files are not cleaned up at the moment: " +
                                                 problem->message + ". It is tried again later."});
  }
  return next;
}

/// Behind the switch, so that no executor waits for a table that only people read.
void Daemon::State::write_applied(TimePoint /*now*/) {
  if (fleet.busy() || again) return;
  if (serving.applied.empty()) return;
  const auto end = serving.applied.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                 serving.applied.size(), limits::kAppliedRecordsPerStep));
  const std::vector<AppliedRecord> records(std::make_move_iterator(serving.applied.begin()),
                                           std::make_move_iterator(end));
  serving.applied.erase(serving.applied.begin(), end);
  if (Status recorded = journal.record_applied(records); !recorded && !applied_lost) {
    applied_lost = true;
    journal_refused("Who applied what is missing in the history", recorded.error());
  }
  if (!serving.applied.empty()) again = true;
}

TimePoint Daemon::State::next_due(TimePoint now) const {
  if (again || transport.pending()) return now;
  TimePoint next = heartbeat_at;
  const bool wanted = undecided() || serving.somebody_is_ahead || dying_of;
  if (wanted && !fleet.busy()) next = std::min(next, proposing.next());
  if (commit_wanted) next = std::min(next, committing.next());
  if (scanned && !fleet.busy() && refused_may_be_retried()) {
    const TimePoint allowed = proposing.failing() ? proposing.next() : now;
    next = std::min(next, std::max({now, retry_refused_at, allowed}));
  }
  for (const WaitingRefresh& r : refreshes)
    next = std::min<TimePoint>(next, r.since + limits::kRefreshPatience);
  return std::min({next, builds.next_due(), rollbacks.next_due()});
}

void Daemon::State::tell(DaemonEvent event) {
  if (events.size() >= limits::kWaitingEvents) {
    events.pop_front();
    ++events_dropped;
  }
  events.push_back(std::move(event));
}

void Daemon::State::journal_refused(std::string_view what, const Error& error) {
  std::string message(what);
  message += ", because the journal cannot be written: " + error.message;
  if (!message.ends_with('.')) message += '.';
  message += " Free some space if the disk is full.";
  tell(WarningEvent{"journal_failed", std::move(message)});
}

}  // namespace moddev::daemon
