// SHA-256 of an artifact: the identity of its bytes everywhere, on the wire, on disk and on the screen.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

struct Digest {
  std::array<std::uint8_t, 32> bytes{};

  /// 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string hex() const;
  /// "sha256:" and the hexadecimal digits: how digests are printed and written in JSON.
  [[nodiscard]] std::string to_string() const;
  /// Accepts both forms.
  [[nodiscard]] static Result<Digest> parse(std::string_view text);
  [[nodiscard]] static Result<Digest> from_bytes(std::span<const std::byte> raw);
  [[nodiscard]] bool is_zero() const { return *this == Digest{}; }

  friend auto operator<=>(const Digest&, const Digest&) = default;
};

/// Incremental SHA-256 (OpenSSL, which uses the processor's SHA instructions).
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::span<const std::byte> data);
  /// The digest of everything given so far; the hasher starts anew.
  [[nodiscard]] Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] Digest digest_of(std::span<const std::byte> data);
[[nodiscard]] Digest digest_of(std::string_view data);

}  // namespace moddev

template <>
struct std::hash<moddev::Digest> {
  std::size_t operator()(const moddev::Digest& d) const noexcept {
    std::size_t h = 0;
    for (std::size_t i = 0; i < sizeof h; ++i) h = (h << 8) | d.bytes[i];
    return h;
  }
};
