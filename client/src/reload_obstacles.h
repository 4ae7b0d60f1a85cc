// What in a library keeps its old versions from being unloaded, or makes a reload surprising: for the person
// who builds it. Pure; what the loader does about each is told in client/LOADING.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/elf_image.h"

namespace moddev {

struct Obstacle {
  enum class Kind : std::uint8_t {
    kUniqueSymbols,           // made harmless by the loader
    kThreadLocalDestructors,  // mapped until the threads that used it end
    kNoDelete,                // mapped for ever
    kThreads,                 // mapped for ever
    kTextRelocations,         // not shared between processes
    kNoBuildId,               // what is mapped cannot be proven
  };
  Kind kind = Kind::kUniqueSymbols;
  /// The symbol that shows it, mangled; empty when none does.
  std::string symbol;
  /// Full sentences: what happens, and why.
  std::string explanation;
  /// What to build with, or to do, instead.
  std::string remedy;
  /// Whether each retired version stays in memory, for ever or for an unknown time.
  bool retains_memory = false;
};

/// "unique_symbols", ...: stable, for JSON.
[[nodiscard]] std::string_view to_string(Obstacle::Kind kind);

/// Worst first.
[[nodiscard]] std::vector<Obstacle> reload_obstacles(const ElfImage& image);

}  // namespace moddev
