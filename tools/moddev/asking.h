// How the commands that look and go reach the daemon: found as every client finds it, with one message when
// there is none.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "client/src/requester.h"
#include "protocol/result.h"

namespace moddev::tools {

/// How long a daemon may take for a short answer. It answers between two steps, and a step is short.
inline constexpr auto kAnswerPatience = std::chrono::seconds(5);

inline constexpr const char* kEndpointHelp =
    "Where the daemon is: ipc:///path or tcp://host:port [MODDEV_ENDPOINT, moddev.toml, the user's socket]";

/// `endpoint`: what the flag said, empty when it was not given. Errors: kUnavailable "Nothing answers at
/// ...", which says how to start a daemon.
[[nodiscard]] Result<std::unique_ptr<client::Requester>> reach_daemon(
    const std::string& endpoint, std::chrono::milliseconds patience = kAnswerPatience);

/// A daemon that went away in the middle: the same message.
[[nodiscard]] Error explained(const Error& error, const std::string& source);

}  // namespace moddev::tools
