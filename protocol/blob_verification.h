// Which blobs of a directory are known to hold the bytes that their names promise, as long as their files are
// not changed. A blob is verified while its pieces pass in their order, so that serving it costs one hash the
// first time, and never a pause for the whole. It reads no files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <span>

#include "protocol/digest.h"

namespace moddev {

/// What stat(2) says of a file; every way of changing its bytes changes it, but for damage below the file
/// system.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

class BlobVerification {
 public:
  /// Remembered as verified; beyond it all are forgotten, which costs a hash each.
  static constexpr std::size_t kVerifiedBlobs = 16'384;
  /// Whose pieces are followed at a time; beyond it the one that began first is given up.
  static constexpr std::size_t kBlobsPassing = 8;

  /// The file was written here, or its bytes were compared.
  void learn(const Digest& digest, const FileStamp& stamp);
  /// `piece` was read from `offset` on. False: with this piece all of the file has passed, and its bytes are
  /// not those of `digest`.
  [[nodiscard]] bool pass(const Digest& digest, const FileStamp& stamp, std::uint64_t offset,
                          std::span<const std::byte> piece);

 private:
  struct Passing {
    Digest digest;
    FileStamp stamp;
    Hasher hasher;
    std::uint64_t next = 0;
  };
  void know(const Digest& digest, const FileStamp& stamp);

  std::mutex mutex_;
  std::map<Digest, FileStamp> known_;
  std::list<Passing> passing_;  // newest first
};

}  // namespace moddev
