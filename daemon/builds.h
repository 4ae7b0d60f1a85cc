// The build barriers that clients hold, by the names that the clients chose, over those of the watcher. Makes
// every request repeatable, and answers an end when what the build changed is decided. What is held back, and
// what a failed build leaves behind, is the watcher's matter.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "daemon/change_feed.h"
#include "daemon/transport.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::daemon {

class Builds {
 public:
  /// The feed must outlive it.
  explicit Builds(ChangeFeed& changes) : changes_(changes) {}

  struct Answer {
    Peer peer;
    Reply reply;
    /// Of the end of a build that succeeded: when it began.
    std::optional<TimePoint> since{};
  };

  /// Takes a request; its answer comes from this or a later take_answers().
  void take(const BuildRequest& request, const Peer& peer, std::uint64_t id, TimePoint now);
  /// Barriers that the watcher ended; `revision` is the catalog's that contains what they held.
  void ended(const std::vector<watcher::BuildEnd>& ends, std::uint64_t revision);
  /// The daemon was deaf: renewals may be waiting to be read.
  void was_deaf(TimePoint now);
  /// What can be answered now, without the keys of the daemon's state. `decided` is the newest revision that
  /// was committed, refused or found to be nothing new.
  [[nodiscard]] std::vector<Answer> take_answers(std::uint64_t decided, TimePoint now);
  /// When the next end has waited for too long.
  [[nodiscard]] TimePoint next_due() const;

 private:
  struct Build {
    std::uint64_t watched = 0;  // the watcher's number; 0: not held there any more
    bool unbroken = true;
    bool ending = false;
    bool succeeded = false;
    TimePoint since{};
    std::uint64_t files = 0;
    std::optional<std::uint64_t> wanted;  // the revision that has to be decided
  };
  struct Waiting {
    Peer peer;
    std::uint64_t id = 0;
    Uuid build;
    TimePoint since{};
  };
  void answer(const Peer& peer, std::uint64_t id, ReplyBody body);
  [[nodiscard]] std::size_t held() const;
  void hold(const Uuid& name, Build& build, TimePoint now);
  /// Keeps the memory of those that ended within its bound.
  void forget_oldest();

  ChangeFeed& changes_;
  std::map<Uuid, Build> builds_;
  std::deque<Uuid> ended_;  // those in `builds_` that are not held, the oldest first
  std::vector<Waiting> waiting_;
  std::vector<Answer> answers_;
};

}  // namespace moddev::daemon
