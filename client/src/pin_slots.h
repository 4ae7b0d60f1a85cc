// The words in which threads write down what they hold, and the barrier that makes them visible. Shared by
// all view stores of the process: a slot holds the address of a view, whichever store it belongs to, and
// beside it is what runs under the pin that has the slot. Knows nothing of views; what a slot's value means
// for a view is decided in view_store.cc.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "client/src/runs.h"

namespace moddev::pin_slots {

using Slot = std::atomic<std::uintptr_t>;

/// The values of a slot that are not the address of a view.
inline constexpr std::uintptr_t kFree = 0;
inline constexpr std::uintptr_t kLoading = 1;

/// Pins that one thread holds at the same time before it needs a further block: one cache line.
inline constexpr std::size_t kSlotsPerBlock = 7;
/// Full blocks that a pin looks through before a new one is made: keeps pin() bounded for a thread that holds
/// thousands.
inline constexpr std::size_t kBlocksLookedThrough = 8;

/// One cache line per block, so that threads do not share any. The slots come first: see block_of().
struct alignas(64) Block {
  Slot slots[kSlotsPerBlock] = {};
  Block* next_of_thread = nullptr;  // circular; only the owning thread follows it
  // A second line, which the fast path does not touch.
  alignas(64) std::atomic<bool> owned{true};
  Block* next = nullptr;          // all blocks of the process; written once, before the block is published
  std::size_t number = 0;         // the same
  OpenRuns runs[kSlotsPerBlock];  // of the pins that have the slots
};

/// The block that a slot is in: blocks are aligned to the cache line that their slots begin.
[[nodiscard]] inline Block& block_of(Slot* slot) {
  return *reinterpret_cast<Block*>(reinterpret_cast<std::uintptr_t>(slot) & ~(alignof(Block) - 1));
}
/// What runs under the pin that has the slot.
[[nodiscard]] inline OpenRuns& runs_of(Slot* slot) {
  Block& block = block_of(slot);
  return block.runs[slot - block.slots];
}

/// Where the calling thread looks first. Null before its first pin and while it exits.
extern thread_local constinit Block* t_block;

/// A free slot that already holds kLoading, when the block that the fast path looks at has none.
Slot* acquire_slow();

/// The newest block; follow Block::next. Blocks are never freed.
[[nodiscard]] Block* all_blocks();

/// Blocks that exist: bounded by the most pins and threads that there were at one time.
[[nodiscard]] std::size_t block_count();

#if defined(__SANITIZE_THREAD__)
/// ThreadSanitizer cannot see membarrier(2): sequentially consistent accesses on both sides instead.
inline constexpr bool kMayUseMembarrier = false;
#else
inline constexpr bool kMayUseMembarrier = true;
#endif

/// Whether pins may use plain stores because the other side calls barrier(). Set once, before the first pin.
extern std::atomic<bool> g_asymmetric;

/// Registers with membarrier(2) once. `allow` = false forces the symmetric way (only before the first pin).
void initialise(bool allow = true);

/// Makes every running thread pass a full barrier. False when the kernel refused: then nothing may be
/// concluded from slots. In the symmetric way: true, without doing anything.
[[nodiscard]] bool barrier();

/// pin()'s first half: a slot of this thread that says "about to load".
inline Slot* acquire() {
  Block* block = t_block;
  if (block != nullptr) [[likely]] {
    for (Slot& slot : block->slots) {
      // Acquire: pairs with the release of another thread that dropped a moved pin.
      if (slot.load(std::memory_order_acquire) == kFree) {
        slot.store(kLoading, std::memory_order_relaxed);
        return &slot;
      }
    }
  }
  return acquire_slow();
}

}  // namespace moddev::pin_slots
