#include "tools/moddev/refusals.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "protocol/limits.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kNamesShown = 3;
constexpr std::size_t kReasonsShown = 4;

}  // namespace

std::vector<Refusal> grouped(const std::vector<ExecutorFailure>& failures) {
  std::vector<Refusal> refusals;
  for (const ExecutorFailure& failure : failures) {
    const auto same = std::find_if(refusals.begin(), refusals.end(), [&](const Refusal& refusal) {
      return refusal.module == failure.module && refusal.error == failure.error;
    });
    if (same != refusals.end()) {
      same->executors.push_back(failure.executor);
    } else {
      refusals.push_back({{failure.executor}, failure.module, failure.error});
    }
  }
  return refusals;
}

std::string who(const Refusal& refusal) {
  std::vector<std::pair<std::string, std::size_t>> names;
  for (const std::string& name : refusal.executors) {
    const auto same =
        std::find_if(names.begin(), names.end(), [&](const auto& named) { return named.first == name; });
    if (same == names.end()) {
      names.emplace_back(name, 1);
    } else {
      ++same->second;
    }
  }
  std::stable_sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
    return people_order(a.first) < people_order(b.first);
  });
  // One name in place of "and 1 more".
  const std::size_t shown = names.size() <= kNamesShown + 1 ? names.size() : kNamesShown;
  std::string text;
  std::size_t left = refusal.executors.size();
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& [name, count] = names[i];
    left -= count;
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + printable(name);
    if (count > 1) text += " (" + std::to_string(count) + " times)";
  }
  return left == 0 ? text : text + " and " + std::to_string(left) + " more";
}

std::string refusals_text(const HistoryEntry& refused) {
  const std::vector<Refusal> refusals = grouped(refused.failures);
  std::string text;
  for (std::size_t i = 0; i < std::min(refusals.size(), kReasonsShown); ++i) {
    text += (i == 0 ? "" : " ") + who(refusals[i]) + ": ";
    if (!refusals[i].module.empty()) text += printable(refusals[i].module) + ": ";
    text += demangled(refusals[i].error);
    if (!text.ends_with('.')) text += '.';
  }
  if (refusals.size() > kReasonsShown)
    text += " And " + std::to_string(refusals.size() - kReasonsShown) + " more reasons.";
  if (refused.failures.size() >= limits::kHistoryFailures)
    text += " Those are the first " + std::to_string(limits::kHistoryFailures) + " refusals.";
  return text;
}

}  // namespace moddev::tools
