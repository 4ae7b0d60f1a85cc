#include "tools/supervisor/rollout_rules.h"

#include <algorithm>
#include <set>

namespace moddev::supervisor {
namespace {

bool any_matches(const std::vector<std::string>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, name); });
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // the last '*', and how far it reaches at present
  std::size_t reach = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      reach = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++reach;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<std::string> affected_modules(const Manifest& from, const Manifest& to) {
  std::set<std::string, std::less<>> affected;
  for (const auto& [name, entry] : to.modules) {
    const ModuleEntry* before = from.find(name);
    if (before == nullptr || before->digest != entry.digest || before->kind != entry.kind)
      affected.insert(name);
  }
  for (const auto& [name, entry] : from.modules) {
    if (to.find(name) == nullptr) affected.insert(name);
  }
  if (affected.empty()) return {};
  // Until nothing is added any more: who needs something affected is affected. Twice is the rule: the first
  // round goes in load order; only cycles need more.
  const std::vector<std::string> order = load_order(to);
  for (bool grown = true; grown;) {
    grown = false;
    for (const std::string& name : order) {
      const auto& needs = to.find(name)->depends_on;
      const bool hit = std::any_of(needs.begin(), needs.end(),
                                   [&](const std::string& need) { return affected.contains(need); });
      if (hit && affected.insert(name).second) grown = true;
    }
  }
  return {affected.begin(), affected.end()};
}

Treatment treatment_of(const std::vector<std::string>& modules, const ModuleRules& rules,
                       bool embeds_client) {
  Treatment treatment = Treatment::kNothing;
  for (const std::string& module : modules) {
    if (any_matches(rules.cycle, module)) return Treatment::kCycle;
    if (!any_matches(rules.reload, module) && !embeds_client) return Treatment::kCycle;
    treatment = Treatment::kReload;
  }
  return treatment;
}

}  // namespace moddev::supervisor
