// The Processes seam: how the supervisor starts, asks, signals and reaps its workers. Pull-based and
// non-blocking. Implementations: posix_processes (fork and exec, pidfds, notify sockets), and
// tests/support/jobs/fake_processes. It does not decide when a worker starts or ends, nor how long one may
// take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev::supervisor {

/// Names one process for ever; pids come again.
using ProcessId = std::uint64_t;

struct StartedProcess {
  ProcessId id = 0;
  std::int64_t pid = 0;
};

struct ExitStatus {
  int code = 0;    // when signal is 0
  int signal = 0;  // that ended it
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};
/// "exit code 3", "signal 11 (Segmentation fault)".
[[nodiscard]] std::string describe(const ExitStatus& status);

struct ProcessEvent {
  enum class Kind : std::uint8_t {
    kReady,     // it serves; told once
    kStopping,  // it is about to end, by its own decision
    kExited,    // it is gone, reaped, and so is its process group; the last event of its id
  };
  ProcessId id = 0;
  Kind kind = Kind::kReady;
  ExitStatus exit;
};

enum class ProcessSignal : std::uint8_t {
  kTerminate,  // to the process itself: end in good order
  kKill,       // to its whole process group
};

class Processes {
 public:
  virtual ~Processes() = default;
  /// Starts the command for `worker`, in a process group of its own. Errors: kIo, kNotFound, kPermission (the
  /// command cannot be executed).
  virtual Result<StartedProcess> spawn(unsigned worker) = 0;
  /// Finds out whether it is ready, as far as that needs asking; the answer comes from poll().
  virtual void ask_ready(ProcessId id, TimePoint now) = 0;
  /// Nothing happens when it is gone.
  virtual void signal(ProcessId id, ProcessSignal signal) = 0;
  virtual std::optional<ProcessEvent> poll() = 0;
  /// The process that this pid is, or to whose process group it belongs.
  [[nodiscard]] virtual std::optional<ProcessId> owner_of(std::int64_t pid) const = 0;
  /// Readable when poll() may have something. They change with spawn() and poll().
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
};

}  // namespace moddev::supervisor
