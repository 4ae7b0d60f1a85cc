#include "tools/supervisor/fleet_follower.h"

#include <algorithm>
#include <utility>

namespace moddev::supervisor {

TimePoint FleetFollower::step(TimePoint now) {
  now_ = now;
  if (!started_) {
    started_ = true;
    heard_ = now;
    ask_again_ = now;
  }
  for (bool more = true; more;) {
    const std::uint64_t before = sent_;
    while (auto input = link_.receive()) take(*input);
    if (now_ - heard_ >= lease_) {
      link_.reset();
      heard_ = now_;
      start_over();
    }
    ask_due();
    more = before != sent_;
  }
  return next_deadline();
}

std::optional<FleetPicture> FleetFollower::take_picture() {
  return std::exchange(picture_, std::nullopt);
}

void FleetFollower::take(LinkInput& input) {
  if (const auto* reply = std::get_if<Reply>(&input)) {
    on(*reply);
  } else {
    on(std::get<Event>(input));
  }
}

void FleetFollower::on(const Reply& reply) {
  heard_ = now_;
  if (const auto* error = std::get_if<ErrorReply>(&reply.body)) {
    if (reply.id != hello_ && reply.id != snapshot_ && reply.id != status_) return;
    problem_ = error->message;
    ask_again_ =
        now_ + std::max<Duration>(std::chrono::milliseconds(error->retry_after_ms), limits::kAskAgain);
  } else if (const auto* hello = std::get_if<HelloReply>(&reply.body)) {
    if (reply.id != hello_) return;
    hello_ = 0;
    problem_.clear();
    daemon_ = hello->daemon;
    lease_ = std::max<Duration>(std::chrono::milliseconds(hello->lease_ms), limits::kAskAgain);
    following_ = true;
    link_.subscribe(hello->events_endpoint);
    ++sent_;
    want_picture();
  } else if (const auto* snapshot = std::get_if<SnapshotReply>(&reply.body)) {
    if (reply.id != snapshot_) return;
    snapshot_ = 0;
    if (snapshot->daemon != daemon_) return start_over();
    manifest_ = snapshot->committed;
    complete();
  } else if (const auto* status = std::get_if<StatusReply>(&reply.body)) {
    if (reply.id != status_) return;
    status_ = 0;
    pids_.emplace();
    for (const ExecutorStatus& executor : status->executors) {
      if (executor.identity.host == options_.host && executor.state != ExecutorState::kGone) {
        pids_->push_back(executor.identity.pid);
      }
    }
    complete();
  }
}

void FleetFollower::on(const Event& event) {
  if (!following_) return;
  heard_ = now_;
  if (event.daemon != daemon_) return start_over();
  Epoch told = 0;
  if (const auto* commit = std::get_if<CommitEvent>(&event.body)) told = commit->epoch;
  if (const auto* beat = std::get_if<HeartbeatEvent>(&event.body)) told = beat->committed_epoch;
  if (told <= committed_) return;
  if (!wanted_) return want_picture();
  if (std::holds_alternative<CommitEvent>(event.body)) wanted_once_more_ = true;
}

void FleetFollower::start_over() {
  following_ = false;
  hello_ = snapshot_ = status_ = 0;
  wanted_ = wanted_once_more_ = false;
  manifest_.reset();
  pids_.reset();
  committed_ = 0;
  ask_again_ = now_;
}

void FleetFollower::want_picture() {
  wanted_ = true;
  manifest_.reset();
  pids_.reset();
  ask_again_ = now_;
}

void FleetFollower::complete() {
  if (!manifest_ || !pids_) return;
  wanted_ = false;
  ask_again_ = kNever;
  committed_ = manifest_->epoch;
  picture_ = FleetPicture{std::move(*manifest_), std::move(*pids_)};
  manifest_.reset();
  pids_.reset();
  if (std::exchange(wanted_once_more_, false)) want_picture();
}

void FleetFollower::ask_due() {
  if (now_ < ask_again_) return;
  ask_again_ = now_ + limits::kAskAgain;
  if (!following_) {
    hello_ = send(HelloRequest{options_.software});
  } else if (wanted_) {
    if (!manifest_) snapshot_ = send(SnapshotRequest{});
    if (!pids_) status_ = send(StatusRequest{});
  } else {
    ask_again_ = kNever;
  }
}

std::uint64_t FleetFollower::send(RequestBody body) {
  ++sent_;
  link_.send({++last_id_, std::move(body)});
  return last_id_;
}

TimePoint FleetFollower::next_deadline() const {
  return std::min(ask_again_, heard_ + lease_);
}

}  // namespace moddev::supervisor
