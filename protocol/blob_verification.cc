#include "protocol/blob_verification.h"

#include <algorithm>

namespace moddev {

void BlobVerification::learn(const Digest& digest, const FileStamp& stamp) {
  const std::lock_guard lock(mutex_);
  know(digest, stamp);
}

void BlobVerification::know(const Digest& digest, const FileStamp& stamp) {
  // Forgetting costs one hash more.
  if (known_.size() >= kVerifiedBlobs) known_.clear();
  known_.insert_or_assign(digest, stamp);
}

bool BlobVerification::pass(const Digest& digest, const FileStamp& stamp, std::uint64_t offset,
                            std::span<const std::byte> piece) {
  const std::lock_guard lock(mutex_);
  if (const auto known = known_.find(digest); known != known_.end() && known->second == stamp) return true;
  auto passing = std::ranges::find_if(passing_, [&](const Passing& one) { return one.digest == digest; });
  // One begins anew: the file is another one, or somebody else begins to read it.
  if (passing != passing_.end() && (passing->stamp != stamp || offset == 0)) {
    passing_.erase(passing);
    passing = passing_.end();
  }
  if (passing == passing_.end()) {
    if (offset != 0) return true;
    if (passing_.size() >= kBlobsPassing) passing_.pop_back();
    passing = passing_.insert(passing_.begin(), Passing{digest, stamp, {}, 0});
  }
  if (passing->next != offset) return true;  // another one's turn, or a piece that is asked for again
  passing->hasher.update(piece);
  passing->next += piece.size();
  if (passing->next < stamp.size) return true;
  const bool good = passing->hasher.finish() == digest;
  passing_.erase(passing);
  if (good) know(digest, stamp);
  return good;
}

}  // namespace moddev
