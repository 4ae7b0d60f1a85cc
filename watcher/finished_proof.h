// Is this file finished? The decision alone, as pure functions over what one look at the file saw; looking is
// the snapshotter's, waiting the watcher's.
//
// With a lease the proof is conclusive: the kernel granted it, so nobody could write when the copy began; it
// still holds after the last byte, so nobody could meanwhile; the path still names this very file. What is
// left is a file whose writer died in the middle: its own headers must be whole. Without a lease two looks,
// with quiet between them, must see the same bytes and the same stat; that is weaker, and a person is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/digest.h"
#include "watcher/file_system.h"

namespace moddev::watcher {

/// What one look saw.
struct Look {
  LeaseState lease = LeaseState::kUnsupported;        // when it began
  LeaseState lease_after = LeaseState::kUnsupported;  // after the last byte
  FileStat before;                                    // of the open file, after the lease was taken
  FileStat after;
  std::optional<FileStat> path_after;  // of what the path names after the copy
  std::uint64_t bytes = 0;             // how many were read
  Digest digest;
  std::string incomplete;  // what the file's own headers miss; empty when whole
};

/// An earlier look without a lease.
struct EarlierLook {
  Digest digest;
  FileStat stat;
};

enum class Verdict : std::uint8_t {
  kFinished,
  kWriting,    // somebody can still write
  kRestless,   // it changed, or was replaced, while it was read: look again
  kTorn,       // nobody writes, and it is not whole
  kEmpty,      // nobody writes, and it is empty: perhaps its writer opens it once more
  kLookAgain,  // no lease: the same must be seen once more after a quiet time
};

struct ProofContext {
  std::optional<EarlierLook> earlier;  // only when nothing was heard of the path since
  bool empty_for_long = false;         // it was seen empty, and stayed so for limits::kEmptyQuiet
};

/// Before anything is copied.
[[nodiscard]] inline bool may_copy(LeaseState lease) {
  return lease == LeaseState::kHeld || lease == LeaseState::kUnsupported;
}

[[nodiscard]] Verdict judge(const Look& look, const ProofContext& context);

/// Whether two stats can belong to one unchanged file; `strict` also compares the change time, which chmod,
/// rename and link move too.
[[nodiscard]] bool same_file(const FileStat& a, const FileStat& b, bool strict);

}  // namespace moddev::watcher
