// Many executors in one process, to see what they cost a daemon: each is the production session with sockets
// of its own (one ZeroMQ context for all) and a loader that only keeps the bytes. One thread steps them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "protocol/clock.h"

namespace moddev::bench {

class Crowd {
 public:
  /// Beyond what a ZeroMQ context has at most by default: the descriptors of this process are raised as
  /// needed.
  Crowd(std::string endpoint, std::size_t executors);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  /// Steps whoever has something to do until `enough` holds; false after `patience`.
  bool run(Duration patience, const std::function<bool()>& enough);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t connected() const;
  [[nodiscard]] std::size_t at_epoch(std::uint64_t epoch) const;
  /// When the n-th executor (from 0, in the order of time) came to its present epoch, or became a member the
  /// last time. CLOCK_MONOTONIC, ns; 0: not yet.
  [[nodiscard]] std::int64_t applied_ns(std::size_t n) const;
  [[nodiscard]] std::int64_t joined_ns(std::size_t n) const;

  /// What went over all sockets since the last call, with ZMTP's frame headers but without its handshakes and
  /// pings.
  struct Traffic {
    std::uint64_t requests = 0;
    std::uint64_t requests_bytes = 0;
    std::uint64_t replies_bytes = 0;
    std::uint64_t events_bytes = 0;
  };
  [[nodiscard]] Traffic take_traffic();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The same number of bare sockets, for what ZeroMQ alone needs. The other side is a RawDaemon.
class RawCrowd {
 public:
  RawCrowd(std::string endpoint, std::size_t sockets);
  ~RawCrowd();
  /// Subscribes all and waits until a publication has reached each.
  bool settle(Duration patience);
  /// One publication of `bytes` reaches all, each answers, and a second one reaches all, as an epoch does.
  /// When the last one had the first, and the second; ns since the publication.
  struct Round {
    std::int64_t first_ns = 0;
    std::int64_t second_ns = 0;
  };
  bool round(std::size_t bytes, Round& result);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The other side of RawCrowd, in a process of its own: main() hands over to it.
int be_a_raw_daemon(const std::string& endpoint, std::size_t sockets);

}  // namespace moddev::bench
