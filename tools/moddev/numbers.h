// Numbers on the command line: what is none, or does not fit, is an error and never another number.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>

namespace moddev::tools {

/// For Option::transform(): decimal digits from `least` to `most`. CLI11 itself takes -1 for the largest
/// number, what is too large for the largest, and 010 for eight.
[[nodiscard]] CLI::Validator whole_number(std::uint64_t least,
                                          std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// For Option::transform(): a decimal number, as "0.5" or "1e3", within these.
[[nodiscard]] CLI::Validator seconds(double least, double most);

}  // namespace moddev::tools
