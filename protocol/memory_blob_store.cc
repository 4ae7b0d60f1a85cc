#include <map>
#include <mutex>

#include "protocol/blob_store.h"

namespace moddev {

struct MemoryBlobStore::State {
  std::mutex mutex;
  std::map<Digest, SharedBytes> blobs;

  SharedBytes find(const Digest& digest) {
    const std::lock_guard lock(mutex);
    const auto found = blobs.find(digest);
    return found == blobs.end() ? nullptr : found->second;
  }
};

namespace {

Error missing(const Digest& digest) {
  return Error{ErrorCode::kNotFound, "the blob " + digest.to_string() + " is not here", 0};
}

/// Hands finished bytes to a function of the store, which owns the map.
class MemoryBlobWriter final : public BlobWriter {
 public:
  using Keep = void (*)(void* state, const Digest& digest, Bytes bytes);
  MemoryBlobWriter(std::shared_ptr<void> state, Keep keep) : state_(std::move(state)), keep_(keep) {}

  Status write(std::span<const std::byte> data) override {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    size_ += data.size();
    return {};
  }
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<Digest> finish() override {
    digest_ = digest_of(bytes_);
    return digest_;
  }
  Status commit() override {
    MODDEV_ASSERT(!digest_.is_zero(), "commit() after finish()");
    keep_(state_.get(), digest_, std::move(bytes_));
    return {};
  }

 private:
  std::shared_ptr<void> state_;
  Keep keep_;
  Bytes bytes_;
  std::uint64_t size_ = 0;  // also after the bytes were handed over
  Digest digest_;
};

}  // namespace

MemoryBlobStore::MemoryBlobStore() : state_(std::make_shared<State>()) {}
MemoryBlobStore::~MemoryBlobStore() = default;

Result<std::unique_ptr<BlobWriter>> MemoryBlobStore::create() {
  const auto keep = [](void* state, const Digest& digest, Bytes bytes) {
    auto& self = *static_cast<State*>(state);
    const std::lock_guard lock(self.mutex);
    self.blobs.try_emplace(digest, share(std::move(bytes)));
  };
  return std::unique_ptr<BlobWriter>(std::make_unique<MemoryBlobWriter>(state_, keep));
}

bool MemoryBlobStore::contains(const Digest& digest) const {
  return state_->find(digest) != nullptr;
}

Result<std::uint64_t> MemoryBlobStore::size(const Digest& digest) const {
  const SharedBytes bytes = state_->find(digest);
  if (bytes == nullptr) return missing(digest);
  return static_cast<std::uint64_t>(bytes->size());
}

Result<SharedBytes> MemoryBlobStore::read(const Digest& digest) {
  SharedBytes bytes = state_->find(digest);
  if (bytes == nullptr) return missing(digest);
  return bytes;
}

Result<Bytes> MemoryBlobStore::read_range(const Digest& digest, std::uint64_t offset,
                                          std::uint64_t length) const {
  const SharedBytes bytes = state_->find(digest);
  if (bytes == nullptr) return missing(digest);
  if (offset >= bytes->size()) return Bytes{};
  const std::uint64_t count = std::min<std::uint64_t>(length, bytes->size() - offset);
  const auto first = bytes->begin() + static_cast<std::ptrdiff_t>(offset);
  return Bytes(first, first + static_cast<std::ptrdiff_t>(count));
}

Result<std::vector<Digest>> MemoryBlobStore::list() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<Digest> digests;
  for (const auto& [digest, unused] : state_->blobs) digests.push_back(digest);
  return digests;
}

Status MemoryBlobStore::remove(const Digest& digest) {
  const std::lock_guard lock(state_->mutex);
  state_->blobs.erase(digest);
  return {};
}

}  // namespace moddev
