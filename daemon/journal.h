// The daemon's memory: one SQLite file with the repo's identity, every epoch, its manifest, and what became
// of it. An epoch is recorded before anyone hears of it. One writer; opened by one daemon at a time (a lock
// beside the file). It neither decides what becomes an epoch nor what may be forgotten. Power-cut and kill
// behaviour: daemon/DESIGN.md, "What the journal promises".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "daemon/audit.h"
#include "daemon/holds.h"
#include "daemon/retention.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// One changeset as recorded. `changes` lead from `base`, the committed epoch at that time, to `manifest`.
struct EpochRecord {
  Epoch epoch = 0;
  Epoch base = 0;
  Manifest manifest;
  std::vector<ModuleChange> changes;
  EpochState state = EpochState::kAnnounced;
  WallTime announced_at{};
  WallTime decided_at{};  // of the commit or abort; epoch zero when undecided
  std::vector<ExecutorFailure> failures;
  /// What caused it, for `history`: "change", "rollback of scorer to version 3", ...
  std::string cause = "change";
  /// The epoch whose whole content a rollback brings back, else 0.
  Epoch restores = 0;
  /// What shall be held once it is committed, instead of what is held now; nothing: no difference.
  std::optional<HoldSet> holds{};
};

/// The last version ever given to a module, also when it was removed since.
struct LastVersion {
  Version version = 0;
  Digest digest;
  friend bool operator==(const LastVersion&, const LastVersion&) = default;
};
using LastVersions = std::map<std::string, LastVersion, std::less<>>;

struct AppliedRecord {
  Epoch epoch = 0;
  ExecutorIdentity executor;
  WallTime at{};
  /// How long it loaded, without waiting for others: until it was prepared, or until the switch where it
  /// heard of the epoch when that was committed.
  std::int64_t elapsed_us = 0;
};

/// What one executor ran of one version of a module, as it told at last.
struct RunRecord {
  ExecutorIdentity executor;
  RunReport run;
  WallTime told_at{};
};

/// One version of a module, and the epoch that brought it: the committed one, where it was announced
/// repeatedly.
struct VersionRecord {
  Epoch epoch = 0;
  EpochState state = EpochState::kAnnounced;
  ModuleEntry module;
};

/// What tells one run of the machine from the next (Linux: /proc/sys/kernel/random/boot_id). Empty: unknown.
[[nodiscard]] std::string current_boot_id();

class Journal {
 public:
  /// How open() found the file.
  enum class Opened : std::uint8_t {
    kCreated,   // there was none
    kExisting,  // as it was left
    kReplaced,  // it was damaged: set aside as <path>.damaged-<time>, a new repo begins; notice() says so
  };

  /// `path` ":memory:" gives a journal without a file. A new incarnation is made by every open. An epoch left
  /// kAnnounced by the former run is recorded as aborted. When the newest epochs can be missing (the machine
  /// went down, an old copy was put back) the history goes on under a new repo id. `boot_id` is what
  /// current_boot_id() gives; without one every record waits for the disk. Errors: kUnavailable when another
  /// daemon holds it; kUnsupported for a newer schema, and then nothing was touched; kIo, kLimit (disk full).
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& path, WallTime now,
                                               const std::string& boot_id = current_boot_id());
  ~Journal();

  [[nodiscard]] Opened opened() const;
  /// A sentence for the person at the terminal when something was amiss; else empty.
  [[nodiscard]] const std::string& notice() const;
  /// Whether the file is where it was opened. One that was removed or replaced under a running daemon takes
  /// what is recorded from now on along.
  [[nodiscard]] bool still_there() const;
  [[nodiscard]] const std::filesystem::path& path() const;
  [[nodiscard]] const DaemonId& id() const;

  /// The newest epoch ever recorded, 0 at first.
  [[nodiscard]] Epoch head() const;
  /// The newest committed epoch, 0 at first, and its manifest.
  [[nodiscard]] const Manifest& committed() const;
  [[nodiscard]] const LastVersions& last_versions() const;
  /// What rollbacks hold, as of the committed epoch.
  [[nodiscard]] const HoldSet& holds() const;
  /// Every epoch after this one is there; of this one and older ones at most manifests. 0: nothing was
  /// forgotten.
  [[nodiscard]] Epoch forgotten() const;

  /// `record.epoch` must be head() + 1 and `record.base` the committed one. On success it survives the death
  /// of this process. An epoch before it that was never decided (record_abort failed) becomes an aborted one.
  Status record_epoch(const EpochRecord& record);
  /// Both: `epoch` must be the one that was recorded last, and be undecided.
  Status record_commit(Epoch epoch, WallTime at);
  Status record_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures, WallTime at);
  /// All or none; what is recorded already stays as it is.
  Status record_applied(std::span<const AppliedRecord> applied);
  Status record_applied(const AppliedRecord& applied) { return record_applied(std::span(&applied, 1)); }
  /// All or none. Of each number the greater one stays, for they only grow. The oldest go beyond
  /// limits::kRunRecords and kRunRecordsOfOne executor, and with the epochs that are forgotten.
  Status record_runs(std::span<const RunRecord> records);
  /// All or none. An entry whose id is there already takes its place; ids that are new must be above
  /// last_audit_id(). The oldest go beyond limits::kAuditRefusals and kAuditEntries.
  Status record_audit(std::span<const AuditEntry> entries);
  /// The newest id of the audit, 0 at first.
  [[nodiscard]] std::uint64_t last_audit_id() const;
  /// These modules follow the directory again.
  Status end_holds(const std::vector<std::string>& modules);

  /// Errors: kNotFound when never recorded or no longer retained.
  [[nodiscard]] Result<EpochRecord> epoch(Epoch epoch) const;
  [[nodiscard]] Result<Manifest> manifest(Epoch epoch) const;
  /// The newest `limit` epochs before `before` (0: the end) that touched `module` (empty: all), newest first;
  /// without manifests, and with the changes of that module only.
  [[nodiscard]] Result<std::vector<EpochRecord>> history(const std::string& module, std::size_t limit,
                                                         Epoch before = 0) const;
  /// Those that applied it first. `limit` 0: all.
  [[nodiscard]] Result<std::vector<AppliedRecord>> applied(Epoch epoch, std::size_t limit = 0) const;
  [[nodiscard]] Result<std::uint64_t> applied_count(Epoch epoch) const;
  /// By module (empty: all), version and executor: at most `limit` after the first `skip`.
  [[nodiscard]] Result<std::vector<RunRecord>> runs(const std::string& module, std::size_t limit,
                                                    std::uint64_t skip = 0) const;
  /// Errors: kNotFound.
  [[nodiscard]] Result<VersionRecord> version(const std::string& module, Version version) const;
  /// The newest committed version below `below`. Errors: kNotFound.
  [[nodiscard]] Result<VersionRecord> version_before(const std::string& module, Version below) const;

  /// Forgets the epochs up to `until`, which must be older than the committed one, but for the manifests of
  /// those in `keep`. Numbers stay used: versions and epochs go on from where they are.
  Status forget(Epoch until, const std::set<Epoch>& keep);
  /// Every blob that retained epochs brought or lead on from, with the time when it was replaced.
  [[nodiscard]] Result<RetainedHistory> retained() const;
  /// Every digest that a retained epoch, a kept manifest or a hold names, with its size.
  [[nodiscard]] Result<std::map<Digest, std::uint64_t>> referenced() const;

  /// To be called when there is time: brings what was recorded on the disk, so that neither recording nor a
  /// power cut costs much. Does nothing while there is little to do.
  Status tidy();

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon
