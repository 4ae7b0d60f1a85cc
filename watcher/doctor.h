// Everything about a directory that a person should know before watching it: limits, leases, the file system,
// free space, and the build flags of the modules in it. Looks, makes and removes one empty file, changes
// nothing. Returns values; `moddev doctor` shows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev::watcher {

struct Finding {
  enum class Level : std::uint8_t {
    kGood,     // as it should be
    kNote,     // works, but is weaker or slower than it could be
    kProblem,  // something will not work
  };
  Level level = Level::kGood;
  std::string code;     // stable, for scripts: "watches", "lease", ...
  std::string message;  // what was found
  std::string advice;   // what to do, with the command where there is one; empty when there is nothing to do
};
/// "good", "note", "problem".
[[nodiscard]] std::string_view to_string(Finding::Level level);

struct DoctorOptions {
  std::vector<std::string> ignore;  // as for the watcher
  std::string store;                // where blobs will be kept; its free space is looked at when given
};

/// The findings in the order of the checks. A directory that cannot be watched at all is one kProblem.
[[nodiscard]] std::vector<Finding> examine(const std::string& directory, const DoctorOptions& options);

// The single judgements, pure, for the tests.

[[nodiscard]] Finding judge_watches(std::uint64_t limit, std::uint64_t needed);
[[nodiscard]] Finding judge_space(const std::string& where, std::uint64_t free_bytes);

}  // namespace moddev::watcher
