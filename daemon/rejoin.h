// Who has to come back after a restart of the daemon before anything new is decided: those that ran what is
// committed, so that they are asked, and canaries are there to try it. Values in, values out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::daemon {

class Rejoin {
 public:
  /// `ran`: who applied what is committed, as the history tells. Several of one name on one host can be one
  /// executor that was started again and again: where some of them are `still_there` (null: nobody can be
  /// seen), the others are not expected. `host`: this machine.
  Rejoin(const std::vector<ExecutorIdentity>& ran,
         const std::function<bool(const ExecutorIdentity&)>& still_there, const std::string& host);

  /// From now on executors can join, and have so long. One of this machine that
  /// cannot be seen has probably ended, and if not (it may live in a container), it is back soon: it has
  /// limits::kRejoinHere.
  void begin(TimePoint now, Duration patience);
  /// It is back; or another of its name and host is there in its place.
  void joined(const ExecutorIdentity& executor);
  /// The daemon could not listen for so long.
  void was_deaf(Duration length);

  /// All are back, or the time is up.
  [[nodiscard]] bool over(TimePoint now) const { return expected_.empty() || (begun_ && now >= until()); }
  /// When it is over at the latest; kNever when nobody is missing.
  [[nodiscard]] TimePoint due() const { return expected_.empty() || !begun_ ? kNever : until(); }
  /// Who is missing, as long as it is not over.
  [[nodiscard]] std::vector<ExecutorIdentity> missing() const;
  /// "worker-1, worker-2 and 3 more": who is missing, which is forgotten. Empty: nobody.
  [[nodiscard]] std::string take_missing();

 private:
  struct Expected {
    ExecutorIdentity executor;
    bool seen = false;
    bool probably_ended = false;
  };
  [[nodiscard]] TimePoint until() const;
  std::vector<Expected> expected_;
  bool begun_ = false;
  TimePoint begin_{};
  Duration patience_{};
};

}  // namespace moddev::daemon
