// The audit in the journal: one table of its own, written behind everything else, and bounded. What is noted
// is audit.h's, and reading it is journal_lookup.h's.
#include <algorithm>

#include "daemon/journal_schema.h"
#include "daemon/journal_state.h"
#include "daemon/limits.h"

namespace moddev::daemon {

Status Journal::State::load_audit() {
  sqlite::Statement row =
      db.prepare("select coalesce(max(id),0), coalesce(sum(refusal),0), count(*) from audit");
  auto found = row.step();
  if (!found) return found.error();
  last_audit_id = row.count(0);
  audit_refusals = row.count(1);
  audit_others = row.count(2) - audit_refusals;
  return {};
}

std::uint64_t Journal::last_audit_id() const {
  return state_->last_audit_id;
}

Status Journal::record_audit(std::span<const AuditEntry> entries) {
  State& s = *state_;
  std::uint64_t newest = s.last_audit_id;
  std::uint64_t refusals = s.audit_refusals;
  std::uint64_t others = s.audit_others;
  sqlite::Transaction transaction(s.db);
  MODDEV_TRY(transaction.begun());
  sqlite::Statement& write = s.prepared().write_audit;
  for (const AuditEntry& entry : entries) {
    schema::bind_audit(write, entry);
    MODDEV_TRY(write.run());
    if (entry.id <= s.last_audit_id) continue;  // it was there
    newest = std::max(newest, entry.id);
    ++(entry.act == AuditAct::kRefused ? refusals : others);
  }
  const auto forget = [&](bool refusal, std::uint64_t limit, std::uint64_t& count) -> Status {
    if (count <= limit + limits::kAuditSlack) return {};
    MODDEV_TRY(
        s.db.prepare(
                "delete from audit where id in (select id from audit where refusal=? order by id limit ?)")
            .bind(std::int64_t{refusal ? 1 : 0})
            .bind(count - limit)
            .run());
    count = limit;
    return {};
  };
  MODDEV_TRY(forget(true, limits::kAuditRefusals, refusals));
  MODDEV_TRY(forget(false, limits::kAuditEntries, others));
  MODDEV_TRY(transaction.commit());
  s.last_audit_id = newest;
  s.audit_refusals = refusals;
  s.audit_others = others;
  s.bound_log();
  return {};
}

}  // namespace moddev::daemon
