// The current view of one client, and who holds which view. This is the hot path of every call into a module.
//
// Each thread has slots, each one word. pin(): write "about to load" into a free slot of this thread, load
// the current view, write the view into the slot. unpin: write null. Replacing the view is one store; the
// replacer then makes all threads pass a barrier (membarrier(2), PRIVATE_EXPEDITED), so that a pin which
// began later sees the new view, and one that began before is visible in its slot. A view is drained when no
// slot holds it and no slot was "about to load" at the barrier. Where membarrier is missing, and under
// ThreadSanitizer (which cannot see it), pin() uses sequentially consistent stores. A thread that needs more
// slots than it has gets further blocks; blocks are never freed, only reused.
#pragma once

#include <moddev/view.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "client/src/view.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev {

class ViewStore {
 public:
  ViewStore();
  /// No pin may be left.
  ~ViewStore();
  ViewStore(const ViewStore&) = delete;
  ViewStore& operator=(const ViewStore&) = delete;

  /// Any thread, wait-free. Empty pin before the first publish().
  [[nodiscard]] Pin pin() const;

  // The rest is for one owner thread at a time.

  /// Makes `view` current. The former one is kept until collect() finds it drained.
  void publish(std::shared_ptr<const View> view, TimePoint now);
  /// The current view, or null.
  [[nodiscard]] std::shared_ptr<const View> current() const;
  /// The current view, and former ones that were not given back yet.
  [[nodiscard]] std::vector<std::shared_ptr<const View>> all() const;
  /// Puts a view that was never current among the former ones.
  void keep(std::shared_ptr<const View> view, TimePoint now);
  /// Holds the view of `epoch`, the current one or a former one that was not given back yet; empty when there
  /// is none. Views with a smaller serial than `first_serial` do not count. Only the owner may: it is also
  /// the one who gives former views back.
  [[nodiscard]] Pin pin_epoch(Epoch epoch, std::uint64_t first_serial) const;
  /// Views that no pin holds any more, given back exactly once, for Loader::retire().
  [[nodiscard]] std::vector<std::shared_ptr<const View>> collect();
  /// Former views that are still held, oldest first: epoch, time since it was replaced, number of pins.
  [[nodiscard]] std::vector<PinReport> held(TimePoint now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev
