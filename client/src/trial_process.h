// Loads images in a child process and watches how that ends: whatever their initialisers do, this process
// goes on. It knows paths, not modules, and remembers nothing; trials.h does.
//
// The child has to be a copy of this process (its symbols, its state, what is loaded already), made by fork()
// so that locks of the allocator are in order; and nobody but us may notice it: a program that waits for
// children of its own, or handles SIGCHLD, must not meet ours. So there are two:
//
//   this thread --clone(VM, VFORK, no exit signal)--> keeper --fork()--> child
//
// The keeper is a process in the same memory, in the place of the calling thread, which the kernel holds up
// until the keeper has ended (clone(2), CLONE_VFORK). It is the parent of the children, so their SIGCHLD is
// its alone; its own end raises no signal and is seen by no wait() without __WALL or __WCLONE. Signals that
// the calling thread has blocked stay so. Children and keeper die with the thread (PR_SET_PDEATHSIG).
//
// In the child only the calling thread lives. glibc's fork() brings glibc's own locks in order there (of the
// allocator, of streams, of the dynamic loader); another thread may have held one of the program's when it
// was made, which nobody will release: a child that takes long is joined by another one, made at another
// moment, and the first that ends decides.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace moddev {

/// Children of one trial, and when each of the further ones is made, after the first.
inline constexpr std::size_t kTrialChildren = 3;
inline constexpr auto kNextTrialChild = std::chrono::milliseconds(700);
/// What a child may say of an exception; more is cut.
inline constexpr std::size_t kTrialTextBytes = 512;
/// The stack that initialisers have there, as that of any thread.
inline constexpr std::size_t kTrialStackBytes = 8UL * 1024 * 1024;

struct TrialImage {
  std::string path;
  /// Unload it, too, after all are loaded: its destructors run.
  bool close = true;
};

struct TrialEnd {
  enum class Kind {
    kPassed,
    kNotTried,  // no process could be made, or no child got as far as to begin
    kThrew,     // an exception left an initialiser; `text` is what it said
    kSignal,    // `number`
    kExit,      // `number`: the code, if it is known (exit() and quick_exit() do not tell), else -1
    kHung,      // nothing came within the patience
  };
  Kind kind = Kind::kNotTried;
  /// Which of the images, and whether it was being unloaded.
  std::size_t image = 0;
  bool closing = false;
  int number = -1;
  std::string text;
};

/// Loads `images` in this order, then unloads them in the opposite one, in a child process. An image that
/// cannot be loaded is passed over: the dynamic loader's reason is had by loading it here. Blocks at most
/// `patience` and a moment; `cancelled` ends it sooner, as kNotTried. Of the calling thread, all signals
/// should be blocked.
[[nodiscard]] TrialEnd run_trial(std::span<const TrialImage> images, std::chrono::milliseconds patience,
                                 const std::atomic<bool>& cancelled);

}  // namespace moddev
