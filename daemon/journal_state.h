// What journal.cc and journal_open.cc share; nobody else includes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/journal.h"
#include "daemon/journal_lock.h"
#include "daemon/sqlite.h"

namespace moddev::daemon {

/// The values of meta's key "clean". Words that differ in more than a bit.
inline constexpr const char* kRunning = "running";
inline constexpr const char* kLeftInOrder = "in order";
inline constexpr const char* kLeftInOrderBySchema1 = "1";

/// 0: there is none.
[[nodiscard]] std::uint64_t inode_of(const std::filesystem::path& path);

struct Journal::State {
  std::filesystem::path path;
  std::string boot;
  std::uint64_t inode = 0;  // of the file; 0 in memory
  JournalLock lock;
  sqlite::Database db;  // statements come after it, so that they go before it
  Opened opened = Opened::kCreated;
  std::string notice;
  DaemonId id;
  Epoch head = 0;
  Epoch forgotten = 0;
  /// The committed epoch that the first retained one leads on from; its manifest is a snapshot unless it is
  /// 0.
  Epoch base = 0;
  Manifest committed;
  LastVersions last_versions;
  HoldSet holds;
  /// The epoch that was recorded and is not decided yet.
  struct Undecided {
    Epoch epoch = 0;
    std::vector<ModuleChange> changes;
    std::optional<HoldSet> holds;
  };
  std::optional<Undecided> undecided;
  /// The audit: its newest id, and how many entries there are of refusals and of the rest.
  std::uint64_t last_audit_id = 0;
  std::uint64_t audit_refusals = 0;
  std::uint64_t audit_others = 0;
  std::uint64_t run_records = 0;
  /// Whether begin_run() succeeded: only then may the file be marked as left in order.
  bool running = false;

  /// Prepared at the first use.
  struct Statements {
    sqlite::Statement insert_epoch;
    sqlite::Statement insert_change;
    sqlite::Statement decide;
    sqlite::Statement insert_failure;
    sqlite::Statement insert_applied;
    sqlite::Statement write_audit;
    sqlite::Statement write_runs;
  };
  std::optional<Statements> statements;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State();

  Status open_file(bool existed, WallTime now);
  Status load();
  Status load_base();
  /// A number in meta; 0 when there is none.
  [[nodiscard]] Result<std::uint64_t> number(std::string_view key) const;
  Status load_epochs();
  Status load_holds();
  Status load_audit();
  Status load_runs();
  void take_in(EpochRecord record);
  Status set_aside(WallTime now, const std::string& why);
  Status begin_run(WallTime now);

  Statements& prepared();
  [[nodiscard]] Result<Manifest> snapshot(Epoch epoch) const;
  [[nodiscard]] Result<std::vector<ModuleChange>> changes_of(Epoch epoch, const std::string& module) const;
  [[nodiscard]] Result<EpochRecord> record_of(Epoch epoch, const std::string& module) const;
  [[nodiscard]] Result<VersionRecord> version_where(const char* sql, const std::string& module,
                                                    Version version, const std::string& what) const;
  static void take_over(Manifest& manifest, ModuleChange change);
  Status write_holds(Epoch epoch, const HoldSet& set);
  Status drop_holds(Epoch epoch);
  Status decide(Epoch epoch, EpochState state, WallTime at);
  /// Beyond what is kept of one executor the oldest go; returns how many.
  Result<std::uint64_t> forget_runs_of(const std::string& executor);
  /// After a record: not the time for a checkpoint, unless the log has become too long.
  void bound_log();
};

}  // namespace moddev::daemon
