// Counting the runs of modules: how many have ended, how long they took. Counted by every thread that drops a
// pin, without a lock; added up now and then by the session. It knows neither views nor messages.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "protocol/clock.h"

namespace moddev {

/// What one or several counters say.
struct RunTotals {
  std::uint64_t runs = 0;
  std::uint64_t total_ns = 0;
  std::uint64_t longest_ns = 0;
  /// When the last one ended; the beginning of time when none has.
  TimePoint last{};
  void add(const RunTotals& other);
  friend bool operator==(const RunTotals&, const RunTotals&) = default;
};

/// The runs of one module in one view.
class RunCounter {
 public:
  /// One has ended at `at`. Any thread; those with different shards do not disturb each other.
  void ended(std::size_t shard, Duration took, TimePoint at) noexcept;
  /// Any thread. While runs end, each number may be of another moment; later ones are never smaller.
  [[nodiscard]] RunTotals totals() const;

 private:
  static constexpr std::size_t kShards = 8;
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> runs{0};
    std::atomic<std::uint64_t> total_ns{0};
    std::atomic<std::uint64_t> longest_ns{0};
    std::atomic<std::int64_t> last_ns{0};
  };
  Shard shards_[kShards];
};

/// The runs that have begun under one pin, each module's once. For one thread at a time, as a pin is.
class alignas(64) OpenRuns {
 public:
  /// Does nothing when this counter's run has begun already. Looks at the clock otherwise.
  void begin(RunCounter& counter) noexcept;
  /// Ends all. Looks at the clock once.
  void end(std::size_t shard) noexcept;

 private:
  struct Run {
    RunCounter* counter = nullptr;
    TimePoint since{};
  };
  /// Modules that one pin hands out things of before this needs memory: two cache lines.
  static constexpr std::size_t kFirst = 7;
  std::uint64_t count_ = 0;
  std::unique_ptr<std::unordered_map<RunCounter*, TimePoint>> more_;
  Run first_[kFirst];
};

}  // namespace moddev
