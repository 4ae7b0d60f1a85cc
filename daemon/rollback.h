// Old bytes as a new epoch: what a rollback comes to. Reads the journal, records nothing; rollbacks.h carries
// out what people ask for.
#pragma once

#include <string>

#include "daemon/catalog.h"
#include "daemon/journal.h"
#include "protocol/clock.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// The epoch that gives `module` (a whole name) the bytes of `version` again, everything else as committed;
/// 0: of the committed version before the one it has (of the one before the version that it is held at).
/// `directory` is what the watched directory holds: where that differs from the old bytes, the module is
/// held. Errors: kNotFound; kAlreadyExists when it has those bytes.
[[nodiscard]] Result<EpochRecord> roll_back_module(const Journal& journal, const ModuleSet& directory,
                                                   const std::string& module, Version version, WallTime now);

/// The epoch that brings back all of `epoch`; 0: of the committed one before (before the one whose content a
/// rollback brought back). The same for the rest.
[[nodiscard]] Result<EpochRecord> roll_back_all(const Journal& journal, const ModuleSet& directory,
                                                Epoch epoch, WallTime now);

/// Which of them `request` means, names in part included. Errors: kConflict for an ambiguous name as well.
[[nodiscard]] Result<EpochRecord> roll_back(const Journal& journal, const ModuleSet& directory,
                                            const RollbackRequest& request, WallTime now);

/// kNotFound or kCorrupt when the bytes of something that `record` changes are not in the store any more, or
/// are damaged: limits::kRollbackVerifies bytes are verified.
[[nodiscard]] Status bytes_are_there(const EpochRecord& record, const BlobStore& blobs);

/// `holds`, and what `changes` (of an epoch that was aborted) brought kept out, as far as `directory` still
/// has it: these modules stay as they are in `committed` until their files change.
[[nodiscard]] HoldSet with_quarantine(HoldSet holds, const std::vector<ModuleChange>& changes,
                                      const Manifest& committed, const ModuleSet& directory);

}  // namespace moddev::daemon
