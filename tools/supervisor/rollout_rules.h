// What a change means for a worker: nothing, a reload in place, or a new process. Pure functions over
// manifests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/manifest.h"

namespace moddev::supervisor {

/// Which modules are always cycled, and which never. Patterns with '*' (anything) and '?' (one character).
/// A module that neither names follows the worker: one that embeds the client reloads, any other is cycled.
/// A module that both name is cycled: that is never wrong, only slower.
struct ModuleRules {
  std::vector<std::string> cycle;
  std::vector<std::string> reload;
};

enum class Treatment : std::uint8_t { kNothing, kReload, kCycle };

[[nodiscard]] bool matches(std::string_view pattern, std::string_view name);

/// Names of the modules whose bytes differ, that are new or gone, and of those in `to` that need one of them,
/// directly or not; sorted.
[[nodiscard]] std::vector<std::string> affected_modules(const Manifest& from, const Manifest& to);

/// What a worker needs when `modules` are affected.
[[nodiscard]] Treatment treatment_of(const std::vector<std::string>& modules, const ModuleRules& rules,
                                     bool embeds_client);

}  // namespace moddev::supervisor
