#include "tests/sim/executor_process.h"

#include <algorithm>
#include <utility>

namespace moddev::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

/// The planted bug of a client without resynchronisation: numbers have no gaps, heartbeats never run ahead,
/// the daemon never says "join again", and after the first snapshot every further one tells what was heard
/// already.
struct DeafToGaps {
  std::uint64_t seq = 0;
  std::optional<Manifest> committed;
  std::optional<Manifest> pending;

  std::vector<LinkInput> operator()(LinkInput input) {
    const Epoch epoch = committed ? committed->epoch : 0;
    if (auto* event = std::get_if<Event>(&input)) {
      if (auto* heartbeat = std::get_if<HeartbeatEvent>(&event->body))
        heartbeat->epoch = heartbeat->committed_epoch = epoch;
      else
        hear(event->body);
      event->seq = seq;
      return {std::move(input)};
    }
    auto& reply = std::get<Reply>(input);
    if (auto* alive = std::get_if<AliveReply>(&reply.body)) {
      alive->member = true;
      alive->epoch = alive->committed_epoch = epoch;
    } else if (auto* hello = std::get_if<HelloReply>(&reply.body)) {
      hello->epoch = hello->committed_epoch = epoch;
    } else if (auto* snapshot = std::get_if<SnapshotReply>(&reply.body)) {
      snapshot->seq = seq;
      if (committed) {
        snapshot->committed = *committed;
        snapshot->pending.reset();
      }
      committed = snapshot->committed;
    }
    return {std::move(input)};
  }

 private:
  void hear(const decltype(Event::body)& body) {
    ++seq;
    if (const auto* announce = std::get_if<AnnounceEvent>(&body)) {
      if (committed && committed->epoch == announce->base)
        pending = apply(*committed, announce->changes, announce->epoch);
    } else if (const auto* commit = std::get_if<CommitEvent>(&body)) {
      if (pending && pending->epoch == commit->epoch) committed = pending;
    }
  }
};

/// Runs take as long as real ones; what is told of it must be the same for the same seed.
void tell_even_times(Request& request) {
  auto* alive = std::get_if<AliveRequest>(&request.body);
  auto* leave = std::get_if<LeaveRequest>(&request.body);
  if (alive == nullptr && leave == nullptr) return;
  for (RunReport& run : alive != nullptr ? alive->runs : leave->runs) {
    run.total_ns = 1'000 * run.runs;
    run.longest_ns = 1'000;
    run.last_at_ns = 1;
  }
}

}  // namespace

ExecutorProcess::ExecutorProcess(std::size_t number, const Weather& weather, Plant plant, SimNetwork& network,
                                 Random random)
    : slow(weather.slow_loading), number_(number), plant_(plant), network_(network), random_(random) {}

ExecutorProcess::~ExecutorProcess() {
  if (up()) stop(false);
}

void ExecutorProcess::start(TimePoint now) {
  for (std::uint8_t& byte : id_.bytes) byte = static_cast<std::uint8_t>(random_.next());
  network_.forget(number_);
  link_ = std::make_unique<SimLink>(network_, number_);
  loader_ = std::make_unique<SimLoader>(cache_);
  loader_->refusal = refusal;
  loader_->time_needed = [this]() -> Duration {
    if (slow && random_.chance(0.2)) return random_.between(milliseconds(100), seconds(4));
    return random_.between(microseconds(50), milliseconds(3));
  };
  plant_bug();
  runs_.clear();
  views_ = std::make_unique<ViewStore>();
  SessionOptions options;
  options.identity = {id_, "executor-" + std::to_string(number_), "world",
                      static_cast<std::int64_t>(100 + number_)};
  options.software = "simulation";
  options.seed = random_.next();
  session_ = std::make_unique<Session>(std::move(options), *link_, *loader_, cache_, *views_);
  const bool forgets = ++starts_ % 4 == 0;  // somebody cleans the cache directory
  if (remembered_ && !forgets) session_->remember(remembered_->repo, remembered_->view->manifest());
  stepped_ = now;
  silent_ = Duration::zero();
  due_ = now;
}

void ExecutorProcess::stop(bool says_goodbye) {
  if (says_goodbye) session_->leave();
  // Its modules go with the process.
  if (remembered_)
    remembered_->view = std::make_shared<const View>(remembered_->view->manifest(), View::Modules());
  session_.reset();
  pins_.clear();
  views_.reset();
  loader_.reset();
  link_.reset();
  network_.forget(number_);
}

void ExecutorProcess::step(TimePoint now) {
  loader_->set_now(now);
  link_->heard = false;
  due_ = session_->step(now);
  if (session_->connected() && session_->applied_epoch() > 0)
    remembered_ = Remembered{session_->applied_repo(), views_->current()};
  // It wakes at least with every heartbeat that is due; longer gaps are pauses.
  silent_ = link_->heard ? Duration::zero() : silent_ + std::min<Duration>(now - stepped_, seconds(1));
  stepped_ = now;
}

TimePoint ExecutorProcess::due() const {
  return std::min(due_, loader_->ready_at());
}

void ExecutorProcess::take_pin(TimePoint until) {
  Pin pin = views_->pin();
  const Epoch epoch = pin.epoch();
  HeldPin held{std::move(pin), epoch, until, {}};
  for (const ModuleInfo& module : held.pin.modules()) {
    if (held.pin.bytes(module.name))
      held.runs.emplace_back(session_->applied_repo(), module.name, module.version);
  }
  pins_.push_back(std::move(held));
}

void ExecutorProcess::drop_pins(TimePoint now) {
  std::erase_if(pins_, [&](const HeldPin& held) {
    if (held.until > now) return false;
    for (const auto& run : held.runs) ++runs_[run];
    return true;
  });
}

void ExecutorProcess::plant_bug() {
  link_->before_send = tell_even_times;
  if (plant_ == Plant::kSilentRunner) {
    link_->before_send = [](Request& request) {
      tell_even_times(request);
      auto* alive = std::get_if<AliveRequest>(&request.body);
      if (alive != nullptr && !alive->runs.empty()) alive->runs.pop_back();
    };
  }
  loader_->keeps_an_old_module = plant_ == Plant::kMixedView;
  if (plant_ == Plant::kHastyCommit) {
    // A commit that nobody decided comes right behind every announcement.
    link_->tamper = [](LinkInput input) {
      std::vector<LinkInput> all{input};
      if (const auto* event = std::get_if<Event>(&input)) {
        if (const auto* announce = std::get_if<AnnounceEvent>(&event->body))
          all.emplace_back(Event{event->daemon, event->seq + 1, CommitEvent{announce->epoch}});
      }
      return all;
    };
  }
  if (plant_ == Plant::kEagerFollower) {
    link_->tamper = [](LinkInput input) {
      if (auto* event = std::get_if<Event>(&input)) {
        if (auto* commit = std::get_if<CommitEvent>(&event->body)) commit->only.clear();
      }
      return std::vector<LinkInput>{std::move(input)};
    };
  }
  if (plant_ == Plant::kDeafToGaps) link_->tamper = DeafToGaps();
}

}  // namespace moddev::sim
