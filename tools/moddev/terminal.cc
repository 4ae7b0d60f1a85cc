#include "tools/moddev/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <memory>
#include <system_error>

#include "protocol/text.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kLineBytes = 4096;
constexpr const char* kDigits = "0123456789";

std::string_view code_of(Colour colour) {
  switch (colour) {
    case Colour::kGood:
      return "\033[32m";
    case Colour::kBad:
      return "\033[31m";
    case Colour::kNotice:
      return "\033[33m";
    case Colour::kDim:
      return "\033[2m";
    case Colour::kStrong:
      return "\033[1m";
    case Colour::kPlain:
      break;
  }
  return "";
}

template <typename... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), format, values...);
  return {text.data(), static_cast<std::size_t>(std::clamp(length, 0, static_cast<int>(text.size()) - 1))};
}

std::string two_units(std::int64_t large, const char* large_unit, std::int64_t small,
                      const char* small_unit) {
  std::string text = std::to_string(large) + " " + large_unit;
  if (small > 0) text += " " + std::to_string(small) + " " + small_unit;
  return text;
}

}  // namespace

Palette Palette::for_descriptor(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool refused = no_color != nullptr && *no_color != '\0';
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return Palette(!refused && !dumb && ::isatty(descriptor) == 1);
}

std::string Palette::paint(Colour colour, std::string_view text) const {
  if (!coloured_ || colour == Colour::kPlain || text.empty()) return std::string(text);
  return std::string(code_of(colour)) + std::string(text) + "\033[0m";
}

std::string clock_time(WallTime at) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return formatted("%02d:%02d:%02d", local.tm_hour, local.tm_min, local.tm_sec);
}

std::string day_and_time(WallTime at) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  std::tm local{};
  ::localtime_r(&seconds, &local);
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return formatted("%2d ", local.tm_mday) + kMonths[static_cast<std::size_t>(local.tm_mon)] +
         formatted(" %d ", local.tm_year + 1900) + clock_time(at);
}

std::string utc_time(WallTime at) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(at);
  const std::time_t seconds = whole.time_since_epoch().count();
  const long milliseconds = std::chrono::floor<std::chrono::milliseconds>(at - whole).count();
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return formatted("%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                   utc.tm_hour, utc.tm_min, utc.tm_sec, milliseconds);
}

std::string human_duration(Duration duration) {
  const double ms = std::max(0.0, to_ms(duration));
  if (ms < 0.995) return formatted("%.2f ms", ms);
  if (ms < 9.95) return formatted("%.1f ms", ms);
  if (ms < 999.5) return formatted("%.0f ms", ms);
  if (ms < 59'950) return formatted("%.1f s", ms / 1000);
  const auto seconds = static_cast<std::int64_t>(ms / 1000 + 0.5);
  if (seconds < 3600) return two_units(seconds / 60, "min", seconds % 60, "s");
  const std::int64_t minutes = seconds / 60;
  if (minutes < 24 * 60) return two_units(minutes / 60, "h", minutes % 60, "min");
  const std::int64_t hours = minutes / 60;
  return two_units(hours / 24, "d", hours % 24, "h");
}

std::string human_age(Duration age) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(age).count();
  if (seconds < 1) return "now";
  if (seconds < 60) return std::to_string(seconds) + " s ago";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min ago";
  if (seconds < 2 * 86400) return std::to_string(seconds / 3600) + " h ago";
  return std::to_string(seconds / 86400) + " d ago";
}

std::string human_size(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  constexpr std::array kUnits = {"KB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return formatted("%.1f ", value) + kUnits[unit];
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string printable(std::string_view text) {
  std::string clean = clean_text(text, kLineBytes);
  for (char& c : clean) {
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = '?';
  }
  while (!clean.empty() && clean.back() == ' ') clean.pop_back();
  return clean;
}

std::string demangled(std::string_view text) {
  std::string result;
  std::size_t i = 0;
  const auto part_of_name = [&](std::size_t at) {
    return at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) != 0 || text[at] == '_');
  };
  while (i < text.size()) {
    const bool starts = text.substr(i).starts_with("_Z") && (i == 0 || !part_of_name(i - 1));
    if (!starts) {
      result += text[i++];
      continue;
    }
    std::size_t end = i;
    while (part_of_name(end)) ++end;
    const std::string symbol(text.substr(i, end - i));
    const std::string name = demangle(symbol);
    const std::string& plain = name.empty() ? symbol : name;
    result += plain;
    // Executors put the plain name behind the symbol: once is enough for a person.
    const std::string told = " (" + plain + ")";
    i = text.substr(end).starts_with(told) ? end + told.size() : end;
  }
  return printable(result);
}

std::vector<std::pair<std::string, std::uint64_t>> people_order(std::string_view name) {
  std::vector<std::pair<std::string, std::uint64_t>> pieces;
  std::size_t at = 0;
  while (at < name.size()) {
    const std::size_t digits = std::min(name.find_first_of(kDigits, at), name.size());
    const std::size_t end = std::min(name.find_first_not_of(kDigits, digits), name.size());
    std::uint64_t number = 0;
    if (std::from_chars(name.data() + digits, name.data() + end, number).ec == std::errc::result_out_of_range)
      number = std::numeric_limits<std::uint64_t>::max();
    pieces.emplace_back(name.substr(at, digits - at), number);
    at = end;
  }
  return pieces;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string_view text, std::size_t width) {
  std::string result(text);
  const std::size_t has = width_of(text);
  if (has < width) result.append(width - has, ' ');
  return result;
}

std::string Table::render(const Palette& palette, std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i].text));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line(indent);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      line += palette.paint(row[i].colour, last ? row[i].text : padded(row[i].text, widths[i]));
      if (!last) line += "  ";
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

}  // namespace moddev::tools
