#include "daemon/encoded_blobs.h"

#include <algorithm>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

bool accepts(const BlobRequest& request, Encoding encoding) {
  return std::find(request.accept.begin(), request.accept.end(), encoding) != request.accept.end();
}

}  // namespace

EncodingJob EncodedBlobs::job_of(const BlobRequest& request, std::uint64_t size) const {
  EncodingJob job;
  job.target = request.digest;
  job.zstd_allowed = accepts(request, Encoding::kZstd);
  if (!accepts(request, Encoding::kPatch) || request.base == request.digest) return job;
  const auto base_size = blobs_.size(request.base);
  if (base_size && *base_size + size <= limits::kEncodeTogether) job.base = request.base;
  return job;
}

EncodedBlobs::Offer EncodedBlobs::offer(const BlobRequest& request, std::uint64_t size) {
  if (encoder_ == nullptr || request.accept.empty()) return {};
  if (size < limits::kEncodeFrom || size > limits::kEncodeUpTo) return {};
  take_results();
  const EncodingJob job = job_of(request, size);
  if (job.base == Digest{} && !job.zstd_allowed) return {};
  auto found = entries_.find(job);
  if (found == entries_.end()) {
    if (!encoder_->begin(job)) return {};
    by_use_.push_front(job);
    found = entries_.emplace(job, Entry{false, Encoding::kPlain, nullptr, by_use_.begin()}).first;
    make_room();
    // An encoder may be done at once.
    take_results();
    found = entries_.find(job);
    if (found == entries_.end()) return {};
  }
  Entry& entry = found->second;
  by_use_.splice(by_use_.begin(), by_use_, entry.used);
  if (!entry.done) return {Offer::Kind::kLater, Encoding::kPlain, nullptr};
  if (entry.bytes == nullptr || !accepts(request, entry.encoding)) return {};
  return {Offer::Kind::kEncoded, entry.encoding, entry.bytes};
}

void EncodedBlobs::take_results() {
  while (auto result = encoder_->poll()) {
    const auto found = entries_.find(result->job);
    if (found == entries_.end()) continue;
    found->second.done = true;
    found->second.encoding = result->encoding;
    found->second.bytes = std::move(result->bytes);
    if (found->second.bytes) kept_bytes_ += found->second.bytes->size();
    make_room();
  }
}

/// The least recently used go first; one under way stays, for its result comes in any case.
void EncodedBlobs::make_room() {
  for (auto last = by_use_.end(); last != by_use_.begin();) {
    if (kept_bytes_ <= limits::kEncodedBytes && entries_.size() <= limits::kEncodedBlobs) return;
    --last;
    const auto entry = entries_.find(*last);
    if (!entry->second.done) continue;
    if (entry->second.bytes) kept_bytes_ -= entry->second.bytes->size();
    entries_.erase(entry);
    last = by_use_.erase(last);
  }
}

}  // namespace moddev::daemon
