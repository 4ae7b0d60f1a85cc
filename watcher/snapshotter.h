// One look at one file at a time: open, lease, read in bounded pieces into the blob store, check the lease,
// stat again. It collects evidence and keeps the copy; whether the file is finished is decided by
// finished_proof, from the Look that it returns. Writers wait for no longer than one piece: the lease is
// asked after each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/blob_store.h"
#include "protocol/result.h"
#include "watcher/file_system.h"
#include "watcher/finished_proof.h"

namespace moddev::watcher {

class Snapshotter {
 public:
  /// The references must outlive it.
  Snapshotter(FileSystem& files, BlobStore& blobs);
  ~Snapshotter();

  /// Opens the file behind `path` (`real_path` when a symlink leads there) and asks for the lease. With a
  /// writer around, done() holds at once. Errors: those of FileSystem::open(); kLimit when it is too large.
  Status begin(const std::string& path, const std::string& real_path);
  [[nodiscard]] bool busy() const { return file_ != nullptr; }
  /// Goes on for about `budget` bytes and takes them off it. Returns whether the look is complete. Errors are
  /// those of reading; the store's are kept for commit().
  Result<bool> advance(std::uint64_t& budget);
  /// The complete look; ends it, but keeps the copy for commit().
  [[nodiscard]] Look take_look();
  /// Gives the copy its name in the store.
  Status commit();
  /// Drops look and copy.
  void cancel();

  /// What the store refused while copying; commit() would return it too.
  [[nodiscard]] const std::optional<Error>& store_error() const { return store_error_; }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Of the file that is open.
  [[nodiscard]] const Look& look() const { return look_; }

 private:
  Result<bool> finish();
  void store(std::span<const std::byte> piece);

  FileSystem& files_;
  BlobStore& blobs_;
  std::string path_;
  bool through_link_ = false;
  std::unique_ptr<OpenFile> file_;
  std::unique_ptr<BlobWriter> writer_;
  std::optional<Error> store_error_;
  Look look_;
  std::vector<std::byte> piece_;          // used again for every file
  std::unique_ptr<std::byte[]> whole_;    // of a larger file whose headers are to be checked
  std::span<const std::byte> in_memory_;  // the whole file, when it is
};

}  // namespace moddev::watcher
