#include "client/src/session.h"

#include <algorithm>
#include <utility>

#include "client/src/session_state.h"
#include "protocol/limits.h"

namespace moddev {

Session::Session(SessionOptions options, Link& link, Loader& loader, BlobStore& cache, ViewStore& views)
    : state_(std::make_unique<State>(std::move(options), link, loader, cache, views)) {}

Session::~Session() {
  // Prepared views are undone on the loader's thread, like all others.
  state_->discard(state_->pending);
  state_->discard(state_->behind);
  state_->refuse_all_pins({ErrorCode::kUnavailable, "The client has ended.", 0});
}

TimePoint Session::step(TimePoint now, WallTime wall) {
  return state_->step(now, wall);
}

void Session::remember(const Uuid& repo, Manifest manifest) {
  MODDEV_ASSERT(!state_->started, "remember() comes before the first step");
  if (manifest.epoch == 0) return;
  client::EpochInWork& work = state_->remembered.emplace();
  work.repo = repo;
  work.epoch = manifest.epoch;
  work.attempt = ++state_->attempts;
  work.manifest = std::move(manifest);
}

std::vector<ClientEvent> Session::take_events() {
  std::vector<ClientEvent> events(std::make_move_iterator(state_->events.begin()),
                                  std::make_move_iterator(state_->events.end()));
  state_->events.clear();
  return events;
}

void Session::leave() {
  State& s = *state_;
  s.refuse_all_pins({ErrorCode::kUnavailable, "The client is leaving the fleet.", 0});
  s.requests.clear();
  if (s.member() || s.phase == State::Phase::kJoining) {
    s.requests.ask(LeaveRequest{s.options.identity.id, s.tell_last_runs(), s.live_repo}, s.now);
  } else {
    s.left = true;
  }
  s.phase = State::Phase::kLeaving;
}

bool Session::left() const {
  return state_->left;
}
Epoch Session::applied_epoch() const {
  return state_->live_epoch;
}
bool Session::connected() const {
  return state_->status.connected;
}
TimePoint Session::in_lease_until() const {
  const State& s = *state_;
  if (!s.member() || s.live_epoch == 0 || s.committed_epoch > s.have()) return TimePoint{};
  return s.confirmed == TimePoint{} ? TimePoint{} : s.confirmed + s.lease;
}
const SessionStatus& Session::status() const {
  return state_->status;
}
Uuid Session::applied_repo() const {
  return state_->live_repo;
}

TimePoint Session::State::step(TimePoint time, WallTime wall_time) {
  now = time;
  wall = wall_time;
  if (!started) start();
  notice_late_step();
  TimePoint deadline = now;
  for (unsigned round = 0; round < client::limits::kRoundsPerStep; ++round) {
    const auto before = std::pair(requests.sent(), attempts_loaded);
    bool more = take_inputs();
    while (auto outcome = loader.poll()) on_outcome(std::move(*outcome));
    notice_silence();
    notice_expiry();
    notice_trouble();
    start_without_daemon();
    more = serve_waiting_pins() || more;
    advance();
    collect_views();
    send_due();
    // What was begun may be answered already, without waking anyone: look again.
    if (!more && before == std::pair(requests.sent(), attempts_loaded)) {
      deadline = next_deadline();
      break;
    }
  }
  refresh_status();
  asked_for = deadline;
  return deadline;
}

void Session::State::start() {
  started = true;
  connected_at = now;
  reply_heard = now;
  event_heard = now;
  hello_at = now;
  if (remembered) offline_at = now + client::limits::kOfflineAfter;
}

void Session::State::notice_late_step() {
  if (asked_for == kNever || now - asked_for < client::limits::kLateStep) return;
  const Duration deaf = now - asked_for;
  reply_heard += deaf;
  event_heard += deaf;
}

void Session::State::notice_silence() {
  if (phase == Phase::kLeaving) return;
  if (now - reply_heard >= lease) {
    const std::string what =
        daemon_known ? "The daemon at " + options.endpoint + " has not answered for " +
                           std::to_string(to_us(lease) / 1000) + " ms."
                     : "No daemon answers at " + options.endpoint + ". Is `moddev watch DIR` running?";
    const std::optional<Error> trouble = link.problem();
    if (trouble) tell_trouble(trouble->message);
    if (!trouble) go_stale(what + going_on());
    if (phase != Phase::kHello) hello_delay = client::limits::kHelloFirst;
    connect_anew(client::with_jitter(hello_delay, random));
  } else if (member() && now - event_heard >= lease) {
    // Requests are answered, but no heartbeat comes: the subscription is lost.
    event_heard = now;
    link.subscribe(events_endpoint);
    requests.count_sent();
    want_snapshot();
  }
}

void Session::State::notice_trouble() {
  if (member() || phase == Phase::kLeaving) return;
  if (const std::optional<Error> trouble = link.problem()) tell_trouble(trouble->message);
}

void Session::State::tell_trouble(const std::string& why) {
  // Perhaps it was said already that nobody answers; this is the reason.
  const bool told = std::find(told_troubles.begin(), told_troubles.end(), why) != told_troubles.end();
  if (!told && told_troubles.size() < client::limits::kTroublesTold) {
    told_troubles.push_back(why);
    stale_told = false;
  }
  go_stale(why + going_on());
}

std::string Session::State::going_on() const {
  return live_epoch == 0 ? "" : " Epoch " + std::to_string(live_epoch) + " goes on here.";
}

void Session::State::start_without_daemon() {
  if (now < offline_at) return;
  offline_at = kNever;
  if (daemon_known || !remembered) return;
  // Like a committed epoch that does not run here yet; what the cache lacks can only wait for the daemon.
  behind = std::exchange(remembered, std::nullopt);
  behind->since = now;
}

void Session::State::connect_anew(Duration delay) {
  // While it looks for a daemon, hellos keep their rhythm whatever becomes of the sockets.
  if (phase != Phase::kHello) hello_at = now + delay;
  phase = Phase::kHello;
  confirmed = {};
  link.reset();
  connected_at = now;
  requests.count_sent();
  requests.clear();
  fetcher.forget_open();
  held.clear();
  snapshot_wanted = false;
  reply_heard = now;
}

void Session::State::say_hello() {
  requests.ask_once(HelloRequest{options.software}, now);
  hello_at = now + client::with_jitter(hello_delay, random);
  hello_delay = std::min<Duration>(hello_delay * 2, client::limits::kHelloLast);
}

void Session::State::send_due() {
  if (phase == Phase::kHello && now >= hello_at) say_hello();
  requests.step(now);
  if (!member()) return;
  if (now >= alive_at) send_alive();
  ask_snapshot_when_due();
  fetcher.step(now, [this](const BlobRequest& piece) {
    const std::uint64_t id = requests.next_id();
    link.send({id, piece});
    requests.count_sent();
    return id;
  });
}

void Session::State::send_alive() {
  AliveRequest alive;
  alive.executor = options.identity.id;
  alive.state = state_to_report();
  alive.epoch = have();
  alive.pins = views.held(now);
  if (alive.pins.size() > client::limits::kPinsPerExecutor)
    alive.pins.resize(client::limits::kPinsPerExecutor);
  alive.retired_bytes = retired_bytes;
  alive.notes = loader.notes(now);
  if (retired_bytes > client::limits::kRetiredAdvice) alive.notes.push_back(client::advice_on_retired());
  if (alive.notes.size() > client::limits::kNotesPerExecutor)
    alive.notes.resize(client::limits::kNotesPerExecutor);
  alive.runs = runs_to_tell();
  alive.runs_repo = live_repo;
  requests.ask_once(std::move(alive), now);
  alive_at = now + heartbeat;
}

std::vector<RunReport> Session::State::runs_to_tell() {
  if (have() == 0) return {};
  return run_reports.due(views.all(), client::limits::kRunsPerMessage, now, wall);
}

std::vector<RunReport> Session::State::tell_last_runs() {
  if (!member()) return {};
  std::vector<RunReport> runs = runs_to_tell();
  while (runs.size() == client::limits::kRunsPerMessage) {
    AliveRequest alive;
    alive.executor = options.identity.id;
    alive.state = state_to_report();
    alive.epoch = have();
    alive.runs = std::move(runs);
    alive.runs_repo = live_repo;
    // Answered or not: there is no time to tell it again.
    link.send({requests.next_id(), std::move(alive)});
    requests.count_sent();
    runs = runs_to_tell();
  }
  return runs;
}

void Session::State::ask_snapshot_when_due() {
  if (!snapshot_wanted || now < snapshot_not_before || requests.is_open<SnapshotRequest>()) return;
  snapshot_wanted = false;
  snapshot_not_before = now + client::limits::kSnapshotInterval;
  requests.ask(SnapshotRequest{}, now);
}

void Session::State::go_stale(std::string why) {
  set_problem(why);
  if (stale_told) return;
  stale_told = true;
  ClientEvent event;
  event.kind = ClientEvent::Kind::kStale;
  event.epoch = live_epoch;
  event.message = std::move(why);
  emit(std::move(event));
}

TimePoint Session::State::next_deadline() const {
  TimePoint next = requests.next_due();
  if (phase == Phase::kLeaving) return next;
  next = std::min({next, reply_heard + lease, offline_at});
  if (phase == Phase::kHello) next = std::min(next, hello_at);
  next = std::min(next, collect_at);
  for (const WaitingPin& waiting : waiting_pins) next = std::min(next, waiting.deadline);
  if (behind && behind->stage == Stage::kFailed) next = std::min(next, behind->retry_at);
  if (!member()) return next;
  next = std::min({next, event_heard + lease, alive_at, fetcher.next_due()});
  if (snapshot_wanted && !requests.is_open<SnapshotRequest>()) next = std::min(next, snapshot_not_before);
  return next;
}

ExecutorState Session::State::state_to_report() const {
  if (behind && behind->stage == Stage::kFailed) return ExecutorState::kFailed;
  if (live_epoch == 0) return ExecutorState::kJoining;
  if (behind || (pending && pending->stage != Stage::kPrepared && pending->stage != Stage::kFailed)) {
    return ExecutorState::kPreparing;
  }
  return ExecutorState::kLive;
}

void Session::State::emit(ClientEvent event) {
  if (events.size() >= client::limits::kWaitingEvents) events.pop_front();
  events.push_back(std::move(event));
}

void Session::State::set_problem(std::string problem) {
  if (status.problem == problem) return;
  status.problem = std::move(problem);
  ++status.revision;
}

void Session::State::refresh_status() {
  const bool connected = member();
  const Epoch committed = std::max(committed_epoch, live_epoch);
  if (status.connected == connected && status.applied == live_epoch && status.committed == committed) return;
  status.connected = connected;
  status.applied = live_epoch;
  status.committed = committed;
  ++status.revision;
}

}  // namespace moddev
