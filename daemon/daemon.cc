#include "daemon/daemon.h"

#include <algorithm>
#include <utility>

#include "daemon/daemon_state.h"
#include "daemon/versioner.h"

namespace moddev::daemon {
namespace {

/// Waking up so much later than asked means that nobody could be heard meanwhile.
constexpr Duration kDeafAfter = std::chrono::milliseconds(500);

bool same_peer(const Peer& a, const Peer& b) {
  return std::equal(a.envelope.begin(), a.envelope.end(), b.envelope.begin(), b.envelope.end(),
                    [](const SharedBytes& x, const SharedBytes& y) { return x == y || *x == *y; });
}

std::string text_of(const Refusal& refusal) {
  const std::string who = refusal.who + (refusal.address.empty() ? "" : " (" + refusal.address + ")");
  switch (refusal.kind) {
    case Refusal::Kind::kCutOff:
      return who + " was cut off: " + refusal.why + ".";
    case Refusal::Kind::kDropped:
      return "A message of " + who + " was dropped: " + refusal.why + ".";
    case Refusal::Kind::kNotLetIn:
      break;
  }
  return who + " was not let in: " + refusal.why + ".";
}

}  // namespace

Daemon::Daemon(DaemonOptions options, watcher::Watcher& watcher, BlobStore& blobs, Journal& journal,
               Transport& transport)
    : feed_(std::make_unique<WatcherFeed>(watcher)),
      state_(std::make_unique<State>(std::move(options), *feed_, blobs, journal, transport)) {}
Daemon::Daemon(DaemonOptions options, ChangeFeed& changes, BlobStore& blobs, Journal& journal,
               Transport& transport)
    : state_(std::make_unique<State>(std::move(options), changes, blobs, journal, transport)) {}
Daemon::~Daemon() {
  if (!state_) return;
  state_->write_audit(kNever);
  state_->write_runs(TimePoint{}, limits::kWaitingRunRecords);
}

TimePoint Daemon::step(TimePoint now, WallTime wall) {
  State& s = *state_;
  s.again = false;
  s.notice_deafness(now);
  if (!std::exchange(s.started, true)) s.go_on_from_former_run(now, wall);
  const TimePoint watcher_due = s.take_in_changes(now);
  s.end_rejoining(now);
  s.quarantine(now, wall);
  s.propose(now, wall);
  s.go_back(now, wall);
  s.roll_back(now, wall);
  s.answer_requests(now, wall);
  s.transport.look_around(now);
  s.tell_refusals(now, wall);
  s.tell_restorations();
  const TimePoint fleet_due = s.steer_fleet(now, wall);
  s.send_late_replies(now);
  s.answer_refreshes(now);
  s.answer_builds(now);
  s.answer_rollbacks(now);
  s.heartbeat(now, wall);
  s.write_applied(now);
  s.write_audit(now);
  s.write_runs(now);
  const TimePoint house_due = s.keep_house(now);
  // Never before now: what was due before has been done, and lateness is counted once.
  s.due = std::max(now, std::min({watcher_due, fleet_due, house_due, s.next_due(now)}));
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
  rejoin.was_deaf(now - due);
  builds.was_deaf(now);
}

/// Executors can join from now on, and may die of what was committed shortly before.
void Daemon::State::go_on_from_former_run(TimePoint now, WallTime wall) {
  rejoin.begin(now, options.rejoin_patience);
  const auto newest = journal.epoch(journal.committed().epoch);
  if (!newest || newest->state != EpochState::kCommitted || newest->cause.starts_with("return")) return;
  const Duration age = wall - newest->decided_at;
  if (age >= Duration::zero() && age < limits::kAftermath) fleet.was_committed(newest->epoch, now - age);
}

/// A refusal holds across a restart. The members are unknown then; the first that join are asked again.
void Daemon::State::remember_refusal_of_former_run() {
  if (journal.head() <= journal.committed().epoch) return;
  auto newest = journal.epoch(journal.head());
  if (!newest || newest->state != EpochState::kAborted || newest->failures.empty()) return;
  refused = Refused{journal.head(), std::move(newest->manifest), {}, {}, false, 0};
}

TimePoint Daemon::State::take_in_changes(TimePoint now) {
  const TimePoint next = changes.step(now);
  watcher::Output output = changes.take_output();
  const Catalog::IsAway is_away = [this](const std::string& path) { return changes.is_away(path); };
  for (const watcher::Batch& batch : output.batches) {
    if (take_in(catalog.apply(batch, is_away))) {
      for (const watcher::FileChange& change : batch.changes) noticed = std::min(noticed, change.noticed_at);
    }
    if (!std::exchange(scanned, true)) ++revision;
  }
  for (const std::string& path : output.doubtful) (void)take_in(catalog.doubt(path, is_away));
  if (scanned) (void)take_in(catalog.look_again(is_away));
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

/// Returns whether the directory has other modules now.
bool Daemon::State::take_in(Catalog::Outcome outcome) {
  if (outcome.changed || outcome.kept_changed) ++revision;
  for (watcher::Rejection& r : outcome.rejections)
    tell(RejectedEvent{std::move(r.path), std::move(r.reason)});
  for (watcher::Warning& w : outcome.warnings) tell(WarningEvent{std::move(w.code), std::move(w.message)});
  return outcome.changed;
}

/// What the files were that are live, or that holds are for: a file that cannot be read now is not removed.
void Daemon::State::remember_files() {
  const HoldSet& holds = journal.holds();
  const auto remember = [this](const std::string& name, const ModuleContent& content) {
    catalog.remember(name, content);
    changes.remember(content.path, content.digest);
  };
  for (const auto& [name, entry] : journal.committed().modules) {
    if (!holds.contains(name)) remember(name, content_of(entry));
  }
  for (const auto& [name, hold] : holds) {
    if (hold.overrides.is_zero()) continue;  // no file
    const ModuleEntry* live = journal.committed().find(name);
    ModuleContent content = hold.content      ? *hold.content
                            : live != nullptr ? content_of(*live)
                                              : ModuleContent{};
    content.path = hold.path;
    content.digest = hold.overrides;
    remember(name, content);
  }
}

/// A refused content is proposed again when nobody who refused it has a veto any more and somebody else is
/// there to be asked.
bool Daemon::State::refused_may_be_retried() const {
  return refused && refused->retries < limits::kRefusedRetries && retry_refused_at != kNever &&
         quarantined().empty() && fleet.has_others_than(refused->by) &&
         std::none_of(refused->by.begin(), refused->by.end(),
                      [&](const Uuid& id) { return fleet.may_veto(id); });
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
  std::optional<ModuleSet> other;
  if (!catalog.kept().empty()) other = with_kept(catalog.modules(), catalog.kept(), journal.committed());
  if (!journal.holds().empty()) other = with_holds(other ? *other : catalog.modules(), journal.holds());
  const ModuleSet& desired = other ? *other : catalog.modules();
  std::optional<EpochRecord> record =
      next_epoch(desired, journal.committed(), avoided, journal.head(), journal.last_versions(), wall);
  bool known_good = false;
  if (!record) {
    decided = revision;
    noticed = kNever;
    // The directory is as what is live.
    if (same_content(desired, journal.committed()) && quarantined().empty()) refused.reset();
    if (!serving.somebody_is_ahead) return;
    record = committed_again(wall);
    known_good = true;
  }
  if (!known_good && !rejoin.over(now)) return;
  if (Status recorded = journal.record_epoch(*record); !recorded) {
    if (proposing.failed(now))
      journal_refused("Nothing is published until the next try succeeds", recorded.error());
    return;
  }
  proposing.succeeded();
  const TimePoint since = noticed == kNever ? now : std::min(noticed, now);
  noticed = kNever;
  announce(std::move(*record), since, now, wall, known_good);
}

std::vector<ExecutorIdentity> ran_committed(const Journal& journal) {
  std::vector<ExecutorIdentity> ran;
  Epoch epoch = journal.committed().epoch;
  for (int looks = 0; looks < 2 && epoch != 0 && ran.empty(); ++looks) {
    const auto applied = journal.applied(epoch, limits::kExecutors);
    if (applied) {
      for (const AppliedRecord& one : *applied) ran.push_back(one.executor);
    }
    const auto record = journal.epoch(epoch);
    epoch = record ? record->base : 0;
  }
  return ran;
}

/// Those that are not back yet run what is committed, as far as is known, and are no members.
void Daemon::State::tell_missing(StatusReply& status) const {
  for (ExecutorIdentity& one : rejoin.missing()) {
    if (status.executors.size() >= limits::kExecutors) return;
    status.executors.push_back({std::move(one),
                                ExecutorState::kJoining,
                                0,
                                {},
                                0,
                                "ran before the daemon was started anew, and is not back yet"});
  }
}

/// The time is up: what waits goes on without those that are missing.
void Daemon::State::end_rejoining(TimePoint now) {
  if (rejoin.due() == kNever || !rejoin.over(now)) return;
  const std::string missing = rejoin.take_missing();
  if (!undecided() && !rollbacks.waiting()) return;
  tell(WarningEvent{"not_back", missing + " ran epoch " + std::to_string(journal.committed().epoch) +
                                    " before `moddev watch` was started anew, and did not come back in time: "
                                    "what has changed is decided without them."});
}

/// A rollback leads on from what is decided: changes in the directory have their turn before it.
void Daemon::State::roll_back(TimePoint now, WallTime wall) {
  if (!rollbacks.waiting() || !may_begin(now) || undecided() || fleet.busy()) return;
  std::optional<EpochRecord> record = rollbacks.next(journal, blobs, catalog.modules(), wall);
  if (!record) return;
  if (Status recorded = journal.record_epoch(*record); !recorded) {
    rollbacks.failed(recorded.error());
    return;
  }
  announce(std::move(*record), now, now, wall);
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

void Daemon::State::answer_requests(TimePoint now, WallTime wall) {
  for (std::size_t count = 0; count < limits::kRequestsPerStep; ++count) {
    std::optional<IncomingRequest> request = transport.receive();
    if (!request) return;
    if (denied(*request, now, wall)) continue;
    disregard(options.access, request->peer.caller, request->request.body);
    // Who asks is told what was told before; a switch goes before.
    if (std::holds_alternative<RunsRequest>(request->request.body) && !fleet.busy())
      write_runs(now, limits::kRunRecordsPerQuestion);
    std::optional<ReplyBody> body = answer(request->request.body, serving, now, wall);
    if (auto* status = body ? std::get_if<StatusReply>(&*body) : nullptr; status != nullptr) {
      if (refused) status->refused = refused->epoch;
      tell_missing(*status);
    }
    note_request(*request, body, now, wall);
    const bool is_ack = std::holds_alternative<AckRequest>(request->request.body);
    if (body && is_ack && fleet.busy() && std::holds_alternative<OkReply>(*body)) {
      late_replies.put_off(transport, std::move(request->peer), {request->request.id, std::move(*body)}, now);
    } else if (body) {
      conceal(options.access, request->peer.caller, *body);
      const Reply reply{request->request.id, std::move(*body)};
      if (transport.reply(request->peer, reply)) count_sent(reply.body, serving.sent);
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

void Daemon::State::tell_restorations() {
  for (watcher::Warning& warning : restoration.take_warnings()) {
    tell(WarningEvent{std::move(warning.code), std::move(warning.message)});
    again = true;  // the directory has something to do
  }
}

void Daemon::State::tell_refusals(TimePoint now, WallTime wall) {
  while (auto arrival = transport.take_arrival()) {
    audit.note({.act = AuditAct::kConnected,
                .who = arrival->caller.who(),
                .address = std::move(arrival->caller.address),
                .count = arrival->count},
               now, wall);
  }
  while (auto refusal = transport.take_refusal()) {
    tell_refusal(text_of(*refusal), now);
    const bool dropped = refusal->kind == Refusal::Kind::kDropped;
    audit.note({.act = AuditAct::kRefused,
                .who = std::move(refusal->who),
                .address = std::move(refusal->address),
                .what = (dropped ? "dropped: " : "") + refusal->why,
                .count = refusal->count},
               now, wall);
  }
}

void Daemon::State::send_late_replies(TimePoint now) {
  if (!fleet.busy() || now >= late_replies.due()) late_replies.send(transport);
}

/// A request that its sender has no right to is answered with that, and told to the owner.
bool Daemon::State::denied(const IncomingRequest& request, TimePoint now, WallTime wall) {
  auto denial = forbidden(options.access, request.peer.caller, request.request.body, journal.committed(),
                          serving.pending);
  if (!denial) {
    denial = speakers.refusal(request.peer.caller, request.request.body,
                              [this](const Uuid& executor) { return fleet.identity(executor) != nullptr; });
  }
  if (!denial) return false;
  tell_refusal(
      "Denied to " + request.peer.caller.who() + " (" + request.peer.caller.address + "): " + denial->message,
      now);
  audit.note({.act = AuditAct::kRefused,
              .who = request.peer.caller.who(),
              .address = request.peer.caller.address,
              .what = denial->message},
             now, wall);
  transport.reply(request.peer, {request.request.id, std::move(*denial)});
  return true;
}

void Daemon::State::tell_refusal(const std::string& text, TimePoint now) {
  std::erase_if(told_refusals,
                [&](const auto& told) { return now - told.second >= limits::kRefusalSilence; });
  if (told_refusals.size() >= limits::kToldRefusals || !told_refusals.emplace(text, now).second) return;
  tell(WarningEvent{"access_denied", text});
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
    lift_quarantine();
    refused.reset();
    ++revision;
  }
  restoration.look_over(now);
  refreshes.push_back(
      {std::move(request.peer), request.request.id, changes.request_sync(), now, std::nullopt});
  again = true;
}

/// Into a reply: what is not published, as far as it is `wanted`.
template <typename Wanted, typename R>
void Daemon::State::tell_unpublished(Wanted wanted, R& reply) const {
  std::vector<watcher::Unpublished> files = changes.unpublished();
  const std::vector<watcher::Unpublished> refused_files = catalog.unpublished();
  files.insert(files.end(), refused_files.begin(), refused_files.end());
  std::erase_if(files, [&](const watcher::Unpublished& file) { return !wanted(file); });
  std::ranges::sort(files, {}, &watcher::Unpublished::path);
  reply.unpublished_files = files.size();
  files.resize(std::min(files.size(), moddev::limits::kUnpublishedTold));
  for (watcher::Unpublished& file : files)
    reply.unpublished.push_back({std::move(file.path), std::move(file.reason)});
}

void Daemon::State::answer_refreshes(TimePoint now) {
  std::erase_if(refreshes, [&](const WaitingRefresh& refresh) {
    if (scanned && refresh.wanted && decided >= *refresh.wanted) {
      RefreshReply reply{answered_epoch(), journal.committed().epoch};
      if (refused) reply.refused = refused->epoch;
      // What somebody began to write after the request is not its matter.
      tell_unpublished(
          [&](const watcher::Unpublished& file) {
            return file.why != watcher::Unpublished::Why::kWriting || file.since <= refresh.since;
          },
          reply);
      ReplyBody body = std::move(reply);
      conceal(options.access, refresh.peer.caller, body);
      transport.reply(refresh.peer, {refresh.id, std::move(body)});
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
      reply->epoch = answered_epoch();
      if (refused && answer.since) reply->refused = refused->epoch;
      reply->committed_epoch = journal.committed().epoch;
      if (answer.since) {
        tell_unpublished(
            [&](const watcher::Unpublished& file) {
              return file.why == watcher::Unpublished::Why::kFailed || file.since >= *answer.since;
            },
            *reply);
      }
    }
    conceal(options.access, answer.peer.caller, answer.reply.body);
    transport.reply(answer.peer, answer.reply);
  }
}

void Daemon::State::answer_rollbacks(TimePoint now) {
  for (Rollbacks::Answer& answer : rollbacks.take_answers(now)) {
    conceal(options.access, answer.peer.caller, answer.reply.body);
    transport.reply(answer.peer, answer.reply);
  }
  if (rollbacks.waiting() && may_begin(now) && !undecided() && !fleet.busy()) again = true;
}

void Daemon::State::heartbeat(TimePoint now, WallTime wall) {
  if (now < heartbeat_at) return;
  heartbeat_at = now + limits::kHeartbeatInterval;
  HeartbeatEvent beat{journal.head(), journal.committed().epoch};
  if (signing) {
    beat.statement = signing->committed(journal.id().repo, journal.committed(), wall);
    if (serving.pending) signing->renew(journal.id().repo, *serving.pending, wall);
  }
  transport.publish({journal.id(), serving.seq, beat});
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
  TimePoint next = std::min(heartbeat_at, late_replies.due());
  const bool wanted = undecided() || serving.somebody_is_ahead || return_wanted() || !deadly.empty();
  if (wanted && !fleet.busy()) next = std::min(next, proposing.next());
  next = std::min(next, rejoin.due());
  if (commit_wanted) next = std::min(next, committing.next());
  if (may_begin(now) && !fleet.busy() && refused_may_be_retried()) {
    const TimePoint allowed = proposing.failing() ? proposing.next() : now;
    next = std::min(next, std::max({now, retry_refused_at, allowed}));
  }
  next = std::min(
      {next, std::max(now, audit_due()), std::max(now, runs_due()), std::max(now, transport.look_due())});
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
