#include "tests/sim/simulation.h"

#include <algorithm>
#include <set>

#include "daemon/limits.h"
#include "protocol/limits.h"
#include "watcher/limits.h"

namespace moddev::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// After the faults everyone must be at the goal within this: every deadline of the fleet, a lease and every
/// backoff once, with room. With lost events the watcher's slow rescan comes on top, unless somebody asks for
/// a refresh.
constexpr Duration kPatience = seconds(60);
/// Until what was run is recorded: a sign of life, and the daemon's delay after a failure. Most of it passes
/// with kQuiet.
constexpr Duration kRunsPatience = daemon::limits::kRunsRetry + daemon::limits::kRunsDelay + seconds(3);
/// And then nothing may happen any more.
constexpr Duration kQuiet = seconds(4);
constexpr std::uint64_t kRefreshRequest = 1'000'000;
/// How long a crowd of which some cannot use what is committed has to find what it can use.
constexpr Duration kTruce = seconds(30);

/// How long an epoch may stay undecided: everyone is asked, then the canaries switch and are watched, and one
/// or the other falls silent at the last moment.
Duration longest_decision(const daemon::FleetOptions& fleet) {
  const Duration trial =
      fleet.canaries.wanted() ? fleet.apply_deadline + fleet.canary_time : Duration::zero();
  return fleet.prepare_deadline + trial + 2 * fleet.lease + seconds(2);
}

}  // namespace

Tally& Tally::operator+=(const Tally& other) {
  announced += other.announced;
  committed += other.committed;
  aborted += other.aborted;
  trials += other.trials;
  returns += other.returns;
  applied += other.applied;
  daemon_deaths += other.daemon_deaths;
  executor_deaths += other.executor_deaths;
  messages += other.messages;
  to_converge = std::max(to_converge, other.to_converge);
  return *this;
}

SimulationResult simulate(const SimulationOptions& options) {
  return Simulation(options).run();
}

Simulation::Simulation(const SimulationOptions& options)
    : options_(options),
      random_(options.seed * 0x9E3779B97F4A7C15ULL + 1),
      weather_(draw_weather(random_)),
      trace_(options.print),
      toolchain_(random_.fork(), files_, trace_),
      never_torn_(verdict_, [this](const Digest& digest) { return toolchain_.finished(digest); }),
      never_missed_(verdict_),
      only_rises_(verdict_, chronicle_, weather_.fleet.canaries.wanted()),
      per_process_(verdict_, chronicle_),
      per_fleet_(verdict_, chronicle_, weather_.fleet.sync),
      last_good_(verdict_, chronicle_),
      in_time_(verdict_, longest_decision(weather_.fleet)),
      returns_(verdict_, chronicle_, weather_.fleet.lease,
               weather_.network.slow > 0 ? weather_.network.slowest : Duration::zero()),
      rejoins_(verdict_, weather_.fleet.lease),
      runs_told_(verdict_),
      bounded_(verdict_),
      // One link more than executors: the observer who asks for a refresh.
      network_(random_.fork(), weather_.executors + 1),
      daemon_(weather_, options.plant, files_, network_, random_.fork()),
      executor_up_at_(weather_.executors, kNever),
      executor_paused_until_(weather_.executors),
      doomed_(weather_.executors, false),
      dies_at_(weather_.executors, kNever),
      seen_(weather_.executors, nullptr) {
  network_.faults = weather_.network;
  files_.grant_leases(!weather_.no_leases);
  daemon_.wire = [this](SimTransport& transport) { wire(transport); };
  daemon_.on_started = [this](const daemon::Journal& journal, Fate fate) {
    only_rises_.reopened(journal, fate);
    per_fleet_.daemon_started(journal);
    std::set<Uuid> up;
    for (const auto& executor : executors_) {
      if (executor->up()) up.insert(executor->id());
    }
    rejoins_.daemon_started(journal, up, now_);
  };
  daemon_.on_stopped = [this] {
    per_fleet_.daemon_stopped();
    in_time_.daemon_stopped();
    only_rises_.daemon_died();
    joining_.clear();
  };
  if (weather_.one_machine) {
    daemon_.still_there = [this](const ExecutorIdentity& one) {
      return std::ranges::any_of(
          executors_, [&](const auto& executor) { return executor->up() && executor->id() == one.id; });
    };
  }
  if (weather_.lost_events)
    daemon_.lose_event = [this](const watcher::WatchEvent&) { return faults_on_ && random_.chance(0.3); };
  for (std::size_t i = 0; i < weather_.executors; ++i) {
    executors_.push_back(
        std::make_unique<ExecutorProcess>(i, weather_, options.plant, network_, random_.fork()));
    executors_.back()->refusal = [this, i](const ModuleEntry& module) { return refuses(i, module); };
  }
  // While the watcher reads a file, a writer may come.
  files_.before_read = [this](std::uint64_t) {
    if (faults_on_ && random_.chance(0.1)) toolchain_.step(now_);
  };
}

void Simulation::wire(SimTransport& transport) {
  newest_seq_ = 0;
  transport.on_publish = [this](const Event& event) {
    const bool repeated = event.seq <= newest_seq_;
    if (const auto* announce = std::get_if<AnnounceEvent>(&event.body)) {
      only_rises_.announced(event.daemon.repo, *announce, repeated);
      never_torn_.announced(*announce);
      if (!repeated) {
        ++tally_.announced;
        in_time_.announced(announce->epoch);
        // Without changes it is what is committed, for canaries.
        if (!announce->changes.empty()) rejoins_.announced(announce->epoch, now_);
        if (returns_.announced(*announce, daemon_.journal(), now_)) ++tally_.returns;
      }
    }
    per_fleet_.published(event);
    if (const auto* commit = std::get_if<CommitEvent>(&event.body); commit != nullptr && !repeated) {
      if (commit->only.empty()) {
        ++tally_.committed;
        in_time_.decided();
        returns_.committed();
      } else {
        ++tally_.trials;
      }
    }
    if (!repeated && std::holds_alternative<AbortEvent>(event.body)) {
      ++tally_.aborted;
      in_time_.decided();
    }
    newest_seq_ = std::max(newest_seq_, event.seq);
    trace_("publish", event.body.index(), event.seq);
  };
  transport.on_request = [this](std::size_t link, const Request& request) {
    if (const auto* join = std::get_if<JoinRequest>(&request.body)) {
      joining_[{link, request.id}] = join->executor.id;
      rejoins_.joined(join->executor.id);
    }
    per_fleet_.requested(request);
    if (const auto* ack = std::get_if<AckRequest>(&request.body); ack && ack->phase == AckPhase::kFailed)
      returns_.trouble(now_);
    if (link < executors_.size()) {
      returns_.heard(link, now_);
      check_runs(*executors_[link], request);
    }
    trace_("request", link, request.body.index());
  };
  transport.on_reply = [this](std::size_t link, const Reply& reply) {
    const auto joiner = joining_.find({link, reply.id});
    per_fleet_.replied(joiner == joining_.end() ? nullptr : &joiner->second, reply);
    trace_("reply", link, reply.body.index());
  };
}

void Simulation::check_runs(const ExecutorProcess& executor, const Request& request) {
  const auto* alive = std::get_if<AliveRequest>(&request.body);
  const auto* leave = std::get_if<LeaveRequest>(&request.body);
  if (alive == nullptr && leave == nullptr) return;
  const Uuid& sender = alive != nullptr ? alive->executor : leave->executor;
  if (!executor.up() || executor.id() != sender) return;  // it has died meanwhile
  if (alive != nullptr)
    runs_told_.told(executor.number(), alive->runs, alive->runs_repo, executor.runs());
  else
    runs_told_.told(executor.number(), leave->runs, leave->runs_repo, executor.runs());
}

std::optional<std::string> Simulation::untold(const ExecutorProcess& executor) const {
  return RunsTold::difference(daemon_.journal(), executor.id(), executor.runs());
}

SimulationResult Simulation::run() {
  if (trace_.prints()) std::printf("%s\n", describe(weather_).c_str());
  chaos();
  if (!failed() && weather_.refusals > 0) truce();
  if (!failed()) heal();
  if (!failed()) settle();
  for (auto& executor : executors_) {
    if (executor->up()) executor->stop(false);
  }
  if (daemon_.up()) daemon_.stop();
  tally_.messages = network_.sent();
  return {verdict_.first(), trace_.digest(), tally_};
}

void Simulation::chaos() {
  toolchain_.stampless_stores = !weather_.lost_events && !weather_.overflows;
  toolchain_.begin_build(now_);
  start_daemon();
  for (auto& executor : executors_) start_executor(*executor);
  act_at_ = now_ + milliseconds(100);
  const TimePoint end = now_ + weather_.chaos;
  while (!failed() && now_ < end) {
    run_until(std::min(act_at_, end), [] { return false; });
    if (now_ >= act_at_) act();
  }
}

void Simulation::end_faults() {
  faults_on_ = false;
  faults_end_ = kNever;
  network_.faults = {};
  daemon_.disarm();
  daemon_.free_disk();
  daemon_.hold_events(false);
  daemon_paused_until_ = now_;
  if (!daemon_.up()) start_daemon();
  for (std::size_t i = 0; i < executors_.size(); ++i) {
    network_.cut(i, false);
    executor_paused_until_[i] = now_;
    dies_at_[i] = kNever;
    executors_[i]->slow = false;
    executors_[i]->cache().full = false;
    if (!executors_[i]->up()) start_executor(*executors_[i]);
  }
}

void Simulation::truce() {
  trace_("truce");
  end_faults();
  run_until(now_ + kTruce, [] { return false; });
  if (failed() || !chronicle_.newest().decided()) return;
  const Epoch committed = daemon_.journal().committed().epoch;
  returns_.at_rest(daemon_.journal(),
                   static_cast<std::size_t>(std::ranges::count_if(executors_, [&](const auto& e) {
                     const auto view = e->view();
                     return view && view->epoch() == committed;
                   })));
}

/// The faults stop; the developer fixes the build; who is down is started again.
void Simulation::heal() {
  trace_("heal");
  end_faults();
  refusals_on_ = false;
  // What canaries died of is not tried again without new bytes: they come when all trials are over.
  if (weather_.fleet.canaries.wanted())
    run_until(now_ + longest_decision(weather_.fleet), [] { return false; });
  healed_at_ = now_;
  if (random_.chance(0.3)) {
    // What was lost before now must be found all the same.
    toolchain_.repair(now_);
    toolchain_.refresh_one(now_);
  }
  daemon_.events().lose = nullptr;
  toolchain_.repair(now_);
  // What somebody refused is not tried again without new bytes. Where nobody did, nothing new is written:
  // what was lost last must be found without a further epoch.
  const bool refused = tally_.aborted > 0 || weather_.refusals > 0 || weather_.killers > 0 ||
                       weather_.full_disks || weather_.network.damage_payload > 0;
  if (refused || random_.chance(0.2)) toolchain_.refresh_one(now_);
}

void Simulation::settle() {
  const TimePoint begin = now_;
  Duration patience = kPatience;
  if (weather_.lost_events) {
    if (random_.chance(0.8))
      ask_for_refresh();
    else
      patience += 2 * watcher::limits::kSlowRescan;
  }
  run_until(now_ + patience, [this] { return converged(); });
  if (failed()) return;
  if (!converged()) {
    const auto directory = toolchain_.directory();
    const daemon::Journal& journal = daemon_.journal();
    if (NeverMissed::difference(journal.committed(), directory, journal.holds()))
      never_missed_.settled(journal.committed(), directory, journal.holds());
    verdict_.fail("Converges", who_lags());
    return;
  }
  tally_.to_converge = now_ - begin;
  trace_("converged", 0, daemon_.journal().committed().epoch);
  const Epoch head = daemon_.journal().head();
  for (auto& executor : executors_) executor->drop_pins(kNever);
  run_until(now_ + kQuiet, [] { return false; });
  if (failed()) return;
  if (daemon_.journal().head() != head)
    verdict_.fail("OnlyRises", "an epoch was made although nothing was written any more");
  if (!converged()) verdict_.fail("Converges", "the world left its goal again: " + who_lags());
  run_until(now_ + kRunsPatience, [this] {
    return std::ranges::none_of(executors_,
                                [this](const auto& executor) { return untold(*executor).has_value(); });
  });
  if (failed()) return;
  for (auto& executor : executors_) {
    if (const auto difference = untold(*executor)) runs_told_.at_rest(executor->number(), *difference);
    bounded_.modules_alive(executor->number(), executor->loader().modules_alive(),
                           executor->view() ? executor->view()->modules().size() : 0);
    // Acks, joins and drains have all been answered: only signs of life are left.
    bounded_.overlapping(executor->number(), executor->loader().overlapping());
  }
}

// ------------------------------------------------------------------------------------------ running it

TimePoint Simulation::next_instant() const {
  TimePoint next = std::min({network_.next(), toolchain_.next(), daemon_up_at_, faults_end_});
  if (daemon_.up()) {
    const bool mail = network_.daemon_has_mail() || daemon_.has_events();
    next = std::min(next, std::max(mail ? now_ : daemon_.due(), daemon_paused_until_));
  }
  for (std::size_t i = 0; i < executors_.size(); ++i) {
    next = std::min({next, executor_up_at_[i], dies_at_[i]});
    if (!executors_[i]->up()) continue;
    const TimePoint due = network_.has_mail(i) ? now_ : executors_[i]->due();
    next = std::min(next, std::max(due, executor_paused_until_[i]));
    for (const auto& held : executors_[i]->pins()) next = std::min(next, held.until);
  }
  return next;
}

template <typename Condition>
void Simulation::run_until(TimePoint end, Condition enough) {
  while (!failed() && !enough()) {
    const TimePoint next = std::max(next_instant(), now_);
    if (next > end) {
      now_ = std::max(now_, end);
      break;
    }
    now_ = next;
    trace_.set_now(now_);
    verdict_.set_now(now_);
    files_.set_time(now_.time_since_epoch().count());
    network_.deliver(now_);
    if (toolchain_.next() <= now_) toolchain_.step(now_);
    step_ready();
  }
  trace_.set_now(now_);
  verdict_.set_now(now_);
}

bool Simulation::step_ready() {
  if (faults_end_ <= now_) {
    faults_end_ = kNever;
    for (std::size_t i = 0; i < executors_.size(); ++i) {
      network_.cut(i, false);
      executors_[i]->cache().full = false;
    }
    daemon_.free_disk();
    daemon_.hold_events(false);
    trace_("fault over");
  }
  if (daemon_up_at_ <= now_) start_daemon();
  const auto daemon_turn = [&] {
    if (!daemon_.up() || daemon_paused_until_ > now_) return;
    if (daemon_.due() <= now_ || network_.daemon_has_mail() || daemon_.has_events()) step_daemon();
  };
  const bool daemon_first = random_.chance(0.5);
  if (daemon_first) daemon_turn();
  for (std::size_t i = 0; i < executors_.size(); ++i) {
    ExecutorProcess& executor = *executors_[i];
    if (executor_up_at_[i] <= now_) start_executor(executor);
    if (dies_at_[i] <= now_) {
      dies_at_[i] = kNever;
      if (!executor.up()) continue;
      trace_("executor dies of what it runs", i);
      stop_executor(executor, false);
      executor_up_at_[i] = now_ + random_.between(milliseconds(20), seconds(3));
    }
    if (!executor.up()) continue;
    executor.drop_pins(now_);
    if (executor_paused_until_[i] > now_) continue;
    if (executor.due() <= now_ || network_.has_mail(i)) step_executor(executor);
  }
  if (!daemon_first) daemon_turn();
  while (auto mail = network_.receive(weather_.executors)) {
    const auto reply = decode_reply(mail->frames);
    if (reply && refresh_id_ && reply->id == *refresh_id_) {
      refreshed_ = true;
      trace_("refreshed by request", 0, reply->body.index());
    }
  }
  return true;
}

void Simulation::start_daemon() {
  daemon_up_at_ = kNever;
  if (faults_on_ && weather_.daemon_restarts && random_.chance(0.1)) daemon_.kill_after(random_.below(30));
  if (!daemon_.start(now_, wall())) {
    trace_("daemon does not come up");
    ++tally_.daemon_deaths;
    meet_disaster();
    daemon_up_at_ = now_ + random_.between(milliseconds(1), seconds(2));
    return;
  }
  trace_("daemon starts", 0, daemon_.journal().committed().epoch);
}

void Simulation::step_daemon() {
  bounded_.step(0, now_);
  // Pauses, sleeping machines and restarts are not its own time.
  const Duration awake = now_ - std::max(daemon_stepped_, daemon_paused_until_);
  // Nor can it decide what it cannot record.
  if (!daemon_.journal_is_full()) in_time_.passed(std::clamp(awake, Duration::zero(), Duration(seconds(1))));
  daemon_stepped_ = now_;
  const bool alive = daemon_.step(now_, wall());
  if (!alive) {
    trace_("daemon killed in a step");
    ++tally_.daemon_deaths;
    meet_disaster();
    daemon_up_at_ = now_ + random_.between(milliseconds(1), seconds(5));
    return;
  }
  for (const daemon::DaemonEvent& event : daemon_.take_events()) {
    per_fleet_.told(event);
    trace_("daemon tells", event.index());
    if (!trace_.prints()) continue;
    if (const auto* warning = std::get_if<daemon::WarningEvent>(&event))
      std::printf("              %s\n", warning->message.c_str());
    if (const auto* rejected = std::get_if<daemon::RejectedEvent>(&event))
      std::printf("              %s: %s\n", rejected->path.c_str(), rejected->reason.c_str());
    if (const auto* member = std::get_if<daemon::ExecutorEvent>(&event))
      std::printf("              %s %s\n", member->executor.name.c_str(), member->reason.c_str());
    if (const auto* published = std::get_if<daemon::PublishedEvent>(&event)) {
      for (const ModuleChange& change : published->changes)
        std::printf("              epoch %lu: %s %s %lu\n", static_cast<unsigned long>(published->epoch),
                    std::string(to_string(change.change)).c_str(), change.module.path.c_str(),
                    static_cast<unsigned long>(change.module.version));
    }
  }
  per_fleet_.stepped();
}

void Simulation::step_executor(ExecutorProcess& executor) {
  const std::size_t number = executor.number();
  bounded_.step(1 + number, now_);
  executor.step(now_);
  for (const ClientEvent& event : executor.session().take_events()) {
    trace_("executor tells", number, (static_cast<std::uint64_t>(event.kind) << 32) | event.epoch);
    if (event.kind == ClientEvent::Kind::kFailed) last_good_.refused(number, event);
    if (trace_.prints() && !event.message.empty()) std::printf("              %s\n", event.message.c_str());
  }
  observe(executor);
  if (doomed_[number]) {
    trace_("executor dies loading", number);
    stop_executor(executor, false);
    executor_up_at_[number] = now_ + random_.between(milliseconds(20), seconds(3));
  }
}

void Simulation::observe(ExecutorProcess& executor) {
  const std::size_t number = executor.number();
  const auto view = executor.view();
  if (view && view.get() != seen_[number]) {
    seen_[number] = view.get();
    ++tally_.applied;
    trace_("applied", number, view->epoch());
    never_torn_.loaded(number, *view);
    per_process_.view(number, *view);
    per_fleet_.applied(number, executor.id(), *view);
    if (is_deadly(view->manifest()))
      dies_at_[number] = std::min(dies_at_[number], now_ + random_.between(Duration::zero(), seconds(3)));
  }
  last_good_.stepped(number, view.get(), executor.session().connected(), executor.silent());
  bounded_.requests(number, executor.link().requests - executor.link().blob_requests, now_);
  for (const auto& held : executor.pins()) per_process_.pin(number, held.epoch, held.pin.epoch());
}

void Simulation::start_executor(ExecutorProcess& executor) {
  const std::size_t number = executor.number();
  executor_up_at_[number] = kNever;
  doomed_[number] = false;
  seen_[number] = nullptr;
  executor.start(now_);
  last_good_.started(number);
  bounded_.started(number);
  trace_("executor starts", number);
}

void Simulation::stop_executor(ExecutorProcess& executor, bool says_goodbye) {
  ++tally_.executor_deaths;
  dies_at_[executor.number()] = kNever;
  returns_.trouble(now_);
  rejoins_.gone(executor.id());
  executor.stop(says_goodbye);
}

// --------------------------------------------------------------------------------------------- the goal

bool Simulation::converged() const {
  // Who died last may still be found out, and speak against what is committed.
  const Duration under_way = weather_.network.slow > 0 ? weather_.network.slowest : Duration::zero();
  const Duration missed = weather_.fleet.lease + daemon::limits::kBackAfterDeath + under_way;
  if (now_ < healed_at_ + missed + seconds(1)) return false;
  if (refresh_id_ && !refreshed_) return false;
  if (!daemon_.up() || toolchain_.busy()) return false;
  // The directory can be back at what is committed while something in between is still on its way.
  if (!daemon_.watcher_idle() || !chronicle_.newest().decided()) return false;
  const Manifest& committed = daemon_.journal().committed();
  for (const auto& executor : executors_) {
    if (!executor->up() || !executor->session().connected()) return false;
    const auto view = executor->view();
    if ((view ? view->epoch() : 0) != committed.epoch) return false;
  }
  if (NeverMissed::difference(committed, toolchain_.directory(), daemon_.journal().holds())) return false;
  const Digest goal = committed.digest();
  // Where nothing was ever built, nobody has a view.
  return committed.epoch == 0 || std::ranges::all_of(executors_, [&](const auto& executor) {
           return executor->view()->manifest().digest() == goal;
         });
}

std::string Simulation::who_lags() const {
  const Manifest& committed = daemon_.journal().committed();
  std::string text = "committed is epoch " + std::to_string(committed.epoch) + " of " +
                     std::to_string(daemon_.journal().head());
  for (const auto& executor : executors_) {
    const auto view = executor->view();
    text += ", executor " + std::to_string(executor->number()) + " runs " +
            (view ? std::to_string(view->epoch()) : std::string("nothing")) +
            (executor->session().connected() ? "" : " and is not connected");
  }
  if (refresh_id_ && !refreshed_) text += "; the refresh was not answered";
  const auto what = NeverMissed::difference(committed, toolchain_.directory(), daemon_.journal().holds());
  if (what) text += "; " + *what;
  return text;
}

void Simulation::ask_for_refresh() {
  refresh_id_ = kRefreshRequest;
  network_.send_request(weather_.executors, encode(Request{*refresh_id_, RefreshRequest{}}));
}

}  // namespace moddev::sim
