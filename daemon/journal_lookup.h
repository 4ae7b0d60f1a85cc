// What a journal tells somebody who is not its daemon: read beside a daemon that is running, or without one,
// and never changed. For finding what a file that is kept somewhere once was; the daemon itself uses
// journal.h.
#pragma once

#include <filesystem>
#include <functional>

#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// Calls `visit` with the manifest of each retained epoch, oldest first, those included that were refused.
/// Errors: kNotFound (no such file), kUnsupported (a newer moddev's), kCorrupt, kIo; what was visited before
/// is right.
Status visit_journal(const std::filesystem::path& path, const std::function<void(const Manifest&)>& visit);

}  // namespace moddev::daemon
