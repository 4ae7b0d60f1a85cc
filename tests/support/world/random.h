// The one source of chance of a simulated world: the same seed gives the same numbers on every machine
// (std::uniform_int_distribution does not promise that).
#pragma once

#include <cstdint>

#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  /// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  /// 0 .. bound-1.
  std::uint64_t below(std::uint64_t bound) {
    MODDEV_ASSERT(bound > 0, "nothing is below zero");
    return next() % bound;
  }
  bool chance(double probability) { return static_cast<double>(next() >> 11) * 0x1.0p-53 < probability; }
  Duration between(Duration least, Duration most) {
    return least +
           Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }
  /// A stream of its own, so that one part's appetite does not change another's luck.
  Random fork() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace moddev::sim
