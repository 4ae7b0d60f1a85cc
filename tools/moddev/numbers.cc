#include "tools/moddev/numbers.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <string>

namespace moddev::tools {

namespace {

/// "0.001", "86400".
std::string short_text(double number) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.10g", number);
  return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace

CLI::Validator seconds(double least, double most) {
  return CLI::Validator(
      [least, most](std::string& text) -> std::string {
        double number = 0;
        const char* end = text.data() + text.size();
        const auto [stopped, problem] = std::from_chars(text.data(), end, number);
        // What is no number at all ("nan") is in no range either.
        if (stopped == end && problem == std::errc{} && number >= least && number <= most) return {};
        return "'" + text + "' is no number of seconds from " + short_text(least) + " to " + short_text(most);
      },
      "");
}

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return CLI::Validator(
      [least, most](std::string& text) -> std::string {
        std::uint64_t number = 0;
        const char* end = text.data() + text.size();
        const auto [stopped, problem] = std::from_chars(text.data(), end, number);
        const bool digits =
            stopped == end && (problem == std::errc{} || problem == std::errc::result_out_of_range);
        if (!digits) return "'" + text + "' is no whole number from " + std::to_string(least) + " on";
        if (problem != std::errc{} || number > most)
          return "'" + text + "' is too large: the largest is " + std::to_string(most);
        if (number < least) return "'" + text + "' is too small: the smallest is " + std::to_string(least);
        text = std::to_string(number);
        return {};
      },
      "");
}

}  // namespace moddev::tools
