#include "daemon/journal_lookup.h"

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "daemon/journal_schema.h"
#include "daemon/sqlite.h"

namespace moddev::daemon {
namespace {

/// The manifest that the oldest retained epoch leads on from; an empty one when nothing was forgotten.
Result<Manifest> oldest(const sqlite::Database& db) {
  auto first = db.one_text("select manifest from snapshots order by epoch limit 1");
  if (!first) return first.error();
  if (!*first) return Manifest();
  return schema::read_manifest(**first);
}

struct Opened {
  sqlite::Database db;
  int version = 0;
};

/// A journal whose history this program understands.
Result<Opened> open_journal(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Error{ErrorCode::kNotFound, "There is no journal at " + path.string() + ".", 0};
  }
  auto db = sqlite::Database::open_to_read(path);
  if (!db) return db.error();
  auto version = schema::version_of(*db);
  if (!version) return version.error();
  if (*version < schema::kSameHistorySince || *version > schema::kVersion) {
    return Error{ErrorCode::kUnsupported,
                 path.string() + " was written by another version of moddev (schema " +
                     std::to_string(*version) + ", this one reads " +
                     std::to_string(schema::kSameHistorySince) + " to " + std::to_string(schema::kVersion) +
                     ").",
                 0};
  }
  return Opened{std::move(*db), *version};
}

}  // namespace

Status visit_journal(const std::filesystem::path& path, const std::function<void(const Manifest&)>& visit) {
  auto opened = open_journal(path);
  if (!opened) return opened.error();
  const sqlite::Database* db = &opened->db;
  auto committed = oldest(*db);
  if (!committed) return committed.error();
  if (!committed->modules.empty()) visit(*committed);

  sqlite::Statement rows =
      db->prepare(("select " + std::string(schema::kChangeColumns) +
                   ", e.epoch, e.state from changes c join epochs e on e.epoch=c.epoch order by "
                   "c.epoch, c.name")
                      .c_str());
  std::vector<ModuleChange> changes;
  Epoch epoch = 0;
  bool was_committed = false;
  for (;;) {
    auto row = rows.step();
    if (!row) return row.error();
    const Epoch next = *row ? rows.count(schema::kChangeColumnCount) : 0;
    if (next != epoch && !changes.empty()) {
      Manifest manifest = apply(*committed, changes, epoch);
      visit(manifest);
      if (was_committed) *committed = std::move(manifest);
      changes.clear();
    }
    if (!*row) return {};
    epoch = next;
    was_committed = rows.text(schema::kChangeColumnCount + 1) == "committed";
    auto change = schema::read_change(rows, 0);
    if (!change) return change.error();
    changes.push_back(*std::move(change));
  }
}

Status visit_audit(const std::filesystem::path& path, const std::function<bool(const AuditEntry&)>& visit) {
  auto opened = open_journal(path);
  if (!opened) return opened.error();
  if (opened->version < schema::kAuditSince) return {};
  sqlite::Statement rows = opened->db.prepare(
      ("select " + std::string(schema::kAuditColumns) + " from audit order by last_at desc, id desc")
          .c_str());
  for (;;) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return {};
    auto entry = schema::read_audit(rows);
    if (!entry) return entry.error();
    if (!visit(*entry)) return {};
  }
}

}  // namespace moddev::daemon
