#include "daemon/holds.h"

#include <algorithm>

namespace moddev::daemon {

std::vector<std::string> ended_holds(const HoldSet& holds, const ModuleSet& directory) {
  std::vector<std::string> ended;
  for (const auto& [name, hold] : holds) {
    const auto there = directory.find(name);
    const Digest now = there == directory.end() ? Digest{} : there->second.digest;
    if (now != hold.overrides) ended.push_back(name);
  }
  return ended;
}

ModuleSet with_holds(const ModuleSet& directory, const HoldSet& holds) {
  ModuleSet modules = directory;
  for (const auto& [name, hold] : holds) {
    if (hold.content) {
      modules.insert_or_assign(name, *hold.content);
    } else {
      modules.erase(name);
    }
  }
  for (auto& [name, content] : modules) {
    std::erase_if(content.depends_on, [&](const std::string& needed) { return !modules.contains(needed); });
  }
  return modules;
}

std::string describe_hold(const std::string& module, const Hold& hold) {
  const std::string what =
      hold.content ? " has the bytes of version " + std::to_string(hold.version) + " again" : " is kept out";
  return module + what + " until '" + hold.path + "' changes.";
}

}  // namespace moddev::daemon
