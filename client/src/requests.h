// The requests of a session that wait for an answer: which, since when, and when each is repeated. An answer
// counts whichever of the repetitions it is to: where the way there and back takes longer than the patience,
// the newest is never the one that is answered. Time and chance are passed in; what an answer means is not
// known here.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <vector>

#include "protocol/clock.h"
#include "protocol/link.h"
#include "protocol/messages.h"

namespace moddev::client {

/// `base` shortened by a random part of up to half: spreads a crowd that lost its daemon at one moment.
[[nodiscard]] Duration with_jitter(Duration base, std::minstd_rand& random);

class RequestBook {
 public:
  RequestBook(Link& link, std::minstd_rand& random) : link_(link), random_(random) {}

  /// For requests that somebody else keeps account of (pieces of blobs).
  [[nodiscard]] std::uint64_t next_id() { return ++last_id_; }

  /// Sends now and again, each time under a new id, until it is answered. An open request of the same type is
  /// given up; of acks, the one for the same epoch.
  void ask(RequestBody body, TimePoint now);
  /// The same, but sent once: who asks repeats it in his own rhythm. Those of the same type that were sent
  /// before may still be answered.
  void ask_once(RequestBody body, TimePoint now);

  struct Answered {
    RequestBody body;
    TimePoint sent{};  // the message that was answered
  };
  /// The request that this reply answers, no longer open; of one that was sent once, what was sent later
  /// still is. Nothing for an abandoned one.
  [[nodiscard]] std::optional<Answered> answered(std::uint64_t id);
  /// The daemon is busy: asks again, but only after `delay`.
  void ask_later(RequestBody body, Duration delay, TimePoint now);
  template <typename Body>
  [[nodiscard]] bool is_open() const {
    for (const Open& open : open_) {
      if (std::holds_alternative<Body>(open.body)) return true;
    }
    return false;
  }
  template <typename Body>
  void give_up() {
    std::erase_if(open_, [](const Open& open) { return std::holds_alternative<Body>(open.body); });
  }
  void clear() { open_.clear(); }
  [[nodiscard]] std::size_t size() const { return open_.size(); }

  /// Repeats what is due.
  void step(TimePoint now);
  [[nodiscard]] TimePoint next_due() const;

  /// Counts every message sent, also those of others who call it after Link::send().
  void count_sent() { ++sent_; }
  [[nodiscard]] std::uint64_t sent() const { return sent_; }

 private:
  struct Attempt {
    std::uint64_t id = 0;
    TimePoint sent{};
  };
  struct Open {
    std::deque<Attempt> attempts;  // oldest first
    RequestBody body;
    TimePoint due = kNever;  // kNever: sent once
    Duration patience{};
  };
  void replace_open(Open open);
  void send(Open& open, TimePoint now);

  Link& link_;
  std::minstd_rand& random_;
  std::uint64_t last_id_ = 0;
  std::uint64_t sent_ = 0;
  std::vector<Open> open_;
};

}  // namespace moddev::client
