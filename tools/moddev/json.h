// The JSON that scripts depend on: one object a line, stable keys in a stable order. Pure: values in, one
// line of text out. The keys are fixed; tests compare whole lines.
#pragma once

#include <moddev/client.h>

#include <cstdint>
#include <string>

#include "daemon/daemon.h"
#include "protocol/clock.h"
#include "protocol/messages.h"
#include "watcher/doctor.h"

namespace moddev::tools {

/// What `moddev watch` says when it begins to serve.
struct ListeningFacts {
  std::string endpoint;
  DaemonId daemon;
  std::int64_t pid = 0;
  std::string directory;
  std::string backend;
  /// The public key that epochs are signed with; empty: they are not.
  std::string signer{};
};

[[nodiscard]] std::string json_line(const ListeningFacts& listening);
/// Empty for what has no line of its own (members that come and go are in `status`).
[[nodiscard]] std::string json_line(const daemon::DaemonEvent& event);
[[nodiscard]] std::string json_of(const StatusReply& status);

[[nodiscard]] std::string json_line(const watcher::Finding& finding);

/// Empty for what has no line of its own. `id` is the executor's.
[[nodiscard]] std::string json_line(const ClientEvent& event, const std::string& id);

/// One call of an executor.
struct Call {
  std::string module;
  std::string symbol;
  std::uint64_t epoch = 0;
  std::int64_t result = 0;
  TimePoint at{};
};
[[nodiscard]] std::string json_line(const Call& call);

}  // namespace moddev::tools
