#include "daemon/rollbacks.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "daemon/history.h"
#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

std::string reasons(const std::vector<ExecutorFailure>& failures) {
  std::string text;
  for (std::size_t i = 0; i < std::min(failures.size(), limits::kCandidatesShown); ++i) {
    const ExecutorFailure& failure = failures[i];
    text += " " + failure.executor + ": " + (failure.module.empty() ? "" : failure.module + ": ") +
            failure.error + ";";
  }
  if (!text.empty()) text.back() = '.';
  return text;
}

}  // namespace

void Rollbacks::take(const RollbackRequest& request, const Peer& peer, std::uint64_t id, TimePoint now) {
  for (const Ended& ended : ended_) {
    if (ended.key != request.key) continue;
    answers_.push_back({peer, {id, ended.answer}});
    return;
  }
  const auto repeats = [&](const Waiting& one) { return one.request.key == request.key; };
  if (under_way_ && repeats(*under_way_)) {
    under_way_->peer = peer;
    under_way_->id = id;
    return;
  }
  if (const auto same = std::find_if(waiting_.begin(), waiting_.end(), repeats); same != waiting_.end()) {
    same->peer = peer;
    same->id = id;
    return;
  }
  if (waiting_.size() >= limits::kWaitingRollbacks) {
    answers_.push_back({peer,
                        {id, ErrorReply{ErrorCode::kLimit,
                                        std::to_string(limits::kWaitingRollbacks) +
                                            " rollbacks (kWaitingRollbacks) are waiting already.",
                                        1000}}});
    return;
  }
  waiting_.push_back({request, peer, id, now});
}

std::optional<EpochRecord> Rollbacks::next(const Journal& journal, const BlobStore& blobs,
                                           const ModuleSet& directory, WallTime now) {
  while (!waiting_.empty()) {
    Waiting one = std::move(waiting_.front());
    waiting_.pop_front();
    auto record = roll_back(journal, directory, one.request, now);
    if (record) {
      if (Status there = bytes_are_there(*record, blobs); !there) record = there.error();
    }
    if (!record) {
      finish(one, ErrorReply{record.error().code, record.error().message, 0});
      continue;
    }
    under_way_ = std::move(one);
    return std::move(*record);
  }
  return std::nullopt;
}

void Rollbacks::committed(const Journal& journal, const EpochRecord& record) {
  if (!under_way_) return;
  RollbackReply reply;
  reply.daemon = journal.id();
  reply.epoch = record.epoch;
  reply.cause = record.cause;
  reply.changes = record.changes;
  reply.holds = report_holds(journal.holds());
  finish(*under_way_, std::move(reply));
  under_way_.reset();
}

void Rollbacks::aborted(const std::vector<ExecutorFailure>& failures) {
  if (!under_way_) return;
  finish(*under_way_,
         ErrorReply{ErrorCode::kRefused,
                    "The executors cannot go back to it, so everyone keeps what is live." + reasons(failures),
                    0});
  under_way_.reset();
}

void Rollbacks::failed(const Error& error) {
  if (!under_way_) return;
  finish(
      *under_way_,
      ErrorReply{error.code, "Nothing was rolled back, because it cannot be recorded: " + error.message, 0});
  under_way_.reset();
}

void Rollbacks::finish(const Waiting& one, ReplyBody answer) {
  if (ended_.size() >= limits::kEndedRollbacks) ended_.pop_front();
  ended_.push_back({one.request.key, answer});
  answers_.push_back({one.peer, {one.id, std::move(answer)}});
}

std::vector<Rollbacks::Answer> Rollbacks::take_answers(TimePoint now) {
  while (!waiting_.empty() && now - waiting_.front().since >= limits::kRefreshPatience) {
    // Not remembered: asked again, it is tried again.
    answers_.push_back(
        {waiting_.front().peer,
         {waiting_.front().id,
          ErrorReply{ErrorCode::kTimeout,
                     "Nothing was rolled back: changes on disk are not decided yet, because the executors "
                     "take their time, files are still being written, or the journal cannot be written. "
                     "Look at the output of `moddev watch`.",
                     0}}});
    waiting_.pop_front();
  }
  return std::exchange(answers_, {});
}

TimePoint Rollbacks::next_due() const {
  return waiting_.empty() ? kNever : TimePoint(waiting_.front().since + limits::kRefreshPatience);
}

}  // namespace moddev::daemon
