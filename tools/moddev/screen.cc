#include "tools/moddev/screen.h"

#include <algorithm>
#include <numeric>

namespace moddev::tools {
namespace {

constexpr const char* kPlainAgain = "\033[0m";
constexpr const char* kCut = "\u2026";  // one column

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// How many lines each part gets of `left`: the short ones all that they want, the long ones equal shares.
std::vector<std::size_t> shares(const std::vector<std::size_t>& wanted, std::size_t left) {
  std::vector<std::size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<std::size_t> result(wanted.size());
  std::size_t parts = wanted.size();
  for (const std::size_t part : order) {
    result[part] = std::min(wanted[part], left / parts--);
    left -= result[part];
  }
  return result;
}

}  // namespace

std::string cut_to_width(std::string_view line, std::size_t columns) {
  std::string result;  // with all of the line until it is known to be too long
  std::string cut;     // what is said then
  std::size_t used = 0;
  bool coloured = false;
  for (std::size_t i = 0; i < line.size();) {
    std::size_t end = i + 1;
    if (line[i] == '\033') {  // ECMA-48: SGR
      end = std::min(line.find('m', i), line.size() - 1) + 1;
      coloured = line.substr(i, end - i) != kPlainAgain;
    } else {
      while (end < line.size() && (line[end] & 0xC0) == 0x80) ++end;
      if (used == columns) return cut;
      if (++used == columns) cut = result + kCut + (coloured ? kPlainAgain : "");
    }
    result += line.substr(i, end - i);
    i = end;
  }
  return result;
}

std::string fit(std::string_view head, const std::vector<std::string>& parts, std::string_view more,
                ScreenSize size) {
  std::size_t left = std::max<std::size_t>(size.rows, 2) - 1;
  std::string text;
  const auto add = [&](std::string_view line) { text += cut_to_width(line, size.columns) + "\n"; };
  for (const std::string_view line : lines_of(head)) {
    if (left == 0) return text;
    add(line);
    --left;
  }
  std::vector<std::vector<std::string_view>> bodies;
  std::vector<std::size_t> wanted;
  for (const std::string& part : parts) {
    bodies.push_back(lines_of(part));
    wanted.push_back(bodies.back().size());
  }
  const std::vector<std::size_t> granted = shares(wanted, left);
  for (std::size_t part = 0; part < bodies.size(); ++part) {
    const std::size_t shown =
        granted[part] == wanted[part] ? wanted[part] : std::max<std::size_t>(granted[part], 1) - 1;
    for (std::size_t i = 0; i < shown; ++i) add(bodies[part][i]);
    if (shown < wanted[part] && granted[part] > 0)
      add("  and " + std::to_string(wanted[part] - shown) + " more" + std::string(more));
  }
  return text;
}

}  // namespace moddev::tools
