// The rollbacks that clients ask for, one after another: which is due, which is under way, what each is
// answered. Makes every request repeatable. What a rollback comes to is rollback.h's, announcing it the
// daemon's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "daemon/rollback.h"
#include "daemon/transport.h"

namespace moddev::daemon {

class Rollbacks {
 public:
  struct Answer {
    Peer peer;
    Reply reply;
  };

  /// Takes a request; its answer comes from this or a later take_answers(). A repetition takes the place of
  /// the request that it repeats.
  void take(const RollbackRequest& request, const Peer& peer, std::uint64_t id, TimePoint now);

  /// The next epoch to record and announce, of the oldest request that comes to one; those before it are
  /// answered. To be called when nothing is under way and the directory's changes are decided. Must be
  /// followed by committed(), aborted() or failed().
  [[nodiscard]] std::optional<EpochRecord> next(const Journal& journal, const BlobStore& blobs,
                                                const ModuleSet& directory, WallTime now);
  [[nodiscard]] bool waiting() const { return !waiting_.empty(); }
  [[nodiscard]] bool under_way() const { return under_way_.has_value(); }

  void committed(const Journal& journal, const EpochRecord& record);
  void aborted(const std::vector<ExecutorFailure>& failures);
  /// It could not be recorded.
  void failed(const Error& error);

  /// What can be answered now. Requests that waited for longer than limits::kRefreshPatience are given up.
  [[nodiscard]] std::vector<Answer> take_answers(TimePoint now);
  [[nodiscard]] TimePoint next_due() const;

 private:
  struct Waiting {
    RollbackRequest request;
    Peer peer;
    std::uint64_t id = 0;
    TimePoint since{};
  };
  struct Ended {
    Uuid key;
    ReplyBody answer;
  };
  void finish(const Waiting& one, ReplyBody answer);

  std::deque<Waiting> waiting_;
  std::optional<Waiting> under_way_;
  std::deque<Ended> ended_;
  std::vector<Answer> answers_;
};

}  // namespace moddev::daemon
