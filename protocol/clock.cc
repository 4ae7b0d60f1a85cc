#include "protocol/clock.h"

namespace moddev {

TimePoint SystemClock::now() {
  return TimePoint(std::chrono::steady_clock::now().time_since_epoch());
}

WallTime SystemClock::wall_now() {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
}

}  // namespace moddev
