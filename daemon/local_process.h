// Whether an executor that fell silent is still a process of this machine: stopped or stuck is not dead. The
// only thing that the daemon asks the system about executors.
#pragma once

#include <string>

#include "protocol/messages.h"

namespace moddev::daemon {

/// This machine's name, as executors tell it: gethostname(2). Empty when it has none.
[[nodiscard]] std::string this_host();

/// False also for executors of other machines, of which nothing is known.
[[nodiscard]] bool is_running_here(const ExecutorIdentity& executor);

}  // namespace moddev::daemon
