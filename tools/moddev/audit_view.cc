#include "tools/moddev/audit_view.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>

#include "daemon/access.h"
#include "tools/moddev/json_values.h"

namespace moddev::tools {
namespace {

using daemon::AuditAct;
using daemon::AuditEntry;

Colour colour_of(AuditAct act) {
  if (act == AuditAct::kRefused || act == AuditAct::kFailed) return Colour::kBad;
  if (act == AuditAct::kAsked) return Colour::kNotice;
  return act == AuditAct::kApplied ? Colour::kGood : Colour::kPlain;
}

std::string who_text(const AuditEntry& entry) {
  return printable(entry.who) + (entry.address.empty() ? "" : " (" + printable(entry.address) + ")");
}

std::string what_text(const AuditEntry& entry) {
  std::string text = printable(entry.what);
  if (!entry.executor.empty()) text = printable(entry.executor) + (text.empty() ? "" : ": ") + text;
  if (entry.count > 1) {
    text += (text.empty() ? "" : "  ") + std::string("(") + std::to_string(entry.count) + " times since " +
            clock_time(entry.first_at) + ")";
  }
  return text;
}

std::optional<std::int64_t> seconds_in(char unit) {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3'600;
    case 'd':
      return 86'400;
    default:
      return std::nullopt;
  }
}

/// A number of at most nine digits and one of the units, so that nothing overflows.
std::optional<Duration> parse_span(std::string_view text) {
  constexpr std::size_t kMostDigits = 6;
  if (text.size() < 2 || text.size() > kMostDigits + 1) return std::nullopt;
  const auto unit = seconds_in(text.back());
  std::int64_t count = 0;
  const char* last = text.data() + text.size() - 1;
  const auto parsed = std::from_chars(text.data(), last, count);
  if (!unit || parsed.ec != std::errc() || parsed.ptr != last || count < 0) return std::nullopt;
  return std::chrono::seconds(count * *unit);
}

std::optional<WallTime> parse_date(std::string text) {
  const bool utc = text.ends_with('Z');
  if (utc) text.pop_back();
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"}) {
    std::tm parts{};
    const char* end = ::strptime(text.c_str(), format, &parts);
    if (end == nullptr || *end != '\0') continue;
    parts.tm_isdst = -1;
    const std::time_t seconds = utc ? ::timegm(&parts) : std::mktime(&parts);
    constexpr auto kMost =
        std::chrono::duration_cast<std::chrono::seconds>(WallTime::max().time_since_epoch());
    return WallTime(std::clamp(std::chrono::seconds(seconds), -kMost, kMost));
  }
  return std::nullopt;
}

}  // namespace

std::string audit_text(const std::vector<AuditEntry>& entries, const Palette& palette) {
  Table table;
  for (const AuditEntry& entry : entries) {
    table.add({{day_and_time(entry.last_at), Colour::kDim},
               {std::string(to_string(entry.act)), colour_of(entry.act)},
               {who_text(entry), Colour::kStrong},
               {what_text(entry)}});
  }
  return table.render(palette, "");
}

std::string json_of(const AuditEntry& entry) {
  return line_of({{"at", utc_time(entry.last_at)},
                  {"first_at", utc_time(entry.first_at)},
                  {"act", to_string(entry.act)},
                  {"who", entry.who},
                  {"address", entry.address},
                  {"executor", entry.executor},
                  {"what", entry.what},
                  {"count", entry.count}});
}

Result<WallTime> parse_since(std::string_view text, WallTime now) {
  if (const auto span = parse_span(text)) return now - *span;
  if (const auto date = parse_date(std::string(text))) return *date;
  return Error{ErrorCode::kInvalidArgument,
               "'" + std::string(text) +
                   "' is no time; --since takes a span like 90s, 10m, 2h or 7d, or a date like 2026-11-26 or "
                   "2026-11-26T12:31.",
               0};
}

bool is_about(const AuditEntry& entry, std::string_view who) {
  return who.empty() || daemon::fits(who, entry.who) || daemon::fits(who, entry.executor);
}

}  // namespace moddev::tools
