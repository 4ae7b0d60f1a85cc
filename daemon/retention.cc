#include "daemon/retention.h"

#include <algorithm>
#include <numeric>

namespace moddev::daemon {

Epoch forget_until(const RetentionOptions& options, RetainedHistory history) {
  Epoch until = history.forgotten;
  if (history.head - history.forgotten > options.epochs + options.epochs / 10)
    until = history.head - options.epochs;

  std::vector<BlobUse>& blobs = history.blobs;
  std::uint64_t kept =
      std::accumulate(blobs.begin(), blobs.end(), std::uint64_t{0},
                      [](std::uint64_t sum, const BlobUse& blob) { return sum + blob.size; });
  if (kept > options.bytes) {
    std::sort(blobs.begin(), blobs.end(),
              [](const BlobUse& a, const BlobUse& b) { return a.until < b.until; });
    const std::uint64_t aim = options.bytes - options.bytes / 10;
    for (auto blob = blobs.begin(); blob != blobs.end() && kept > aim && blob->until != kStillUsed; ++blob) {
      kept -= blob->size;
      until = std::max(until, blob->until);
    }
  }
  // Of a single epoch the way back is kept, whatever it costs.
  const Epoch most = history.before_committed == 0 ? 0 : history.before_committed - 1;
  return std::max(history.forgotten, std::min(until, most));
}

}  // namespace moddev::daemon
