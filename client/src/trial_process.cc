#include "client/src/trial_process.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <typeinfo>

#include "protocol/clock.h"
#include "protocol/text.h"

namespace moddev {
namespace {

constexpr std::int64_t kCancelLookMs = 20;
constexpr int kHighestSignal = 64;

/// What a child tells its keeper, in memory that both have.
struct Notes {
  enum Stage : int { kMade, kLoading, kClosing, kDone };
  std::atomic<int> stage{kMade};
  std::atomic<std::size_t> image{0};
  std::atomic<bool> threw{false};
  std::atomic<bool> exited{false};  // by exit() or quick_exit()
  std::array<char, kTrialTextBytes> text{};
};
static_assert(std::atomic<std::size_t>::is_always_lock_free, "the notes are shared between processes");

struct Child {
  pid_t pid = -1;
  int descriptor = -1;  // pidfd
};

struct Trial {
  std::span<const TrialImage> images;
  std::int64_t patience_ms = 0;
  const std::atomic<bool>* cancelled = nullptr;
  Notes* notes = nullptr;  // of each child
  pid_t process = -1;      // ours
  TrialEnd end;
};

// ------------------------------------------------------------------------------------------------- the child

/// Of this child, for handlers that are given nothing.
Notes* g_notes = nullptr;

/// Ends the process and nothing else: no handlers, no destructors, no buffers that are the parent's, too.
[[noreturn]] void leave() {
  for (;;) ::syscall(SYS_exit_group, 0);
}

void note_text(std::string_view text) {
  const std::size_t size = std::min(text.size(), g_notes->text.size() - 1);
  std::memcpy(g_notes->text.data(), text.data(), size);
  g_notes->text[size] = '\0';
}

[[noreturn]] void note_exception() {
  std::string type;
  if (const std::type_info* thrown = abi::__cxa_current_exception_type()) type = demangle(thrown->name());
  try {
    throw;
  } catch (const std::exception& error) {
    note_text(std::string(error.what()) + (type.empty() ? "" : " (" + type + ")"));
  } catch (...) {
    note_text(type.empty() ? "something that is no std::exception" : "an object of type " + type);
  }
  g_notes->threw = true;
  leave();
}

[[noreturn]] void on_terminate() {
  if (std::current_exception()) note_exception();
  ::abort();
}

void on_exit_called() {
  g_notes->exited = true;
  leave();
}

/// Signal dispositions as in a new process; those that are ignored stay so, as after execve(2). Not through
/// sigaction(3), which sanitizers keep books of.
void forget_signal_handlers() {
  struct KernelAction {
    std::uintptr_t handler = 0;
    unsigned long flags = 0;
    void (*restorer)() = nullptr;
    std::uint64_t mask = 0;
  };
  for (int number = 1; number <= kHighestSignal; ++number) {
    KernelAction before;
    const KernelAction usual;
    if (::syscall(SYS_rt_sigaction, number, nullptr, &before, sizeof before.mask) != 0) continue;
    if (before.handler == reinterpret_cast<std::uintptr_t>(SIG_IGN) && number != SIGCHLD) continue;
    ::syscall(SYS_rt_sigaction, number, &usual, nullptr, sizeof usual.mask);
  }
}

void become_a_stranger(pid_t keeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) leave();
  // A session of its own: whatever the initialisers start can be ended together.
  ::setsid();
  forget_signal_handlers();
  // 1 is the value that keeps core files from being written and from being piped to a program: core(5).
  const rlimit no_core{1, 1};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int nothing = ::open("/dev/null", O_RDWR);
  for (const int standard : {0, 1, 2}) ::dup2(nothing, standard);
  if (nothing > 2) ::close(nothing);
  std::set_terminate(on_terminate);
  // The last to be registered is the first to be called: nothing of the parent's runs here.
  (void)std::atexit(on_exit_called);
  (void)std::at_quick_exit(on_exit_called);
}

[[noreturn]] void run_child(const Trial& trial, Notes& notes, pid_t keeper) {
  g_notes = &notes;
  become_a_stranger(keeper);
  try {
    std::vector<void*> handles(trial.images.size());
    for (std::size_t i = 0; i < trial.images.size(); ++i) {
      notes.image = i;
      notes.stage = Notes::kLoading;
      handles[i] = ::dlopen(trial.images[i].path.c_str(), RTLD_NOW | RTLD_LOCAL);
    }
    for (std::size_t i = trial.images.size(); i-- > 0;) {
      if (handles[i] == nullptr || !trial.images[i].close) continue;
      notes.image = i;
      notes.stage = Notes::kClosing;
      ::dlclose(handles[i]);
    }
  } catch (...) {
    note_exception();
  }
  notes.stage = Notes::kDone;
  leave();
}

// ------------------------------------------------------------------------------------------------ the keeper

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SystemClock().now().time_since_epoch())
      .count();
}

bool make_child(const Trial& trial, std::size_t number, std::array<Child, kTrialChildren>& children) {
  const pid_t keeper = static_cast<pid_t>(::syscall(SYS_getpid));
  Child& child = children[number];
  child.pid = ::fork();
  if (child.pid == 0) run_child(trial, trial.notes[number], keeper);
  if (child.pid < 0) return false;
  child.descriptor = static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0));
  return child.descriptor >= 0;
}

/// The end of a child that has ended.
TrialEnd read_end(const Notes& notes, int status) {
  TrialEnd end;
  end.image = notes.image;
  end.closing = notes.stage == Notes::kClosing;
  if (notes.threw) {
    end.kind = TrialEnd::Kind::kThrew;
    end.text = notes.text.data();
  } else if (WIFSIGNALED(status)) {
    end.kind = notes.stage == Notes::kMade ? TrialEnd::Kind::kNotTried : TrialEnd::Kind::kSignal;
    end.number = WTERMSIG(status);
  } else if (notes.stage == Notes::kDone) {
    end.kind = TrialEnd::Kind::kPassed;
  } else {
    end.kind = TrialEnd::Kind::kExit;
    if (!notes.exited) end.number = WEXITSTATUS(status);
  }
  return end;
}

/// What is said when no child has ended: the one that came farthest has it.
TrialEnd nobody_ended(const Trial& trial, std::size_t children) {
  TrialEnd end;
  for (std::size_t i = 0; i < children; ++i) {
    const Notes& notes = trial.notes[i];
    if (notes.stage == Notes::kMade) continue;
    if (end.kind == TrialEnd::Kind::kHung && notes.image < end.image) continue;
    end.kind = TrialEnd::Kind::kHung;
    end.image = notes.image;
    end.closing = notes.stage == Notes::kClosing;
  }
  return end;
}

/// Makes children, one after the other as long as none ends, and waits for the first that does.
TrialEnd wait_for_children(const Trial& trial, std::array<Child, kTrialChildren>& children) {
  const std::int64_t begin = now_ms();
  std::size_t made = 0;
  while (!trial.cancelled->load()) {
    const std::int64_t passed = now_ms() - begin;
    if (passed >= trial.patience_ms) return nobody_ended(trial, made);
    const auto due = static_cast<std::int64_t>(made) * kNextTrialChild.count();
    if (made < kTrialChildren && passed >= due) {
      if (make_child(trial, made, children)) {
        ++made;
      } else if (made == 0) {
        return {};
      }
    }
    std::array<pollfd, kTrialChildren> waiting{};
    for (std::size_t i = 0; i < made; ++i) waiting[i] = {children[i].descriptor, POLLIN, 0};
    const std::int64_t left = std::min(trial.patience_ms - passed, kCancelLookMs);
    if (::poll(waiting.data(), made, static_cast<int>(left)) <= 0) continue;
    for (std::size_t i = 0; i < made; ++i) {
      if (waiting[i].revents == 0) continue;
      int status = 0;
      if (::waitpid(children[i].pid, &status, 0) != children[i].pid) return {};
      ::kill(-children[i].pid, SIGKILL);  // what it may have started
      children[i].pid = -1;
      return read_end(trial.notes[i], status);
    }
  }
  return {};
}

int run_keeper(void* argument) {
  Trial& trial = *static_cast<Trial*>(argument);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != trial.process) return 0;
  // Who ignores it has no children to wait for: waitpid(2).
  forget_signal_handlers();
  std::array<Child, kTrialChildren> children;
  trial.end = wait_for_children(trial, children);
  for (const Child& child : children) {
    if (child.pid > 0) {
      ::kill(-child.pid, SIGKILL);
      ::kill(child.pid, SIGKILL);  // before it had its session
      ::waitpid(child.pid, nullptr, 0);
    }
  }
  return 0;  // descriptors go with the process
}

}  // namespace

TrialEnd run_trial(std::span<const TrialImage> images, std::chrono::milliseconds patience,
                   const std::atomic<bool>& cancelled) {
  void* const stack = ::mmap(nullptr, kTrialStackBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  void* const notes = ::mmap(nullptr, sizeof(Notes) * kTrialChildren, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Trial trial;
  if (stack != MAP_FAILED && notes != MAP_FAILED) {
    trial.images = images;
    trial.patience_ms = patience.count();
    trial.cancelled = &cancelled;
    trial.notes = new (notes) Notes[kTrialChildren];
    trial.process = ::getpid();
    const pid_t keeper =
        ::clone(run_keeper, static_cast<char*>(stack) + kTrialStackBytes, CLONE_VM | CLONE_VFORK, &trial);
    if (keeper > 0) {
      int status = 0;
      while (::waitpid(keeper, &status, __WALL) < 0 && errno == EINTR) {
      }
    }
  }
  if (stack != MAP_FAILED) ::munmap(stack, kTrialStackBytes);
  if (notes != MAP_FAILED) ::munmap(notes, sizeof(Notes) * kTrialChildren);
  return trial.end;
}

}  // namespace moddev
