#include "protocol/name_match.h"

#include <algorithm>
#include <cstddef>

#include "protocol/suggest.h"

namespace moddev {
namespace {

constexpr std::size_t kNamesShown = 8;

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == kNamesShown) return text + " and " + std::to_string(names.size() - i) + " more";
    text += (i == 0 ? "" : ", ") + names[i];
  }
  return text;
}

Error unknown(std::string_view part, const std::vector<std::string>& names) {
  std::string text = "There is no module '" + std::string(part) + "'";
  if (names.empty()) return {ErrorCode::kNotFound, text + ": nothing was published yet."};
  if (std::string near = did_you_mean(part, names); !near.empty()) return {ErrorCode::kNotFound, text + near};
  return {ErrorCode::kNotFound,
          text + (names.size() == 1 ? ". There is only " : ". There are ") + listed(names) + "."};
}

}  // namespace

Result<std::string> match_name(std::string_view part, const std::vector<std::string>& names) {
  if (std::ranges::find(names, part) != names.end()) return std::string(part);
  if (part.empty()) return unknown(part, names);
  std::vector<std::string> begin_with_it;
  std::vector<std::string> contain_it;
  for (const std::string& name : names) {
    if (name.starts_with(part)) begin_with_it.push_back(name);
    if (name.find(part) != std::string::npos) contain_it.push_back(name);
  }
  const std::vector<std::string>& fitting = begin_with_it.empty() ? contain_it : begin_with_it;
  if (fitting.empty()) return unknown(part, names);
  if (fitting.size() == 1) return fitting.front();
  return Error{ErrorCode::kConflict,
               "'" + std::string(part) + "' can mean " + listed(fitting) + ". Give more of the name."};
}

}  // namespace moddev
