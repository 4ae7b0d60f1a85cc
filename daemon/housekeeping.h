// What the daemon does when there is time: bring the journal on the disk, forget old epochs, remove blobs
// that nothing needs. In small pieces, and never while anything is under way. How much is kept is
// retention.h's.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "daemon/catalog.h"
#include "daemon/fleet.h"
#include "daemon/journal.h"
#include "daemon/retention.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"

namespace moddev::daemon {

class Housekeeping {
 public:
  /// The references must outlive it.
  Housekeeping(RetentionOptions options, Journal& journal, BlobStore& blobs, const Catalog& catalog,
               const Fleet& fleet);

  /// Something was changed, announced or decided. What was about to be removed may be needed again.
  void disturb(TimePoint now);
  /// One piece of work. `calm`: nothing is under way, and every byte that was put into the store is in the
  /// catalog or was recorded. Returns when to call again; kNever: not before the next disturb().
  TimePoint step(TimePoint now, bool calm);
  /// The first thing that went wrong since the last call, and what it keeps from being done.
  [[nodiscard]] std::optional<Error> take_problem();

 private:
  Status look(TimePoint now);
  void remove_some();

  RetentionOptions options_;
  Journal& journal_;
  BlobStore& blobs_;
  const Catalog& catalog_;
  const Fleet& fleet_;
  TimePoint quiet_at_ = TimePoint::min();
  bool disturbed_ = true;
  /// The head at the last look; nothing: not looked yet in this run.
  std::optional<Epoch> looked_at_;
  std::vector<Digest> doomed_;
  std::optional<Error> problem_;
  bool told_ = false;
};

}  // namespace moddev::daemon
