// Where processes of a benchmark write when they had the new code: a page of shared memory. The last one to
// arrive wakes the driver; nobody spins, since the processes outnumber the processors.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace moddev::bench {

inline constexpr std::size_t kSlots = 256;

inline std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

struct Board {
  std::atomic<std::uint32_t> arrived;
  std::atomic<std::uint32_t> expected;
  std::atomic<std::int64_t> round;
  std::atomic<std::int64_t> at_ns[kSlots];

  /// Of the file at `path`, made when it is not there; null when that fails.
  static Board* open(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(Board)) != 0) return nullptr;
    void* memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<Board*>(memory);
  }

  void begin(std::int64_t number, std::uint32_t processes) {
    for (std::size_t i = 0; i < processes; ++i) at_ns[i] = 0;
    expected = processes;
    arrived = 0;
    round = number;
  }

  /// The process of `slot` has what belongs to `number`.
  void report(std::size_t slot, std::int64_t number) {
    const std::int64_t now = monotonic_ns();
    if (number != round || at_ns[slot] != 0) return;
    at_ns[slot] = now;
    if (arrived.fetch_add(1) + 1 == expected)
      ::syscall(SYS_futex, &arrived, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  /// Waits until all have reported; false after `patience_ms`.
  bool wait(std::int64_t patience_ms) {
    const std::int64_t end = monotonic_ns() + patience_ms * 1'000'000;
    for (;;) {
      const std::uint32_t now = arrived;
      if (now >= expected) return true;
      const std::int64_t left = end - monotonic_ns();
      if (left <= 0) return false;
      timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
      ::syscall(SYS_futex, &arrived, FUTEX_WAIT, now, &timeout, nullptr, 0);
    }
  }

  [[nodiscard]] std::int64_t first_ns() const { return pick(true); }
  [[nodiscard]] std::int64_t last_ns() const { return pick(false); }

 private:
  [[nodiscard]] std::int64_t pick(bool first) const {
    std::int64_t best = at_ns[0];
    for (std::size_t i = 1; i < expected; ++i) {
      const std::int64_t at = at_ns[i];
      if (first ? at < best : at > best) best = at;
    }
    return best;
  }
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

}  // namespace moddev::bench
