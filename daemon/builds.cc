#include "daemon/builds.h"

#include <algorithm>
#include <utility>

#include "daemon/limits.h"
#include "watcher/limits.h"

namespace moddev::daemon {
namespace {

BuildReply reply_for(const Uuid& build, bool unbroken, std::uint64_t files = 0) {
  BuildReply reply;
  reply.build = build;
  reply.lease_ms = std::chrono::milliseconds(watcher::limits::kBuildBarrierLimit).count();
  reply.unbroken = unbroken;
  reply.files = files;
  return reply;
}

}  // namespace

void Builds::answer(const Peer& peer, std::uint64_t id, ReplyBody body) {
  answers_.push_back({peer, {id, std::move(body)}});
}

std::size_t Builds::held() const {
  return builds_.size() - ended_.size();
}

void Builds::hold(const Uuid& name, Build& build, TimePoint now) {
  std::erase(ended_, name);
  build.watched = changes_.begin_build(now);
}

void Builds::take(const BuildRequest& request, const Peer& peer, std::uint64_t id, TimePoint now) {
  auto found = builds_.find(request.build);
  if (found == builds_.end()) {
    if (held() >= watcher::limits::kBuildBarriers) {
      return answer(peer, id,
                    ErrorReply{ErrorCode::kLimit,
                               std::to_string(watcher::limits::kBuildBarriers) +
                                   " builds (kBuildBarriers) are held already. End some of them.",
                               1000});
    }
    found = builds_.try_emplace(request.build).first;
    found->second.unbroken = request.action == BuildAction::kBegin;
    found->second.since = now;
    hold(found->first, found->second, now);
  }
  Build& build = found->second;
  if (request.action == BuildAction::kEnd) {
    if (waiting_.size() >= limits::kWaitingBuildEnds) {
      return answer(peer, id,
                    ErrorReply{ErrorCode::kLimit,
                               std::to_string(limits::kWaitingBuildEnds) +
                                   " ends of builds (kWaitingBuildEnds) are waited for already.",
                               1000});
    }
    if (!std::exchange(build.ending, true)) {
      if (build.watched == 0) hold(found->first, build, now);  // released meanwhile
      build.succeeded = request.success;
      changes_.end_build(build.watched, request.success);
    }
    waiting_.push_back({peer, id, request.build, now});
    return;
  }
  if (build.ending) {
    return answer(peer, id,
                  ErrorReply{ErrorCode::kConflict,
                             "The build " + request.build.to_string() + " has ended. Begin another one.", 0});
  }
  if (build.watched == 0) {
    hold(found->first, build, now);
  } else {
    changes_.renew_build(build.watched, now);
  }
  answer(peer, id, reply_for(request.build, build.unbroken));
}

void Builds::ended(const std::vector<watcher::BuildEnd>& ends, std::uint64_t revision) {
  for (const watcher::BuildEnd& end : ends) {
    const auto found = std::find_if(builds_.begin(), builds_.end(),
                                    [&](const auto& build) { return build.second.watched == end.id; });
    if (found == builds_.end()) continue;
    Build& build = found->second;
    build.watched = 0;
    if (end.released) build.unbroken = false;  // its owner may only have been stopped, and come back
    build.files = end.files;
    if (build.ending) build.wanted = revision;
    ended_.push_back(found->first);
  }
  forget_oldest();
}

void Builds::forget_oldest() {
  while (ended_.size() > limits::kEndedBuilds) {
    const Uuid& oldest = ended_.front();
    const bool awaited = std::any_of(waiting_.begin(), waiting_.end(),
                                     [&](const Waiting& one) { return one.build == oldest; });
    if (awaited) return;  // bounded by those that wait
    builds_.erase(oldest);
    ended_.pop_front();
  }
}

void Builds::was_deaf(TimePoint now) {
  for (const auto& [name, build] : builds_) {
    if (build.watched != 0 && !build.ending) changes_.renew_build(build.watched, now);
  }
}

std::vector<Builds::Answer> Builds::take_answers(std::uint64_t decided, TimePoint now) {
  std::erase_if(waiting_, [&](const Waiting& one) {
    const Build& build = builds_.at(one.build);
    if (build.wanted && decided >= *build.wanted) {
      answer(one.peer, one.id, reply_for(one.build, build.unbroken, build.files));
      if (build.succeeded) answers_.back().since = build.since;
      return true;
    }
    if (now - one.since < limits::kRefreshPatience) return false;
    const std::string why = build.wanted
                                ? "the executors have not decided yet, or the journal cannot be written"
                                : "files are still being written";
    answer(one.peer, one.id,
           ErrorReply{ErrorCode::kTimeout,
                      "What the build changed was not published in time: " + why +
                          ". Look at the output of `moddev watch`.",
                      0});
    return true;
  });
  return std::exchange(answers_, {});
}

TimePoint Builds::next_due() const {
  TimePoint next = kNever;
  for (const Waiting& one : waiting_) next = std::min<TimePoint>(next, one.since + limits::kRefreshPatience);
  return next;
}

}  // namespace moddev::daemon
