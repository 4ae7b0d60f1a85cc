#include "tools/moddev/name_match.h"

#include <algorithm>

#include "protocol/suggest.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kNamesShown = 8;

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == kNamesShown) return text + " and " + std::to_string(names.size() - kNamesShown) + " more";
    text += (i == 0 ? "" : ", ") + names[i];
  }
  return text;
}

}  // namespace

Result<std::string> match_name(std::string_view typed, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), typed) != names.end()) return std::string(typed);
  std::vector<std::string> containing;
  for (const std::string& name : names) {
    if (!typed.empty() && name.find(typed) != std::string::npos) containing.push_back(name);
  }
  if (containing.size() == 1) return containing.front();
  const std::string quoted = "'" + std::string(typed) + "'";
  if (containing.size() > 1) {
    return Error{ErrorCode::kConflict,
                 quoted + " fits several modules: " + listed(containing) + ". Type more of the name."};
  }
  std::string text = "There is no module " + quoted;
  if (names.empty()) return Error{ErrorCode::kNotFound, text + ": nothing is published yet."};
  const std::string near = did_you_mean(typed, names);
  return Error{ErrorCode::kNotFound, text + (near.empty() ? ". There are " + listed(names) + "." : near)};
}

}  // namespace moddev::tools
