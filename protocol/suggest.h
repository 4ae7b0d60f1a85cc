// "Did you mean ...?" for flags, commands and keys. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace moddev {

/// How many letters must be added, dropped, changed or swapped with their neighbour to turn one word into the
/// other (the restricted Damerau-Levenshtein distance).
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest of `known`, or nothing when none is near enough to be a slip of the hand.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

/// ", did you mean 'NEAREST'?" or nothing.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace moddev
