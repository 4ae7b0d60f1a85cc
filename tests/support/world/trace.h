// What happened in a simulated world, as one number and, when asked for, as lines to read. Equal seeds must
// give equal numbers: anything that differs between two runs (addresses, random UUIDs) must stay out.
#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdio>

#include "protocol/clock.h"

namespace moddev::sim {

class Trace {
 public:
  explicit Trace(bool print) : print_(print) {}

  void set_now(TimePoint now) { now_ = now; }
  /// `what` is a literal; who and value are numbers whose meaning it tells.
  void operator()(const char* what, std::uint64_t who = 0, std::uint64_t value = 0) {
    for (const char* c = what; *c != '\0'; ++c) mix(static_cast<unsigned char>(*c));
    mix(who);
    mix(value);
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    if (print_) {
      std::printf("%12.6f  %-26s %3" PRIu64 "  %" PRIu64 "\n", to_ms(now_.time_since_epoch()) / 1e3, what,
                  who, value);
    }
  }
  [[nodiscard]] std::uint64_t digest() const { return digest_; }
  [[nodiscard]] bool prints() const { return print_; }

 private:
  /// FNV-1a over 64-bit words: enough to tell two histories apart.
  void mix(std::uint64_t value) { digest_ = (digest_ ^ value) * 0x100000001B3ULL; }

  bool print_;
  TimePoint now_{};
  std::uint64_t digest_ = 0xCBF29CE484222325ULL;
};

}  // namespace moddev::sim
