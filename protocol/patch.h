// Fewer bytes on the way: a module's bytes compressed (zstd), or as a patch against another version that the
// receiver has. Pure functions over memory. Every result is verified against its digest; whether something
// was encoded at all is decided by the sender, which knows what it costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/result.h"

namespace moddev {

enum class Encoding : std::uint8_t { kPlain, kZstd, kPatch };
/// "", "zstd", "patch".
[[nodiscard]] std::string_view to_string(Encoding encoding);
[[nodiscard]] std::optional<Encoding> encoding_from_string(std::string_view text);

/// One zstd frame with size and checksum. Errors: kLimit beyond limits::kModuleBytes.
[[nodiscard]] Result<Bytes> compress(std::span<const std::byte> data);

/// The `size` bytes whose digest is `result`. Never allocates more than `size`. Errors: kCorrupt when the
/// frame holds anything else; kLimit.
[[nodiscard]] Result<Bytes> decompress(std::span<const std::byte> frame, const Digest& result,
                                       std::uint64_t size);

/// What leads from `base` to `target` (PROTOCOL.md, "Patches"). Errors: kLimit when both together are larger
/// than limits::kPatchBytes.
[[nodiscard]] Result<Bytes> make_patch(std::span<const std::byte> base, const Digest& base_digest,
                                       std::span<const std::byte> target, const Digest& target_digest);

/// Which base a patch needs and what comes out, read from its first bytes.
struct PatchHeader {
  Digest base;
  Digest result;
  std::uint64_t size = 0;
  friend bool operator==(const PatchHeader&, const PatchHeader&) = default;
};
/// Errors: kCorrupt, kLimit.
[[nodiscard]] Result<PatchHeader> read_patch_header(std::span<const std::byte> patch);

/// The bytes whose digest is `result`. `base` is verified first: with another base a patch gives other bytes.
/// Never allocates more than `size`. Errors: kCorrupt, kLimit.
[[nodiscard]] Result<Bytes> apply_patch(std::span<const std::byte> base, std::span<const std::byte> patch,
                                        const Digest& result, std::uint64_t size);

/// Whether sending `encoded` bytes instead of `plain` ones is worth the work of decoding.
[[nodiscard]] bool pays(std::uint64_t encoded, std::uint64_t plain);

}  // namespace moddev
