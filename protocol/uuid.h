// Random 128-bit identities: of a repo, an incarnation, an executor.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  /// A version 4 UUID (RFC 4122) from the kernel's random numbers (getrandom(2)).
  [[nodiscard]] static Uuid random();
  /// The canonical form with four hyphens.
  [[nodiscard]] static Result<Uuid> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace moddev
