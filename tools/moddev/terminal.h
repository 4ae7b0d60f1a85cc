// How things look in a terminal: colour only where there is one, clock times, durations and sizes as people
// say them, columns. Nothing here moves a cursor, so that output can be piped, logged and scrolled.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/clock.h"

namespace moddev::tools {

enum class Colour : std::uint8_t { kPlain, kGood, kBad, kNotice, kDim, kStrong };

/// Text with or without colours.
class Palette {
 public:
  explicit Palette(bool coloured) : coloured_(coloured) {}
  /// Colours when `descriptor` is a terminal, NO_COLOR is not set (no-color.org) and TERM is not "dumb".
  [[nodiscard]] static Palette for_descriptor(int descriptor);

  [[nodiscard]] std::string paint(Colour colour, std::string_view text) const;
  [[nodiscard]] bool coloured() const { return coloured_; }

 private:
  bool coloured_;
};

/// "12:31:07" in the time zone of the user.
[[nodiscard]] std::string clock_time(WallTime at);
/// "25 Nov 12:31:07" in the time zone of the user.
[[nodiscard]] std::string day_and_time(WallTime at);
/// "2026-11-25T12:31:07.123Z", for JSON.
[[nodiscard]] std::string utc_time(WallTime at);
/// "0.41 ms", "4.1 ms", "312 ms", "2.5 s", "3 min 20 s", "2 h 5 min", "3 d 4 h".
[[nodiscard]] std::string human_duration(Duration duration);
/// How long ago, in whole units of the largest: "now", "42 s ago", "3 min ago", "5 h ago", "2 d ago".
[[nodiscard]] std::string human_age(Duration age);
/// "812 B", "16.4 KB", "2.9 MB" (powers of 1000).
[[nodiscard]] std::string human_size(std::uint64_t bytes);
/// "1 executor", "12 executors".
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view noun);

/// Text from elsewhere (paths, loaders' messages) for one line of a terminal: no control characters, no line
/// breaks, valid UTF-8.
[[nodiscard]] std::string printable(std::string_view text);
/// The same with C++ symbols ("_ZN3foo3barEv") as they are written in the source ("foo::bar()").
[[nodiscard]] std::string demangled(std::string_view text);

/// A name in pieces, text and then a number by its value, which compare so that "worker-2" is before
/// "worker-10".
[[nodiscard]] std::vector<std::pair<std::string, std::uint64_t>> people_order(std::string_view name);

/// How many columns the text takes: its characters, counted as one each.
[[nodiscard]] std::size_t width_of(std::string_view text);
[[nodiscard]] std::string padded(std::string_view text, std::size_t width);

/// Rows with aligned columns, two spaces between them; the last column is not padded.
class Table {
 public:
  struct Cell {
    std::string text;
    Colour colour = Colour::kPlain;
  };
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Each row with `indent` before it and a line break after it.
  [[nodiscard]] std::string render(const Palette& palette, std::string_view indent) const;

 private:
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace moddev::tools
