// Why a result is not there, decided from what is known of its neighbours. Pure.
#pragma once

#include <moddev/result_cache.h>

#include <cstddef>
#include <vector>

namespace moddev::results {

/// Codes that are compared to find the nearest entry, newest first; older ones are not looked at.
inline constexpr std::size_t kCodesCompared = 64;
/// Modules named in a message.
inline constexpr std::size_t kModulesShown = 4;

/// What a cache knows about the key that was asked for and its neighbours.
struct Neighbours {
  bool present = false;
  bool evicted = false;
  /// Codes of this module with which the same symbol and arguments are known, newest first.
  std::vector<std::vector<ClosurePart>> same_arguments;
  /// Whether the same code and symbol is known with other arguments.
  bool same_code = false;
  /// Codes with which the same symbol is known at all, newest first.
  std::vector<std::vector<ClosurePart>> same_symbol;
};

/// Both sorted by module.
[[nodiscard]] std::vector<ChangedPart> differences(const std::vector<ClosurePart>& before,
                                                   const std::vector<ClosurePart>& now);

[[nodiscard]] Miss explain(const ResultKey& key, const Neighbours& neighbours);

/// Names a key among all: SHA-256, 64 digits.
[[nodiscard]] std::string identity_of(const ResultKey& key);

/// Checks what a key must be, whoever made it. Errors: kInvalidArgument.
[[nodiscard]] Status validate(const ResultKey& key);

}  // namespace moddev::results
