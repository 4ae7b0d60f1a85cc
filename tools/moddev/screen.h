// Text for a terminal of a certain size, that is drawn again and again in one place: what does not fit would
// scroll, and the next picture would begin in the middle of this one. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moddev::tools {

struct ScreenSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

/// A line without its break; of one that is too long as much as there is room for, and an ellipsis. Escape
/// sequences for colours take no room, and colours end with the line.
[[nodiscard]] std::string cut_to_width(std::string_view line, std::size_t columns);

/// `head` and then `parts`, lines with their breaks, in a line less than the screen has, where the cursor
/// goes. Parts that are too long share what the head leaves: none is cut below its share for another's sake,
/// and a line says how many are missing, and `more` where to find them.
[[nodiscard]] std::string fit(std::string_view head, const std::vector<std::string>& parts,
                              std::string_view more, ScreenSize size);

}  // namespace moddev::tools
