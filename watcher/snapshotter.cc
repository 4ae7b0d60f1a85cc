#include "watcher/snapshotter.h"

#include <algorithm>
#include <utility>

#include "watcher/completeness.h"
#include "watcher/limits.h"

namespace moddev::watcher {

Snapshotter::Snapshotter(FileSystem& files, BlobStore& blobs)
    : files_(files), blobs_(blobs), piece_(limits::kPieceBytes) {}
Snapshotter::~Snapshotter() = default;

void Snapshotter::cancel() {
  file_.reset();
  writer_.reset();
  whole_.reset();
  in_memory_ = {};
  store_error_.reset();
  look_ = Look{};
}

Status Snapshotter::begin(const std::string& path, const std::string& real_path) {
  cancel();
  path_ = path;
  through_link_ = path != real_path;
  auto opened = files_.open(real_path);
  if (!opened) return opened.error();
  file_ = std::move(*opened);
  look_.lease = file_->take_lease();
  if (!may_copy(look_.lease)) return {};
  auto stat = file_->stat();
  if (!stat) {
    cancel();
    return stat.error();
  }
  look_.before = *stat;
  if (look_.before.size > limits::kModuleBytes) {
    const std::uint64_t size = look_.before.size;
    cancel();
    return Error{ErrorCode::kLimit,
                 "the file has " + std::to_string(size) + " bytes, and a module at most " +
                     std::to_string(limits::kModuleBytes),
                 0};
  }
  auto writer = blobs_.create();
  if (writer) {
    writer_ = std::move(*writer);
  } else {
    store_error_ = writer.error();
  }
  return {};
}

void Snapshotter::store(std::span<const std::byte> piece) {
  if (writer_ == nullptr) return;
  if (Status status = writer_->write(piece); !status) {
    store_error_ = status.error();
    writer_.reset();
  }
}

Result<bool> Snapshotter::advance(std::uint64_t& budget) {
  if (!may_copy(look_.lease)) return true;
  const std::uint64_t size = look_.before.size;
  while (look_.bytes < size) {
    // At least one piece a call, so that a small budget does not stand still.
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(size - look_.bytes, piece_.size()));
    std::byte* target = whole_ ? whole_.get() + look_.bytes : piece_.data();
    auto got = file_->read(look_.bytes, {target, want});
    if (!got) {
      Error error = got.error();
      cancel();
      return error;
    }
    if (*got == 0) break;  // it has become shorter
    std::span<const std::byte> piece(target, *got);
    if (look_.bytes == 0 && *got < size && needs_check(path_, piece)) {
      whole_ = std::make_unique_for_overwrite<std::byte[]>(size);
      std::ranges::copy(piece, whole_.get());
      piece = {whole_.get(), *got};
    }
    look_.bytes += *got;
    if (look_.bytes == size)
      in_memory_ = whole_         ? std::span<const std::byte>(whole_.get(), size)
                   : *got == size ? piece
                                  : std::span<const std::byte>();
    store(piece);
    if (store_error_) break;  // what cannot be kept need not be read
    budget -= std::min<std::uint64_t>(budget, *got);
    if (look_.bytes < size && look_.lease == LeaseState::kHeld && file_->lease() != LeaseState::kHeld) break;
    if (look_.bytes < size && budget == 0) return false;
  }
  return finish();
}

Result<bool> Snapshotter::finish() {
  if (look_.lease == LeaseState::kHeld) look_.lease_after = file_->lease();
  auto after = file_->stat();
  if (!after) {
    Error error = after.error();
    cancel();
    return error;
  }
  look_.after = *after;
  auto at_path = through_link_ ? files_.stat(path_) : files_.lstat(path_);
  if (at_path) look_.path_after = *at_path;
  if (store_error_) return true;
  auto digest = writer_->finish();
  if (!digest) {
    store_error_ = digest.error();
    return true;
  }
  look_.digest = *digest;
  // Where the bytes are not in memory, the format has nothing to check.
  if (!in_memory_.empty() || look_.bytes == 0) {
    if (Status whole = check_complete(path_, in_memory_); !whole) look_.incomplete = whole.error().message;
  }
  return true;
}

Look Snapshotter::take_look() {
  file_.reset();  // gives back the lease
  return std::exchange(look_, Look{});
}

Status Snapshotter::commit() {
  if (store_error_) return *store_error_;
  MODDEV_ASSERT(writer_ != nullptr, "commit() after a complete look");
  return writer_->commit();
}

}  // namespace moddev::watcher
