#include "tools/moddev/backtrace_line.h"

#include <algorithm>
#include <charconv>

namespace moddev::tools {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";

std::string_view hex_at(std::string_view text, std::size_t at) {
  const std::size_t end = std::min(text.find_first_not_of(kHexDigits, at), text.size());
  return text.substr(at, end - at);
}

/// From the last blank before `end` to `end`.
std::string_view word_before(std::string_view line, std::size_t end) {
  const std::size_t blank = line.substr(0, end).find_last_of(" \t");
  const std::size_t begin = blank == std::string_view::npos ? 0 : blank + 1;
  return line.substr(begin, end - begin);
}

std::string build_id_in(std::string_view line) {
  constexpr std::string_view kMark = "BuildId: ";
  const std::size_t at = line.find(kMark);
  return at == std::string_view::npos ? "" : std::string(hex_at(line, at + kMark.size()));
}

}  // namespace

std::optional<std::uint64_t> read_address(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<PlaceInFile> read_backtrace_line(std::string_view line) {
  if (line.size() > kMostLineBytes) return std::nullopt;
  for (std::size_t plus = line.find("+0x"); plus != std::string_view::npos;
       plus = line.find("+0x", plus + 1)) {
    const auto offset = read_address(hex_at(line, plus + 3));
    if (!offset) continue;
    PlaceInFile place;
    place.offset = *offset;
    place.build_id = build_id_in(line);
    const std::size_t bracket = line.substr(0, plus).rfind('(');
    if (bracket != std::string_view::npos) {
      const std::string_view inside = line.substr(bracket + 1, plus - bracket - 1);
      const std::string_view path = word_before(line, bracket);
      if (inside.find_first_of("/ ") == std::string_view::npos && path.find('/') != std::string_view::npos) {
        place.path = path;
        place.symbol = inside;
        place.is_return_address = true;
        return place;
      }
      if (inside.starts_with('/')) {
        place.path = inside;
        return place;
      }
    }
    const std::string_view path = word_before(line, plus);
    if (!path.starts_with('/')) continue;
    place.path = path;
    return place;
  }
  return std::nullopt;
}

}  // namespace moddev::tools
