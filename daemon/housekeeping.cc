#include "daemon/housekeeping.h"

#include <set>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {

Housekeeping::Housekeeping(RetentionOptions options, Journal& journal, BlobStore& blobs,
                           const Catalog& catalog, const Fleet& fleet)
    : options_(options), journal_(journal), blobs_(blobs), catalog_(catalog), fleet_(fleet) {}

void Housekeeping::disturb(TimePoint now) {
  quiet_at_ = now + limits::kQuietBeforeTidying;
  disturbed_ = true;
  doomed_.clear();
}

TimePoint Housekeeping::step(TimePoint now, bool calm) {
  if (!disturbed_ && doomed_.empty()) return kNever;
  if (!calm) {
    disturb(now);
    return quiet_at_;
  }
  if (now < quiet_at_) return quiet_at_;
  if (!doomed_.empty()) {
    remove_some();
    return doomed_.empty() ? kNever : now;
  }
  disturbed_ = false;
  Status done = journal_.tidy();
  if (done && (!looked_at_ || journal_.head() - *looked_at_ >= limits::kEpochsBetweenLooks)) done = look(now);
  if (!done && !std::exchange(told_, true)) problem_ = done.error();
  if (done) told_ = false;
  return doomed_.empty() ? kNever : now;
}

/// Forgets what is over the limits, then finds the blobs that nothing names any more: of forgotten epochs,
/// and of content that was never announced.
Status Housekeeping::look(TimePoint now) {
  looked_at_ = journal_.head();
  auto history = journal_.retained();
  if (!history) return history.error();
  if (const Epoch until = forget_until(options_, std::move(*history)); until > journal_.forgotten()) {
    std::set<Epoch> pinned;
    for (const ExecutorStatus& executor : fleet_.status(journal_.committed().epoch, now)) {
      pinned.insert(executor.epoch);
      for (const PinReport& pin : executor.pins) pinned.insert(pin.epoch);
    }
    MODDEV_TRY(journal_.forget(until, pinned));
  }
  if (!options_.own_blobs) return {};
  auto referenced = journal_.referenced();
  if (!referenced) return referenced.error();
  std::set<Digest> needed;
  catalog_.add_digests(needed);
  auto there = blobs_.list();
  if (!there) return there.error();
  for (const Digest& digest : *there) {
    if (!referenced->contains(digest) && !needed.contains(digest)) doomed_.push_back(digest);
  }
  return {};
}

void Housekeeping::remove_some() {
  for (std::size_t n = 0; n < limits::kRemovalsPerStep && !doomed_.empty(); ++n) {
    // One that cannot be removed is found again by the next look.
    static_cast<void>(blobs_.remove(doomed_.back()));
    doomed_.pop_back();
  }
}

std::optional<Error> Housekeeping::take_problem() {
  return std::exchange(problem_, std::nullopt);
}

}  // namespace moddev::daemon
