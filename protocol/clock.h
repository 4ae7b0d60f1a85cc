// The Clock seam. Cores never read a clock: step(now) receives the time. Only event loops, socket files and
// programs hold a Clock. Inside, times are these chrono types; on wire and in JSON they are integers with a
// unit suffix.
#pragma once

#include <chrono>
#include <cstdint>

namespace moddev {

using Duration = std::chrono::nanoseconds;

/// Names the time line of CLOCK_MONOTONIC; has no now() on purpose.
struct MonotonicTimeline {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  static constexpr bool is_steady = true;
};
using TimePoint = std::chrono::time_point<MonotonicTimeline, Duration>;
/// Nanoseconds since the Unix epoch; for people and for records, never for decisions.
using WallTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

/// The deadline of a state machine that waits for events only.
inline constexpr TimePoint kNever = TimePoint::max();

class Clock {
 public:
  virtual ~Clock() = default;
  /// CLOCK_MONOTONIC: never goes back, not comparable across machines.
  [[nodiscard]] virtual TimePoint now() = 0;
  [[nodiscard]] virtual WallTime wall_now() = 0;
};

/// The clocks of the kernel.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() override;
  [[nodiscard]] WallTime wall_now() override;
};

[[nodiscard]] constexpr std::int64_t to_us(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}
[[nodiscard]] constexpr double to_ms(Duration d) {
  return static_cast<double>(d.count()) / 1e6;
}

}  // namespace moddev
