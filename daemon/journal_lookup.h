// What a journal tells somebody who is not its daemon: read beside a daemon that is running, or without one,
// and never changed. For finding what a file that is kept somewhere once was; the daemon itself uses
// journal.h.
#pragma once

#include <filesystem>
#include <functional>

#include "daemon/audit.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// Calls `visit` with the manifest of each retained epoch, oldest first, those included that were refused.
/// Errors: kNotFound (no such file), kUnsupported (a newer moddev's), kCorrupt, kIo; what was visited before
/// is right.
Status visit_journal(const std::filesystem::path& path, const std::function<void(const Manifest&)>& visit);

/// Calls `visit` with each entry of the audit, from the one that happened last; it returns whether to go on.
/// Errors: as above. A journal that an older moddev wrote has no audit: nothing is visited.
Status visit_audit(const std::filesystem::path& path, const std::function<bool(const AuditEntry&)>& visit);

}  // namespace moddev::daemon
