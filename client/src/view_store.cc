// How pin() and collect() agree, in the asymmetric way. P1: slot = kLoading. P2: v = current. P3: slot = v.
// Collector, C1: current = new (publish). C2: barrier. C3: read all slots. If P2 read the old view, P2 came
// before C1; then the barrier C2 hits that thread after P1 (a barrier before P1 would have made P2 see C1),
// so C3 sees kLoading or what followed it: the old view, or a later value because the pin was dropped. So a
// view is drained when, after one barrier, no slot holds it and no slot says kLoading. In the symmetric way
// P1, P2, C1 and C3 are sequentially consistent, which gives the same by their single order.
#include "client/src/view_store.h"

#include <algorithm>
#include <atomic>
#include <deque>

#include "client/src/pin_slots.h"

namespace moddev {

namespace {

using pin_slots::Block;
using pin_slots::Slot;

/// A slot in this state changes within a few instructions, unless its thread was preempted right there.
constexpr int kLoadingReads = 64;

std::uintptr_t word_of(const View* view) {
  return reinterpret_cast<std::uintptr_t>(view);
}

/// What a slot holds, waiting a moment for one that is about to load.
std::uintptr_t read_slot(const Slot& slot) {
  std::uintptr_t held = slot.load(std::memory_order_seq_cst);
  for (int i = 0; i < kLoadingReads && held == pin_slots::kLoading; ++i) {
    held = slot.load(std::memory_order_seq_cst);
  }
  return held;
}

struct Former {
  std::shared_ptr<const View> view;
  TimePoint since;         // when it was replaced
  bool fenced = false;     // a barrier was passed since then
  std::uint64_t pins = 0;  // at the last look
};

}  // namespace

struct ViewStore::State {
  std::atomic<const View*> current{nullptr};
  alignas(64) std::shared_ptr<const View> owner_of_current;
  std::deque<Former> former;  // oldest first

  /// Counts who holds the former views. Returns whether any slot was about to load.
  bool count_pins() {
    for (Former& one : former) one.pins = 0;
    bool loading = false;
    for (const Block* block = pin_slots::all_blocks(); block != nullptr; block = block->next) {
      for (const Slot& slot : block->slots) {
        const std::uintptr_t held = read_slot(slot);
        if (held == pin_slots::kFree) continue;
        if (held == pin_slots::kLoading) {
          loading = true;
          continue;
        }
        for (Former& one : former) {
          if (word_of(one.view.get()) == held) ++one.pins;
        }
      }
    }
    return loading;
  }
};

ViewStore::ViewStore() : state_(std::make_unique<State>()) {
  pin_slots::initialise();
}

ViewStore::~ViewStore() {
  publish(nullptr, TimePoint{});
  (void)pin_slots::barrier();
  state_->count_pins();
  for (const Former& one : state_->former) {
    MODDEV_ASSERT(one.pins == 0,
                  "a Pin outlives its Client: drop all pins first, they hold code that is unloaded now");
  }
}

Pin ViewStore::pin() const {
  Slot* const slot = pin_slots::acquire();
  const View* view = nullptr;
  if (pin_slots::kMayUseMembarrier && pin_slots::g_asymmetric.load(std::memory_order_relaxed)) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    view = state_->current.load(std::memory_order_acquire);
    slot->store(word_of(view), std::memory_order_release);
  } else {
    slot->store(pin_slots::kLoading, std::memory_order_seq_cst);
    view = state_->current.load(std::memory_order_seq_cst);
    slot->store(word_of(view), std::memory_order_release);
  }
  // Without a view the word is kFree: nothing is held.
  if (view == nullptr) return {};
  return {view, slot};
}

void ViewStore::publish(std::shared_ptr<const View> view, TimePoint now) {
  state_->current.store(view.get(), std::memory_order_seq_cst);
  std::swap(state_->owner_of_current, view);
  if (view != nullptr && view != state_->owner_of_current) state_->former.push_back({std::move(view), now});
}

void ViewStore::keep(std::shared_ptr<const View> view, TimePoint now) {
  state_->former.push_back({std::move(view), now});
}

Pin ViewStore::pin_epoch(Epoch epoch, std::uint64_t first_serial) const {
  const auto is_it = [&](const View* view) {
    return view != nullptr && view->epoch() == epoch && view->serial() >= first_serial;
  };
  const View* found = is_it(state_->owner_of_current.get()) ? state_->owner_of_current.get() : nullptr;
  for (auto one = state_->former.rbegin(); found == nullptr && one != state_->former.rend(); ++one) {
    if (is_it(one->view.get())) found = one->view.get();
  }
  if (found == nullptr) return {};
  Slot* const slot = pin_slots::acquire();
  slot->store(word_of(found), std::memory_order_release);
  return {found, slot};
}

std::shared_ptr<const View> ViewStore::current() const {
  return state_->owner_of_current;
}

std::vector<std::shared_ptr<const View>> ViewStore::all() const {
  std::vector<std::shared_ptr<const View>> views;
  if (state_->owner_of_current != nullptr) views.push_back(state_->owner_of_current);
  for (const Former& one : state_->former) views.push_back(one.view);
  return views;
}

std::vector<std::shared_ptr<const View>> ViewStore::collect() {
  std::vector<std::shared_ptr<const View>> drained;
  auto& former = state_->former;
  if (former.empty()) return drained;
  if (!former.back().fenced) {
    if (!pin_slots::barrier()) return drained;
    for (Former& one : former) one.fenced = true;
  }
  if (state_->count_pins()) return drained;
  for (Former& one : former) {
    if (one.pins == 0) drained.push_back(std::move(one.view));
  }
  std::erase_if(former, [](const Former& one) { return one.view == nullptr; });
  return drained;
}

std::vector<PinReport> ViewStore::held(TimePoint now) const {
  std::vector<PinReport> reports;
  if (state_->former.empty()) return reports;
  state_->count_pins();
  for (const Former& one : state_->former) {
    if (one.pins == 0) continue;
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - one.since);
    reports.push_back({one.view->epoch(), age.count(), one.pins});
  }
  return reports;
}

}  // namespace moddev
