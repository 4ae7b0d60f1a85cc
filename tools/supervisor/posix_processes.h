// The Processes seam on Linux: fork and exec, a pidfd for every process, a notify socket for every worker,
// and the two probes for servers that do not speak sd_notify. One epoll descriptor stands for all of them.
//
// A worker gets a process group of its own (Ctrl-C in the terminal is the supervisor's to pass on), /dev/null
// as input, MODDEV_WORKER, NOTIFY_SOCKET, and with listeners LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)). It
// is told SIGTERM when the supervisor dies. What is left of its group when it ends is killed.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "tools/supervisor/listening.h"
#include "tools/supervisor/processes.h"

namespace moddev::supervisor {

struct CommandOptions {
  /// The program and its arguments; found through PATH.
  std::vector<std::string> command;
  /// "NAME=VALUE", beside what the supervisor itself has.
  std::vector<std::string> environment;
  /// Ready when the worker itself listens there.
  std::optional<ListenAddress> ready_tcp;
  /// Ready when this shell command ends with 0; it has the worker's environment and MODDEV_WORKER_PID.
  std::string ready_command;
  /// Listening sockets to pass on; not owned, but used for as long as workers are started.
  std::vector<int> listeners;
  /// What workers print goes to our standard error: standard output is ours alone (--json).
  bool output_to_stderr = false;
};

class PosixProcesses final : public Processes {
 public:
  /// Makes a private directory for the notify sockets. Errors: kIo.
  static Result<std::unique_ptr<PosixProcesses>> create(CommandOptions options);
  /// Kills what is left.
  ~PosixProcesses() override;

  Result<StartedProcess> spawn(unsigned worker) override;
  void ask_ready(ProcessId id, TimePoint now) override;
  void signal(ProcessId id, ProcessSignal signal) override;
  std::optional<ProcessEvent> poll() override;
  [[nodiscard]] std::optional<ProcessId> owner_of(std::int64_t pid) const override;
  [[nodiscard]] std::vector<int> descriptors() const override;

 private:
  struct State;
  explicit PosixProcesses(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Opens a listening TCP socket that workers share (SO_REUSEADDR). Errors: kInvalidArgument, kIo, kConflict.
[[nodiscard]] Result<int> listen_at(const ListenAddress& address);

}  // namespace moddev::supervisor
