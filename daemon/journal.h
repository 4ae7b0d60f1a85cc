// The daemon's memory: one SQLite file with the repo's identity, every epoch, its manifest, and what became
// of it. An epoch is recorded before anyone hears of it. One writer; opened by one daemon at a time (a lock
// beside the file). SQLite is included only in journal.cc. Power-cut and kill behaviour: daemon/DESIGN.md,
// "What the journal promises".
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev::daemon {

/// Where an epoch stands.
enum class EpochState : std::uint8_t { kAnnounced, kCommitted, kAborted };
/// "announced", "committed", "aborted".
[[nodiscard]] std::string_view to_string(EpochState state);

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
  /// What caused it, for `history`: "change", "rollback to 3", ...
  std::string cause = "change";
};

/// The last version ever given to a module, also when it was removed since.
struct LastVersion {
  Version version = 0;
  Digest digest;
  friend bool operator==(const LastVersion&, const LastVersion&) = default;
};

struct AppliedRecord {
  Epoch epoch = 0;
  ExecutorIdentity executor;
  WallTime at{};
  std::int64_t elapsed_us = 0;
};

class Journal {
 public:
  /// How open() found the file.
  enum class Opened : std::uint8_t {
    kCreated,   // there was none
    kExisting,  // as it was left
    kReplaced,  // it was damaged: set aside as <path>.damaged-<time>, a new repo begins; notice() says so
  };

  /// `path` ":memory:" gives a journal without a file. A new incarnation is made by every open. An epoch left
  /// kAnnounced by the former run is recorded as aborted. Errors: kUnavailable when another daemon holds it,
  /// kIo.
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& path, WallTime now);
  ~Journal();

  [[nodiscard]] Opened opened() const;
  /// A sentence for the person at the terminal when something had to be repaired; else empty.
  [[nodiscard]] const std::string& notice() const;
  [[nodiscard]] const DaemonId& id() const;

  /// The newest epoch ever recorded, 0 at first.
  [[nodiscard]] Epoch head() const;
  /// The newest committed epoch, 0 at first, and its manifest.
  [[nodiscard]] const Manifest& committed() const;
  [[nodiscard]] const std::map<std::string, LastVersion, std::less<>>& last_versions() const;

  /// `record.epoch` must be head() + 1. On success it survives the death of this process.
  Status record_epoch(const EpochRecord& record);
  Status record_commit(Epoch epoch, WallTime at);
  Status record_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures, WallTime at);
  Status record_applied(const AppliedRecord& applied);

  /// Errors: kNotFound when never recorded or no longer retained.
  [[nodiscard]] Result<EpochRecord> epoch(Epoch epoch) const;
  /// The newest `limit` epochs that touched `module` (empty: all), newest first.
  [[nodiscard]] Result<std::vector<EpochRecord>> history(const std::string& module, std::size_t limit) const;
  [[nodiscard]] Result<std::vector<AppliedRecord>> applied(Epoch epoch) const;

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon
