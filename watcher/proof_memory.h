// What a watcher proved, kept in a file for the next run of the same directory: a start with an unchanged
// tree then reads no file. It holds for as long as the machine runs: a power cut can take bytes and leave the
// stat, and device numbers change. Whatever is amiss with the file, it counts as empty.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/result.h"
#include "watcher/watcher.h"

namespace moddev::watcher {

/// "moddev-proofs-1\n", the boot id and a line feed; for each file its path with a 32-bit length before it,
/// the digest, and device, inode, size, mtime and ctime (ns) as 64-bit numbers, all in the machine's byte
/// order; then the SHA-256 of all that.
[[nodiscard]] Bytes encode_proofs(const std::string& boot_id, const std::vector<ProvenFile>& files);
/// Empty when it is of another boot, damaged or of another format.
[[nodiscard]] std::vector<ProvenFile> decode_proofs(const std::string& boot_id,
                                                    std::span<const std::byte> bytes);

/// Replaces the file. Without a boot id nothing is written. Errors: kIo.
Status write_proofs(const std::string& file, const std::string& boot_id,
                    const std::vector<ProvenFile>& files);
[[nodiscard]] std::vector<ProvenFile> read_proofs(const std::string& file, const std::string& boot_id);

}  // namespace moddev::watcher
