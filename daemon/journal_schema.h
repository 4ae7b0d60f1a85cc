// The tables of the journal and how values become rows: making them, bringing older ones up to date, and the
// checks that find what SQLite cannot see (it has no checksums in its pages). What is recorded when is
// journal.cc's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/journal.h"
#include "daemon/sqlite.h"

namespace moddev::daemon::schema {

/// Raised when the tables change. An older program refuses a newer file, a newer one brings an older file up
/// to date.
///  1: the first.
///  2: content checks; snapshots of the manifests before which epochs were forgotten; holds.
///  3: the audit.
///  4: the runs.
inline constexpr int kVersion = 4;
/// The oldest schema in which epochs, changes and snapshots are as they are now.
inline constexpr int kSameHistorySince = 2;
inline constexpr int kAuditSince = 3;

/// The schema's version; 0 for a database without tables. Reads only. Errors: kCorrupt, kIo.
[[nodiscard]] Result<int> version_of(sqlite::Database& db);
/// Makes the tables and a repo id. In a transaction of its own.
Status create(sqlite::Database& db);
/// From `version` to kVersion, in a transaction of its own.
Status migrate(sqlite::Database& db, int version);
/// SQLite's own check of pages and rows. Errors: kCorrupt.
Status check_pages(sqlite::Database& db);

/// Empty when there is none.
[[nodiscard]] Result<std::string> meta(const sqlite::Database& db, std::string_view key);
Status set_meta(const sqlite::Database& db, std::string_view key, std::string_view value);

/// The columns that read_change() reads, from number `first` on.
inline constexpr const char* kChangeColumns =
    "c.name, c.change, c.kind, c.version, c.digest, c.size, c.path, c.depends_on, c.changed_at";
inline constexpr int kChangeColumnCount = 9;
/// Errors: kCorrupt.
[[nodiscard]] Result<ModuleChange> read_change(const sqlite::Statement& row, int first);
/// Binds the nine columns.
void bind_change(sqlite::Statement& statement, const ModuleChange& change);

/// Columns of kEpochColumns but for the state and the time of the decision, which come later, and all
/// changes: the first 16 hexadecimal digits of a SHA-256.
[[nodiscard]] std::string check_of(const EpochRecord& record);
inline constexpr const char* kEpochColumns =
    "e.epoch, e.base, e.state, e.announced_at, e.decided_at, e.cause, e.restores, e.content_check";
inline constexpr int kEpochColumnCount = 8;
/// The record without changes and manifest. Errors: kCorrupt.
[[nodiscard]] Result<EpochRecord> read_epoch(const sqlite::Statement& row);
/// kCorrupt when `record` with its changes is not what was written.
[[nodiscard]] Status verify(const EpochRecord& record, const std::string& check);

inline constexpr const char* kHoldColumns =
    "name, version, overrides, watched_path, present, kind, digest, size, path, depends_on, hold_check";
/// Errors: kCorrupt.
[[nodiscard]] Result<std::pair<std::string, Hold>> read_hold(const sqlite::Statement& row);
void bind_hold(sqlite::Statement& statement, const std::string& name, const Hold& hold);

inline constexpr const char* kAuditColumns =
    "id, act, who, address, executor, what, first_at, last_at, count";
/// Errors: kCorrupt.
[[nodiscard]] Result<AuditEntry> read_audit(const sqlite::Statement& row);
/// Binds all columns of the table, in their order.
void bind_audit(sqlite::Statement& statement, const AuditEntry& entry);

/// The last versions as one text with a check, for meta: what the forgotten epochs told.
[[nodiscard]] std::string versions_text(const LastVersions& versions);
[[nodiscard]] Result<LastVersions> read_versions(const std::string& text);

/// A manifest as encode_manifest() writes it, behind a check.
[[nodiscard]] std::string manifest_text(const Manifest& manifest);
[[nodiscard]] Result<Manifest> read_manifest(const std::string& text);

[[nodiscard]] Error corrupt(std::string what);

}  // namespace moddev::daemon::schema
