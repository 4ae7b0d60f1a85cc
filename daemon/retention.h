// How much of the past is kept: a decision over values. The journal forgets, the daemon removes blobs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/limits.h"
#include "protocol/manifest.h"

namespace moddev::daemon {

struct RetentionOptions {
  std::size_t epochs = limits::kRetainedEpochs;
  /// Of all blobs that retained epochs name.
  std::uint64_t bytes = limits::kRetainedBytes;
  /// Whether the blob store is the daemon's alone: what its history does not name is removed from it. In a
  /// store that others use too, it removes nothing.
  bool own_blobs = true;
};

/// One blob of the history.
struct BlobUse {
  std::uint64_t size = 0;
  /// The epoch that replaced it the last time: when everything up to there is forgotten, nothing needs it any
  /// more. kStillUsed: the committed manifest or a hold has it.
  Epoch until = 0;
  friend bool operator==(const BlobUse&, const BlobUse&) = default;
};
inline constexpr Epoch kStillUsed = ~Epoch{0};

struct RetainedHistory {
  Epoch forgotten = 0;
  Epoch head = 0;
  /// The epoch that the committed one leads on from: the way back by one is always kept.
  Epoch before_committed = 0;
  std::vector<BlobUse> blobs;
};

/// The epoch up to which to forget; `history.forgotten` for nothing. Begins a tenth above the limit of
/// epochs, so that it is not done for every epoch, and goes a tenth below that of bytes.
[[nodiscard]] Epoch forget_until(const RetentionOptions& options, RetainedHistory history);

}  // namespace moddev::daemon
