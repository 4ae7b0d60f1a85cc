// What the link brings: which daemon speaks, what is missing, what must be asked.
#include <algorithm>
#include <utility>

#include "client/src/session_state.h"

namespace moddev {

bool Session::State::take_inputs() {
  for (std::size_t n = 0; n < client::limits::kInputsPerStep; ++n) {
    auto input = link.receive();
    if (!input) return false;
    if (auto* reply = std::get_if<Reply>(&*input)) {
      take(*reply);
    } else {
      take(std::get<Event>(*input));
    }
  }
  return true;
}

// -------------------------------------------------------------------------------------------------- replies

void Session::State::take(Reply& reply) {
  reply_heard = now;
  if (fetcher.take(reply.id, reply.body, now)) return;
  const auto request = requests.answered(reply.id);
  if (!request) return;  // to a request that was given up
  if (phase == Phase::kLeaving) {
    left = true;  // nothing else is open since leave()
    return;
  }
  if (const auto* error = std::get_if<ErrorReply>(&reply.body)) {
    on_error(request->body, *error);
  } else if (const auto* hello = std::get_if<HelloReply>(&reply.body)) {
    on(*hello);
  } else if (auto* snapshot = std::get_if<SnapshotReply>(&reply.body)) {
    on(*snapshot, std::holds_alternative<JoinRequest>(request->body));
  } else if (auto* manifest = std::get_if<ManifestReply>(&reply.body)) {
    on(*manifest);
  } else if (const auto* alive = std::get_if<AliveReply>(&reply.body)) {
    on(*alive, request->sent);
  }
}

void Session::State::on(const HelloReply& reply) {
  if (phase != Phase::kHello) return;
  if (!believes_committed(reply.statement, reply.daemon.repo, reply.committed_epoch, nullptr)) return;
  remembered.reset();
  offline_at = kNever;
  // Of another history, epochs on their way mean nothing any more. What runs goes on until the new one has an
  // epoch to replace it.
  if (pending && pending->repo != reply.daemon.repo) discard(pending);
  if (behind && behind->repo != reply.daemon.repo) discard(behind);
  if (beside && beside->repo != reply.daemon.repo) discard(beside);
  if (daemon_known && daemon.repo != reply.daemon.repo) {
    committed_epoch = 0;
    head_epoch = 0;
    trial_epoch = 0;
  }
  if (daemon.incarnation != reply.daemon.incarnation) run_reports.tell_anew();
  daemon = reply.daemon;
  daemon_known = true;
  heartbeat = std::clamp<Duration>(std::chrono::milliseconds(reply.heartbeat_ms),
                                   client::limits::kShortestHeartbeat, client::limits::kLongestHeartbeat);
  lease = std::clamp<Duration>(std::chrono::milliseconds(reply.lease_ms), 2 * heartbeat, 10 * heartbeat);
  head_epoch = std::max(head_epoch, reply.epoch);
  events_endpoint = reply.events_endpoint;
  link.subscribe(events_endpoint);
  requests.count_sent();
  event_heard = now;
  hello_delay = client::limits::kHelloFirst;
  rejoin();
}

void Session::State::rejoin() {
  confirmed = {};
  phase = Phase::kJoining;
  held.clear();
  snapshot_wanted = false;
  requests.give_up<AckRequest>();
  requests.give_up<AliveRequest>();
  requests.give_up<SnapshotRequest>();
  requests.ask(JoinRequest{options.identity, live_repo, live_epoch}, now);
}

bool Session::State::from_our_daemon(const DaemonId& id) {
  if (id == daemon) return true;
  if (phase == Phase::kHello) return false;
  // The daemon was restarted. Everything that was asked of the former one is void; what runs here stays.
  phase = Phase::kHello;
  requests.clear();
  fetcher.forget_open();
  held.clear();
  snapshot_wanted = false;
  hello_delay = client::limits::kHelloFirst;
  hello_at = now + client::limits::kHelloFirst - client::with_jitter(client::limits::kHelloFirst, random);
  return false;
}

void Session::State::on(SnapshotReply& reply, bool joined) {
  if (!from_our_daemon(reply.daemon)) return;
  if (!joined && reply.seq < seq) return want_snapshot();  // events have overtaken it
  if (!believes_committed(reply.statement, reply.daemon.repo, reply.committed.epoch, &reply.committed))
    return;
  seq = reply.seq;
  head_epoch = std::max({head_epoch, reply.committed.epoch, reply.pending ? reply.pending->epoch : 0});
  if (joined) {
    phase = Phase::kMember;
    stale_told = false;
    told_troubles.clear();
    set_problem({});
    // The first beat at a random moment: a crowd that joined together must not beat together.
    alive_at = now + heartbeat - client::with_jitter(heartbeat, random);
    ClientEvent event;
    event.kind = ClientEvent::Kind::kJoined;
    event.epoch = live_epoch;
    emit(std::move(event));
  }
  committed_epoch = std::max(committed_epoch, reply.committed.epoch);
  const Epoch committed = reply.committed.epoch;
  on_committed_manifest(std::move(reply.committed), joined);
  const bool tried = behind && behind->epoch > committed;
  if (tried && !(reply.pending && reply.pending->epoch == behind->epoch)) on_abort(behind->epoch, {});
  if (reply.pending) {
    on_announce(*reply.pending, joined);
  } else if (pending) {
    on_abort(pending->epoch, {});  // decided while we did not listen, and not committed
  }
  if (!joined) return;
  for (std::deque<Event> events_of_the_join = std::exchange(held, {}); Event & event : events_of_the_join) {
    apply_event(event);
  }
}

void Session::State::on(const AliveReply& reply, TimePoint sent) {
  if (!from_our_daemon(reply.daemon) || !member()) return;
  if (!reply.member) return rejoin();
  if (!believes_committed(reply.statement, reply.daemon.repo, reply.committed_epoch, nullptr)) return;
  confirmed = std::max(confirmed, sent);
  run_reports.confirmed(sent);
  compare_epochs(reply.epoch, reply.committed_epoch);
}

void Session::State::on_error(const RequestBody& request, const ErrorReply& error) {
  const Duration later = std::chrono::milliseconds(std::max<std::int64_t>(error.retry_after_ms, 0));
  if (std::holds_alternative<HelloRequest>(request)) {
    if (phase != Phase::kHello) return;  // another one was answered better
    const bool other_version = error.code == ErrorCode::kUnsupported;
    connect_anew_when_denied(error);
    hello_at = now + std::max<Duration>(
                         later, other_version ? Duration(client::limits::kUnsupportedRetry) : hello_delay);
    reply_heard = hello_at;  // until then its silence is what was agreed
    go_stale("The daemon at " + options.endpoint + " cannot serve this client: " + error.message);
  } else if (std::holds_alternative<JoinRequest>(request)) {
    go_stale("The daemon at " + options.endpoint + " does not let this executor join: " + error.message);
    if (connect_anew_when_denied(error)) return;
    requests.ask_later(request, std::max<Duration>(later, client::limits::kHelloLast), now);
  } else if (std::holds_alternative<AckRequest>(request) || std::holds_alternative<AliveRequest>(request)) {
    // Whoever is answered like this is not heard either: its lease runs out there.
    if (error.code == ErrorCode::kPermission)
      go_stale("The daemon at " + options.endpoint +
               " does not serve this executor any more: " + error.message);
    if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kPermission) return rejoin();
    if (later > Duration{}) requests.ask_later(request, later, now);
  } else if (const auto* wanted = std::get_if<ManifestRequest>(&request);
             wanted != nullptr && beside && beside->epoch == wanted->epoch) {
    if (later > Duration{}) return requests.ask_later(request, later, now);
    refuse_pins(wanted->epoch, {error.code, "Epoch " + std::to_string(wanted->epoch) +
                                                " cannot be had from the daemon: " + error.message});
  } else if (std::holds_alternative<SnapshotRequest>(request) ||
             std::holds_alternative<ManifestRequest>(request)) {
    snapshot_not_before = now + std::max<Duration>(later, client::limits::kSnapshotInterval);
    want_snapshot();
  }
}

bool Session::State::connect_anew_when_denied(const ErrorReply& error) {
  if (error.code != ErrorCode::kPermission || now - connected_at < lease) return false;
  connect_anew(client::limits::kHelloLast);
  return true;
}

// --------------------------------------------------------------------------------------------------- events

void Session::State::take(Event& event) {
  if (phase == Phase::kHello || phase == Phase::kLeaving || !from_our_daemon(event.daemon)) return;
  event_heard = now;
  if (phase == Phase::kMember) return apply_event(event);
  if (std::holds_alternative<HeartbeatEvent>(event.body)) return;
  if (held.size() >= client::limits::kHeldEvents) held.pop_front();
  held.push_back(std::move(event));
}

void Session::State::apply_event(Event& event) {
  if (const auto* beat = std::get_if<HeartbeatEvent>(&event.body)) {
    if (!believes_committed(beat->statement, event.daemon.repo, beat->committed_epoch, nullptr)) return;
    if (event.seq < seq && options.trust.demands_signatures()) seq = event.seq;  // nobody signs these numbers
    if (event.seq > seq) want_snapshot();
    return compare_epochs(beat->epoch, beat->committed_epoch);
  }
  if (event.seq < seq) return;  // late: what it says is over
  if (event.seq > seq + 1) want_snapshot();
  seq = event.seq;  // equal: a repetition, which does no harm
  if (const auto* announce = std::get_if<AnnounceEvent>(&event.body)) {
    on_announce(*announce, false);
  } else if (const auto* commit = std::get_if<CommitEvent>(&event.body)) {
    const auto& only = commit->only;
    if (only.empty()) return on_commit(*commit);
    if (std::find(only.begin(), only.end(), options.identity.id) != only.end()) on_trial(*commit);
  } else if (const auto* abort = std::get_if<AbortEvent>(&event.body)) {
    on_abort(abort->epoch, abort->failures);
  }
}

void Session::State::compare_epochs(Epoch head, Epoch committed) {
  if (head > head_epoch) {
    head_epoch = head;
    want_snapshot();
  }
  committed_epoch = std::max(committed_epoch, committed);
  if (committed_epoch > std::max(have(), behind ? behind->epoch : 0)) want_snapshot();
}

}  // namespace moddev
