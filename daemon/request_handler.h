// What is answered to each request. Dispatch over values: no sockets, no waiting. It changes nothing but the
// fleet's membership and the lists of what was applied and run; refreshes and builds, which are answered
// later, are the daemon's.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "daemon/encoded_blobs.h"
#include "daemon/fleet.h"
#include "daemon/journal.h"
#include "daemon/restoration.h"
#include "daemon/runs.h"
#include "daemon/signing.h"
#include "protocol/blob_store.h"
#include "protocol/messages.h"

namespace moddev::daemon {

/// What the answers are made of. The references must outlive the handler.
struct Serving {
  Journal& journal;
  BlobStore& blobs;
  Fleet& fleet;
  std::string directory;
  std::string software;
  std::int64_t pid = 0;
  std::string endpoint;
  std::string events_endpoint;
  std::string backend;
  /// The seq of the last event that was sent.
  std::uint64_t seq = 0;
  /// The announcement that is being prepared, without inline bytes.
  std::optional<AnnounceEvent> pending;
  /// To be written to the journal when there is time; at most limits::kWaitingAppliedRecords.
  std::deque<AppliedRecord> applied{};
  /// An executor runs an epoch that was aborted, as a canary: a newer one has to bring it back.
  bool somebody_is_ahead = false;
  /// Null: everything is sent as it is.
  EncodedBlobs* encoded = nullptr;
  /// Null: what the store lost is lost.
  Restoration* restoration = nullptr;
  /// Null: nothing is signed.
  Signing* signing = nullptr;
  /// To be written to the journal when there is time.
  RunLedger runs{};
  /// What was handed on to connections.
  TransferReport sent{};
};

/// The answer, or nothing for a refresh and a build.
[[nodiscard]] std::optional<ReplyBody> answer(const RequestBody& request, Serving& serving, TimePoint now,
                                              WallTime wall);

/// Adds what a reply that has left carried of modules' bytes.
void count_sent(const ReplyBody& reply, TransferReport& sent);

}  // namespace moddev::daemon
