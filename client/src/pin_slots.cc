#include "client/src/pin_slots.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace moddev::pin_slots {

thread_local constinit Block* t_block = nullptr;
std::atomic<bool> g_asymmetric{false};

namespace {

std::atomic<Block*> g_blocks{nullptr};
std::atomic<std::size_t> g_block_numbers{0};
thread_local constinit bool t_exiting = false;

long membarrier(int command) {
  return ::syscall(SYS_membarrier, command, 0, 0);
}

Block* own_a_block() {
  for (Block* block = g_blocks.load(std::memory_order_acquire); block != nullptr; block = block->next) {
    bool owned = false;
    if (!block->owned.load(std::memory_order_relaxed) &&
        block->owned.compare_exchange_strong(owned, true, std::memory_order_acq_rel)) {
      return block;
    }
  }
  auto* block = new Block;
  block->number = g_block_numbers.fetch_add(1, std::memory_order_relaxed);
  block->next = g_blocks.load(std::memory_order_relaxed);
  while (!g_blocks.compare_exchange_weak(block->next, block, std::memory_order_acq_rel)) {
  }
  return block;
}

/// Gives a thread's blocks back when it ends. Slots may still be taken by pins that were moved to another
/// thread: the next owner sees them as taken until they are dropped.
struct ThreadExit {
  ~ThreadExit() {
    t_exiting = true;
    Block* const first = t_block;
    t_block = nullptr;
    if (first == nullptr) return;
    Block* block = first;
    do {
      Block* const next = block->next_of_thread;
      block->owned.store(false, std::memory_order_release);
      block = next;
    } while (block != first);
  }
  bool armed = false;
};
thread_local ThreadExit t_exit;

Slot* take_free_slot(Block& block) {
  for (Slot& slot : block.slots) {
    if (slot.load(std::memory_order_acquire) == kFree) {
      slot.store(kLoading, std::memory_order_relaxed);
      return &slot;
    }
  }
  return nullptr;
}

/// A block with at least one free slot, which belongs to this thread from now on.
Block* own_a_block_with_room() {
  Block* full = nullptr;
  for (;;) {
    Block* block = own_a_block();
    for (const Slot& slot : block->slots) {
      if (slot.load(std::memory_order_acquire) != kFree) continue;
      // Blocks that were full of moved pins go back; they were owned only to look further.
      while (full != nullptr) {
        Block* const next = full->next_of_thread;
        full->owned.store(false, std::memory_order_release);
        full = next;
      }
      return block;
    }
    block->next_of_thread = full;
    full = block;
  }
}

/// A pin from a thread_local destructor that runs after ours: the slot is taken and its block given back at
/// once, so that nothing is left to do when the thread is gone.
Slot* acquire_while_exiting() {
  Block* block = own_a_block_with_room();
  Slot* slot = take_free_slot(*block);
  block->owned.store(false, std::memory_order_release);
  return slot;
}

}  // namespace

Slot* acquire_slow() {
  if (t_exiting) return acquire_while_exiting();
  t_exit.armed = true;  // makes the compiler register its destructor for this thread
  Block* const current = t_block;
  if (current != nullptr) {
    Block* block = current->next_of_thread;
    for (std::size_t i = 0; i < kBlocksLookedThrough && block != current;
         ++i, block = block->next_of_thread) {
      if (Slot* slot = take_free_slot(*block)) {
        t_block = block;
        return slot;
      }
    }
  }
  Block* fresh = own_a_block_with_room();
  Slot* slot = take_free_slot(*fresh);
  if (current == nullptr) {
    fresh->next_of_thread = fresh;
  } else {
    fresh->next_of_thread = current->next_of_thread;
    current->next_of_thread = fresh;
  }
  t_block = fresh;
  return slot;
}

Block* all_blocks() {
  return g_blocks.load(std::memory_order_acquire);
}

std::size_t block_count() {
  std::size_t count = 0;
  for (const Block* block = all_blocks(); block != nullptr; block = block->next) ++count;
  return count;
}

void initialise(bool allow) {
  static std::once_flag once;
  std::call_once(once, [allow] {
    const bool registered =
        kMayUseMembarrier && allow && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
    g_asymmetric.store(registered, std::memory_order_seq_cst);
  });
}

bool barrier() {
  if (!g_asymmetric.load(std::memory_order_relaxed)) return true;
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0) return true;
  // A child of fork() is not registered (membarrier(2) leaves it open).
  return errno == EPERM && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0 &&
         membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

}  // namespace moddev::pin_slots
