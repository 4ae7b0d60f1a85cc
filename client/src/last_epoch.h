// The epoch that ran last, remembered beside the cache for a start without a daemon: one small file per
// endpoint. It holds the manifest only; the bytes are in the cache, which verifies them.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "protocol/bytes.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/result.h"
#include "protocol/uuid.h"

namespace moddev::client {

struct Remembered {
  Uuid repo;
  Manifest manifest;
};

/// "moddev last epoch 1\n", the repo's 16 bytes, the encoded manifest, SHA-256 of all that.
[[nodiscard]] Bytes encode_remembered(const Uuid& repo, const Manifest& manifest);
/// Errors: kCorrupt.
[[nodiscard]] Result<Remembered> decode_remembered(std::span<const std::byte> bytes);

/// Where it is kept for a daemon at `endpoint`.
[[nodiscard]] std::filesystem::path remembered_path(const std::filesystem::path& cache_directory,
                                                    const std::string& endpoint);
/// Replaces the file in one rename; directories are made as needed (mode 0700). Not synchronised: a power cut
/// may lose it, and then there is nothing remembered. Errors: kIo.
Status write_remembered(const std::filesystem::path& file, const Uuid& repo, const Manifest& manifest);
/// Nothing when there is no file, or when at `now` it was written longer ago than `grace`. Errors: kCorrupt,
/// kLimit, kIo.
[[nodiscard]] Result<std::optional<Remembered>> read_remembered(const std::filesystem::path& file,
                                                                std::chrono::seconds grace, WallTime now);

}  // namespace moddev::client
