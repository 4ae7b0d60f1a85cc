// The cache that all processes of a user share: who uses which blob, who fetches which, and what may be
// collected. A blob in use is known by a file of its user, mapped and locked: the lock goes with the process,
// whatever ends it. Images have locks of their own (image_cache.h).
//
// How a collector and a new user agree. User: writes the digest into its file, then looks for the blob.
// Collector: moves the blob aside, then reads the files of all users, and puts it back if it is in one. In
// whatever order these happen, either the user does not find the blob, and fetches it, or the collector finds
// the user.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/src/cache_use.h"
#include "client/src/image_cache.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev::client {

/// The part of one client in the cache at `root`. One thread. Errors: kIo.
[[nodiscard]] Result<std::shared_ptr<CacheUse>> join_host_cache(const std::filesystem::path& root);

struct CachedBlob {
  Digest digest;
  std::uint64_t size = 0;
  /// A live process needs it, or what ran last does (last_epoch.h).
  bool in_use = false;
  /// The processes among them; one of an older moddev is not known by its number.
  std::vector<pid_t> processes;
  /// What ran last needs it: name and version.
  std::vector<std::pair<std::string, Version>> ran_last;
  /// When it was written or read, as far as the file system keeps account of reading (relatime: to a day).
  WallTime used_at{};
};

struct CacheCheck {
  std::uint64_t blobs = 0;
  std::uint64_t bytes = 0;
  /// Set aside, so that they are fetched anew.
  std::vector<Digest> damaged;
};

struct CacheCollection {
  std::uint64_t removed = 0;
  std::uint64_t removed_bytes = 0;
  std::uint64_t kept = 0;
  std::uint64_t kept_bytes = 0;
  std::uint64_t in_use = 0;
  CollectedImages images;
};

/// For `moddev cache`. Blobs are those of default_cache_directory(), images of default_image_directory().
class HostCache {
 public:
  /// Errors: kNotFound when there is none.
  static Result<std::unique_ptr<HostCache>> open(const std::filesystem::path& root,
                                                 const std::filesystem::path& images);

  /// Least recently used first.
  [[nodiscard]] Result<std::vector<CachedBlob>> list() const;
  /// Reads every blob.
  [[nodiscard]] Result<CacheCheck> verify();
  /// Removes blobs, least recently used first, until at most `keep_bytes` are left and none that was not used
  /// for `unused_for`, and images likewise; never what is in use. What ran last is forgotten after
  /// kRememberedAge. Errors: kUnavailable when another process collects.
  [[nodiscard]] Result<CacheCollection> collect(std::uint64_t keep_bytes, WallTime now,
                                                Duration unused_for = Duration::max());

 private:
  HostCache(std::filesystem::path root, std::filesystem::path images,
            std::unique_ptr<DirectoryBlobStore> blobs)
      : root_(std::move(root)), images_(std::move(images)), blobs_(std::move(blobs)) {}
  std::filesystem::path root_;
  std::filesystem::path images_;
  std::unique_ptr<DirectoryBlobStore> blobs_;
};

}  // namespace moddev::client
