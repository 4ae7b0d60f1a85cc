// Blobs by digest. A blob is immutable from the moment it has its name: it is written under a unique
// temporary name, made read-only and renamed. Reading verifies. The daemon's store and the executors' host
// cache are both this. Many processes may use one directory at once. It does not decide what may be deleted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/result.h"

namespace moddev {

struct FileStamp;

/// Bytes on their way into a store: digest and size are computed while they pass. Dropping it leaves nothing
/// behind.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual Status write(std::span<const std::byte> data) = 0;
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// The digest of what was written; no write may follow.
  virtual Result<Digest> finish() = 0;
  /// Gives the blob its name. After finish(), at most once. Equal bytes that are there already are kept,
  /// damaged ones replaced.
  virtual Status commit() = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;

  virtual Result<std::unique_ptr<BlobWriter>> create() = 0;
  [[nodiscard]] virtual bool contains(const Digest& digest) const = 0;
  /// Errors: kNotFound.
  virtual Result<std::uint64_t> size(const Digest& digest) const = 0;
  /// The whole blob, verified. Errors: kNotFound; kCorrupt, and then the damaged blob is set aside so that it
  /// is fetched or snapshotted again.
  virtual Result<SharedBytes> read(const Digest& digest) = 0;
  /// `length` bytes from `offset` (fewer at the end). For serving pieces: each is not verified, the receiver
  /// does that with the whole. Errors: kNotFound; kCorrupt, as read(), when with this piece the last of all
  /// was read and they are not what they should be.
  virtual Result<Bytes> read_range(const Digest& digest, std::uint64_t offset,
                                   std::uint64_t length) const = 0;
  [[nodiscard]] virtual Result<std::vector<Digest>> list() const = 0;
  virtual Status remove(const Digest& digest) = 0;
  /// Makes all blobs that were committed so far outlive a power cut. For checkpoints, never on the hot path:
  /// a blob that a power cut damaged is noticed when it is read.
  virtual Status sync() { return {}; }
  /// Does ahead a little of what the next commits would wait for: making files and directories, which takes
  /// ext4 up to a millisecond each when many were deleted nearby (it skips recently deleted inodes). To be
  /// called when there is time, after a commit was handed on, and at the start. Returns whether nothing is
  /// left to do.
  virtual bool make_ready() { return true; }

  /// Writes `bytes`, whose digest must be `digest` (else kCorrupt), unless it is there already.
  Status put(const Digest& digest, std::span<const std::byte> bytes);
};

/// A store in a directory of the file system: <root>/<2 hex digits>/<64 hex digits>, mode 0400; temporaries
/// in <root>/tmp. All methods may be called from any thread; a writer belongs to one.
class DirectoryBlobStore final : public BlobStore {
 public:
  /// Creates the directories (mode 0700) as needed; removes temporaries of processes that are gone, and all
  /// but limits::kDamagedBlobsKept of the blobs that were set aside.
  static Result<std::unique_ptr<DirectoryBlobStore>> open(const std::filesystem::path& root);
  ~DirectoryBlobStore() override;

  Result<std::unique_ptr<BlobWriter>> create() override;
  [[nodiscard]] bool contains(const Digest& digest) const override;
  Result<std::uint64_t> size(const Digest& digest) const override;
  Result<SharedBytes> read(const Digest& digest) override;
  Result<Bytes> read_range(const Digest& digest, std::uint64_t offset, std::uint64_t length) const override;
  [[nodiscard]] Result<std::vector<Digest>> list() const override;
  Status remove(const Digest& digest) override;
  Status sync() override;
  bool make_ready() override;

  [[nodiscard]] std::filesystem::path path_of(const Digest& digest) const;

 private:
  struct State;
  class Writer;
  explicit DirectoryBlobStore(std::filesystem::path root);
  Error set_aside(const Digest& digest) const;
  Result<Bytes> read_file(const Digest& digest, std::uint64_t offset, std::uint64_t length,
                          FileStamp& stamp) const;
  std::filesystem::path root_;
  std::shared_ptr<State> state_;
};

/// The same in memory, for the simulation and for standalone tests. The contract tests run on both.
class MemoryBlobStore final : public BlobStore {
 public:
  MemoryBlobStore();
  ~MemoryBlobStore() override;
  Result<std::unique_ptr<BlobWriter>> create() override;
  [[nodiscard]] bool contains(const Digest& digest) const override;
  Result<std::uint64_t> size(const Digest& digest) const override;
  Result<SharedBytes> read(const Digest& digest) override;
  Result<Bytes> read_range(const Digest& digest, std::uint64_t offset, std::uint64_t length) const override;
  [[nodiscard]] Result<std::vector<Digest>> list() const override;
  Status remove(const Digest& digest) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace moddev
