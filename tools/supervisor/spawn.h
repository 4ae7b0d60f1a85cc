// One fork and exec, with everything that must be right between the two. Knows nothing of workers.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "protocol/descriptor.h"
#include "protocol/result.h"

namespace moddev::supervisor {

struct SpawnPlan {
  std::vector<std::string> arguments;
  /// The whole environment. LISTEN_PID is added in the child when there are listeners.
  std::vector<std::string> environment;
  /// Become 3, 4, ... in the child.
  std::vector<int> listeners;
  bool output_to_stderr = false;
  bool silent = false;  // no output at all
};

struct Spawned {
  pid_t pid = 0;
  Descriptor pidfd;
};

/// Returns when the new program runs, or could not be executed. Errors: kNotFound, kPermission, kIo.
[[nodiscard]] Result<Spawned> spawn(const SpawnPlan& plan);

}  // namespace moddev::supervisor
