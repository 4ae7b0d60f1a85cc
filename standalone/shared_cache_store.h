// The host cache as a daemon's blob store: what is snapshotted is at once in the cache of the client beside
// it. Other processes use it, too, so nothing is removed here: `moddev cache` collects.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "protocol/blob_store.h"

namespace moddev::standalone {

class SharedCacheStore final : public BlobStore {
 public:
  explicit SharedCacheStore(std::unique_ptr<BlobStore> cache) : cache_(std::move(cache)) {}

  Result<std::unique_ptr<BlobWriter>> create() override { return cache_->create(); }
  [[nodiscard]] bool contains(const Digest& digest) const override { return cache_->contains(digest); }
  Result<std::uint64_t> size(const Digest& digest) const override { return cache_->size(digest); }
  Result<SharedBytes> read(const Digest& digest) override { return cache_->read(digest); }
  Result<Bytes> read_range(const Digest& digest, std::uint64_t offset, std::uint64_t length) const override {
    return cache_->read_range(digest, offset, length);
  }
  /// None that this daemon could remove.
  [[nodiscard]] Result<std::vector<Digest>> list() const override { return std::vector<Digest>(); }
  Status remove(const Digest& /*digest*/) override { return {}; }
  bool make_ready() override { return cache_->make_ready(); }

 private:
  std::unique_ptr<BlobStore> cache_;
};

}  // namespace moddev::standalone
