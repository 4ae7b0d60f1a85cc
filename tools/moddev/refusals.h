// Why executors refused an epoch, for a person: those that said the same of the same module are one line.
// Pure.
#pragma once

#include <string>
#include <vector>

#include "protocol/messages.h"

namespace moddev::tools {

struct Refusal {
  std::vector<std::string> executors;
  std::string module;  // empty: none in particular
  std::string error;
};

/// In the order of the first of each.
[[nodiscard]] std::vector<Refusal> grouped(const std::vector<ExecutorFailure>& failures);

/// "worker-1", "worker-1, worker-2, worker-3 and 9 more", by name; "worker (12 times)" for several of one
/// name.
[[nodiscard]] std::string who(const Refusal& refusal);

/// "worker-1 and worker-2: scorer: undefined symbol: score(). worker-3: ...", at most four of them; empty
/// without failures. Ends with a full stop.
[[nodiscard]] std::string refusals_text(const HistoryEntry& refused);

}  // namespace moddev::tools
