// A blob store whose disk can be full, and whose owner can be killed in the middle of any operation.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "protocol/blob_store.h"

namespace moddev::sim {

class FaultyBlobStore final : public BlobStore {
 public:
  /// Forwards to `inner`, which must outlive it.
  explicit FaultyBlobStore(BlobStore& inner) : inner_(inner) {}

  /// Every write fails with kIo, as on a full disk.
  bool full = false;
  /// Called before each operation that changes the store; may throw.
  std::function<void()> before_change;

  Result<std::unique_ptr<BlobWriter>> create() override {
    announce_change();
    auto writer = inner_.create();
    if (!writer) return writer.error();
    return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(*this, std::move(*writer)));
  }
  [[nodiscard]] bool contains(const Digest& digest) const override { return inner_.contains(digest); }
  Result<std::uint64_t> size(const Digest& digest) const override { return inner_.size(digest); }
  Result<SharedBytes> read(const Digest& digest) override { return inner_.read(digest); }
  Result<Bytes> read_range(const Digest& digest, std::uint64_t offset, std::uint64_t length) const override {
    return inner_.read_range(digest, offset, length);
  }
  [[nodiscard]] Result<std::vector<Digest>> list() const override { return inner_.list(); }
  Status remove(const Digest& digest) override {
    announce_change();
    return inner_.remove(digest);
  }

 private:
  class Writer final : public BlobWriter {
   public:
    Writer(FaultyBlobStore& store, std::unique_ptr<BlobWriter> inner)
        : store_(store), inner_(std::move(inner)) {}
    Status write(std::span<const std::byte> data) override {
      if (store_.full) return no_space();
      return inner_->write(data);
    }
    [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
    Result<Digest> finish() override { return inner_->finish(); }
    Status commit() override {
      store_.announce_change();
      if (store_.full) return no_space();
      return inner_->commit();
    }

   private:
    static Error no_space() { return errno_error("cannot write the blob", 28 /* ENOSPC */); }
    FaultyBlobStore& store_;
    std::unique_ptr<BlobWriter> inner_;
  };

  void announce_change() {
    if (before_change) before_change();
  }

  BlobStore& inner_;
};

}  // namespace moddev::sim
