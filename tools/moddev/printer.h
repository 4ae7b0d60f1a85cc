// Lines to standard output from a thread of its own: a terminal that is stopped (Ctrl-S), or a pipe that
// nobody reads, must not hold up a fleet. Lines that wait are bounded; what is dropped is counted and said.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace moddev::tools {

/// Lines that wait to be written. The oldest are dropped beyond.
inline constexpr std::size_t kWaitingLines = 10'000;
/// How long the end of the program waits for a reader of its output.
inline constexpr auto kLastLinesPatience = std::chrono::milliseconds(500);

class LinePrinter {
 public:
  /// `write` gets whole lines, several at once, and may block; it returns false when nobody can read any
  /// more. `dropped` makes the line that tells how many are missing, or an empty one.
  LinePrinter(std::function<bool(const std::string&)> write,
              std::function<std::string(std::uint64_t)> dropped);
  /// Writes what waits, but does not wait for a reader longer than kLastLinesPatience.
  ~LinePrinter();
  LinePrinter(const LinePrinter&) = delete;
  LinePrinter& operator=(const LinePrinter&) = delete;

  /// `line` without the line break. Never blocks.
  void print(std::string line);

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> lines;
    std::uint64_t dropped = 0;
    bool ending = false;
    bool ended = false;
  };
  static void run(const std::shared_ptr<Shared>& shared, const std::function<bool(const std::string&)>& write,
                  const std::function<std::string(std::uint64_t)>& dropped);

  std::shared_ptr<Shared> shared_;  // outlives us when the thread is stuck in a write
  std::thread thread_;
};

/// write(2) of all of `text` to `descriptor`; false when that is not possible any more.
bool write_all(int descriptor, std::string_view text);

}  // namespace moddev::tools
