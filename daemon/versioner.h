// The set of modules that the directory holds, compared with what was published: the next epoch, or nothing.
// Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "daemon/catalog.h"
#include "daemon/journal.h"

namespace moddev::daemon {

[[nodiscard]] ModuleContent content_of(const ModuleEntry& entry);

/// Whether `manifest` holds exactly the modules of `desired`, version numbers and times aside.
[[nodiscard]] bool same_content(const ModuleSet& desired, const Manifest& manifest);

[[nodiscard]] bool same_content(const Manifest& a, const Manifest& b);

/// `directory`, with the modules of `kept` as they are in `committed`: their files are there and cannot be
/// used. Dependencies that are not there are left out.
[[nodiscard]] ModuleSet with_kept(const ModuleSet& directory, const std::set<std::string, std::less<>>& kept,
                                  const Manifest& committed);

/// The record of epoch `head + 1` whose manifest is `desired`, or nothing when `desired` has the same
/// modules, digests and dependencies as `committed`, or as `refused` (the manifest of an epoch that was
/// aborted: not to be tried again unchanged). A module whose digest differs from its last version's gets the
/// next version; one that comes back with the digest of its last version keeps that number.
[[nodiscard]] std::optional<EpochRecord> next_epoch(const ModuleSet& desired, const Manifest& committed,
                                                    const Manifest* refused, Epoch head,
                                                    const LastVersions& last_versions, WallTime now);

}  // namespace moddev::daemon
