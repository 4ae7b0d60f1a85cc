// Who is a member, what each runs, and the two-phase switch of all to one epoch. A pure state machine over
// values: it gets joins, acks and time, and returns what is to be sent and recorded; it knows neither sockets
// nor the journal.
//
//   begin(E) -> announce -> every member prepared -> kCommit (record, then publish) -> applied acks ->
//   finished
//                        -> one failed            -> kAbort  (record, then publish) -> finished
//                        -> deadline              -> those silent are excluded, and the rest decides
// A member that is excluded is fenced: it counts again only after it has joined anew.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::daemon {

struct FleetOptions {
  /// How long members may take to prepare before they are excluded.
  Duration prepare_deadline = std::chrono::seconds(30);
  Duration lease = std::chrono::seconds(3);
  /// First repetition of an announcement or commit for those who did not ack; doubles each time up to the
  /// heartbeat.
  Duration repeat_after = std::chrono::milliseconds(100);
};

/// What the fleet wants done, in order.
struct FleetAction {
  enum class Kind : std::uint8_t {
    kRepeatAnnounce,  // publish the pending announcement again, without inline bytes and with its old seq
    kCommit,          // every member is prepared: record, then publish, then call committed()
    kRepeatCommit,    // publish the commit again
    kAbort,           // somebody refused, or nobody is left: record, then publish
    kSettled,         // every member has applied the committed epoch or is excluded: tell the person
    kExcluded,        // `executor` did not answer in time or its lease ran out
    kJoined,
    kLeft,
  };
  Kind kind = Kind::kSettled;
  Epoch epoch = 0;
  std::vector<ExecutorFailure> failures;     // kAbort
  std::optional<ExecutorIdentity> executor;  // kExcluded, kJoined, kLeft
  std::uint64_t applied = 0;                 // kSettled
  std::uint64_t excluded = 0;                // kSettled
  Duration elapsed{};                        // kSettled: since begin()'s `since`
  std::string reason;                        // kExcluded
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);

  /// Starts the switch to `epoch`. Must not be busy(). `since`: when the change was noticed on disk. With no
  /// live members it commits at the next step().
  void begin(Epoch epoch, TimePoint since, TimePoint now);
  /// Between begin() and the commit or abort.
  [[nodiscard]] bool deciding() const;
  /// Between begin() and kSettled or kAbort.
  [[nodiscard]] bool busy() const;

  /// `committed` is the newest committed epoch. A joiner does not vote in a switch under way.
  void join(const JoinRequest& request, Epoch committed, TimePoint now);
  void ack(const AckRequest& ack, TimePoint now);
  /// Returns whether it is a member.
  bool alive(const AliveRequest& request, TimePoint now);
  void leave(const Uuid& executor, TimePoint now);

  /// Does what is due, appends to `actions`, returns the next deadline.
  TimePoint step(TimePoint now, std::vector<FleetAction>& actions);

  /// Live members.
  [[nodiscard]] std::size_t members() const;
  [[nodiscard]] std::vector<ExecutorStatus> status(Epoch committed, TimePoint now) const;

 private:
  struct Member;
  FleetOptions options_;
  std::map<Uuid, Member> members_;
};

}  // namespace moddev::daemon
