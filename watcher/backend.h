// Which EventSource to use for a directory: the system's events where they tell the truth, polling elsewhere
// and on request. Says what it chose and why, when a person should know.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "watcher/event_source.h"
#include "watcher/posix_file_system.h"
#include "watcher/watcher.h"

namespace moddev::watcher {

struct Backend {
  std::unique_ptr<EventSource> events;
  std::vector<Warning> warnings;
};

/// `wish`: "auto", "inotify" or "polling" ("fsevents" on macOS). `files` must outlive the result. Errors:
/// kInvalidArgument for another wish; kLimit or kUnsupported when the wished one cannot be had ("auto" always
/// finds one).
[[nodiscard]] Result<Backend> choose_backend(std::string_view wish, PosixFileSystem& files);

}  // namespace moddev::watcher
