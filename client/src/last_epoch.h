// The epoch that ran last, remembered beside the cache for a start without a daemon: one small file per
// endpoint. It holds the manifest only; the bytes are in the cache, which verifies them.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/result.h"
#include "protocol/signature.h"
#include "protocol/uuid.h"

namespace moddev::client {

struct Remembered {
  Uuid repo;
  Manifest manifest;
  /// What was signed about it. It is checked by whoever demands signatures, not here.
  std::optional<SignedStatement> statement{};
};

/// "moddev last epoch 1\n", the repo's 16 bytes, the encoded manifest, SHA-256 of all that. With a statement:
/// "moddev last epoch 2\n", the repo, the statement's 224 bytes, the rest as before.
[[nodiscard]] Bytes encode_remembered(const Remembered& what);
/// Errors: kCorrupt.
[[nodiscard]] Result<Remembered> decode_remembered(std::span<const std::byte> bytes);

/// Where it is kept for a daemon at `endpoint`, apart for each choice of `signers` that are believed: who
/// demands no signatures must not write over what is signed.
[[nodiscard]] std::filesystem::path remembered_path(const std::filesystem::path& cache_directory,
                                                    const std::string& endpoint,
                                                    const std::vector<PublicKey>& signers = {});
/// Replaces the file in one rename; directories are made as needed (mode 0700). Not synchronised: a power cut
/// may lose it, and then there is nothing remembered. Errors: kIo.
Status write_remembered(const std::filesystem::path& file, const Remembered& what);
/// Nothing when there is no file, or when at `now` it was written longer ago than `grace`. Errors: kCorrupt,
/// kLimit, kIo.
[[nodiscard]] Result<std::optional<Remembered>> read_remembered(const std::filesystem::path& file,
                                                                std::chrono::seconds grace, WallTime now);

}  // namespace moddev::client
