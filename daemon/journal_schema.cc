#include "daemon/journal_schema.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "protocol/codec.h"

namespace moddev::daemon::schema {
namespace {

using sqlite::Database;
using sqlite::Statement;

constexpr std::size_t kCheckDigits = 16;

constexpr const char* kTables = R"sql(
create table meta(key text primary key, value text not null) without rowid;
create table epochs(epoch integer primary key, base integer not null, state text not null,
                    announced_at integer not null, decided_at integer not null, cause text not null,
                    restores integer not null default 0, content_check text not null default '');
create table changes(epoch integer not null, name text not null, change text not null, kind text not null,
                     version integer not null, digest text not null, size integer not null, path text not null,
                     depends_on text not null, changed_at integer not null, primary key(epoch, name)) without rowid;
create index changes_by_name on changes(name, epoch);
create table failures(epoch integer not null, executor text not null, module text not null, error text not null);
create table applied(epoch integer not null, executor text not null, name text not null, host text not null,
                     pid integer not null, at integer not null, elapsed_us integer not null,
                     primary key(epoch, executor)) without rowid;
)sql";

constexpr const char* kTablesOfTwo = R"sql(
create table snapshots(epoch integer primary key, manifest text not null);
create table holds(epoch integer not null, name text not null, version integer not null, overrides text not null,
                   watched_path text not null, present integer not null, kind text not null, digest text not null,
                   size integer not null, path text not null, depends_on text not null, hold_check text not null,
                   primary key(epoch, name)) without rowid;
)sql";

// `refusal`: which of the two kinds it is that are bounded apart.
constexpr const char* kTablesOfThree = R"sql(
create table audit(id integer primary key, refusal integer not null, act text not null, who text not null,
                   address text not null, executor text not null, what text not null, first_at integer not null,
                   last_at integer not null, count integer not null);
create index audit_by_kind on audit(refusal, id);
)sql";

constexpr const char* kTablesOfFour = R"sql(
create table runs(module text not null, version integer not null, executor text not null, name text not null,
                  host text not null, pid integer not null, runs integer not null, total_ns integer not null,
                  longest_ns integer not null, last_at integer not null, told_at integer not null,
                  primary key(module, version, executor)) without rowid;
create index runs_by_executor on runs(executor, told_at);
create index runs_by_time on runs(told_at);
)sql";

constexpr const char* kColumnsOfTwo = R"sql(
alter table epochs add column restores integer not null default 0;
alter table epochs add column content_check text not null default '';
drop table versions;
)sql";

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : "\n") + name;
  return text;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    names.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

std::string check_text(std::string_view text) {
  return digest_of(text).hex().substr(0, kCheckDigits);
}

/// `text` behind its own check and a newline, and back.
std::string sealed(const std::string& text) {
  return check_text(text) + "\n" + text;
}
Result<std::string> unsealed(const std::string& text, std::string_view what) {
  if (text.size() <= kCheckDigits || text[kCheckDigits] != '\n')
    return corrupt(std::string(what) + " is malformed");
  std::string inside = text.substr(kCheckDigits + 1);
  if (check_text(inside) != text.substr(0, kCheckDigits))
    return corrupt(std::string(what) + " is not what was written");
  return inside;
}

std::string hold_check(const std::string& name, const Hold& hold) {
  std::string text =
      name + "\n" + std::to_string(hold.version) + "\n" + hold.overrides.hex() + "\n" + hold.path;
  if (hold.content) {
    const ModuleContent& content = *hold.content;
    text += "\n" + std::string(to_string(content.kind)) + "\n" + content.digest.hex() + "\n" +
            std::to_string(content.size) + "\n" + content.path + "\n" + join(content.depends_on);
  }
  return check_text(text);
}

/// The checks of all epochs, which the first schema had not.
Status write_checks(Database& db) {
  std::vector<std::pair<Epoch, std::string>> checks;
  Statement epochs = db.prepare(
      "select e.epoch, e.base, e.state, e.announced_at, e.decided_at, e.cause, e.restores, e.content_check "
      "from "
      "epochs e order by e.epoch");
  Statement changes = db.prepare(
      "select c.name, c.change, c.kind, c.version, c.digest, c.size, c.path, c.depends_on, c.changed_at from "
      "changes "
      "c where c.epoch=? order by c.name");
  while (true) {
    auto row = epochs.step();
    if (!row) return row.error();
    if (!*row) break;
    auto record = read_epoch(epochs);
    if (!record) return record.error();
    changes.bind(record->epoch);
    while (true) {
      auto next = changes.step();
      if (!next) return next.error();
      if (!*next) break;
      auto change = read_change(changes, 0);
      if (!change) return change.error();
      record->changes.push_back(std::move(*change));
    }
    checks.emplace_back(record->epoch, check_of(*record));
  }
  Statement update = db.prepare("update epochs set content_check=? where epoch=?");
  for (const auto& [epoch, check] : checks) MODDEV_TRY(update.bind(check).bind(epoch).run());
  return {};
}

}  // namespace

Error corrupt(std::string what) {
  return {ErrorCode::kCorrupt, std::move(what), 0};
}

Result<int> version_of(Database& db) {
  auto tables = db.one_text("select count(*) from sqlite_master");
  if (!tables) return tables.error();
  if (*tables == "0") return 0;
  auto text = db.one_text("select value from meta where key='schema'");
  if (!text) return text.error();
  const std::string value = text->value_or("");
  int version = 0;
  const auto parsed = std::from_chars(value.data(), value.data() + value.size(), version);
  if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size() || version < 1)
    return corrupt("it does not say which schema it has");
  return version;
}

Status create(Database& db) {
  sqlite::Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(db.execute(kTables));
  MODDEV_TRY(db.execute(kTablesOfTwo));
  MODDEV_TRY(db.execute(kTablesOfFour));
  MODDEV_TRY(db.execute(kTablesOfThree));
  MODDEV_TRY(set_meta(db, "schema", std::to_string(kVersion)));
  MODDEV_TRY(set_meta(db, "repo", Uuid::random().to_string()));
  return transaction.commit();
}

Status migrate(Database& db, int version) {
  if (version == kVersion) return {};
  sqlite::Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  if (version < 2) {
    MODDEV_TRY(db.execute(kColumnsOfTwo));
    MODDEV_TRY(db.execute(kTablesOfTwo));
    MODDEV_TRY(write_checks(db));
  }
  if (version < kAuditSince) MODDEV_TRY(db.execute(kTablesOfThree));
  MODDEV_TRY(db.execute(kTablesOfFour));
  MODDEV_TRY(set_meta(db, "schema", std::to_string(kVersion)));
  return transaction.commit();
}

Status check_pages(Database& db) {
  auto answer = db.one_text("pragma quick_check(1)");
  if (!answer) return answer.error();
  if (*answer != "ok") return corrupt(answer->value_or("no answer to the check"));
  return {};
}

Result<std::string> meta(const Database& db, std::string_view key) {
  Statement row = db.prepare("select value from meta where key=?");
  auto found = row.bind(key).step();
  if (!found) return found.error();
  return *found ? row.text(0) : std::string();
}

Status set_meta(const Database& db, std::string_view key, std::string_view value) {
  return db.prepare("insert into meta values(?,?) on conflict(key) do update set value=excluded.value")
      .bind(key)
      .bind(value)
      .run();
}

Result<ModuleChange> read_change(const Statement& row, int first) {
  ModuleChange change;
  change.module.name = row.text(first);
  const auto kind_of_change = change_kind_from_string(row.text(first + 1));
  const auto kind = module_kind_from_string(row.text(first + 2));
  const auto digest = Digest::parse(row.text(first + 4));
  if (!kind_of_change || !kind || !digest)
    return corrupt("a change of '" + change.module.name + "' is malformed");
  change.change = *kind_of_change;
  change.module.kind = *kind;
  change.module.version = row.count(first + 3);
  change.module.digest = *digest;
  change.module.size = row.count(first + 5);
  change.module.path = row.text(first + 6);
  change.module.depends_on = split(row.text(first + 7));
  change.module.changed_at_ns = row.number(first + 8);
  return change;
}

void bind_change(Statement& statement, const ModuleChange& change) {
  const ModuleEntry& module = change.module;
  statement.bind(module.name)
      .bind(to_string(change.change))
      .bind(to_string(module.kind))
      .bind(module.version)
      .bind(module.digest.hex())
      .bind(module.size)
      .bind(module.path)
      .bind(join(module.depends_on))
      .bind(module.changed_at_ns);
}

std::string check_of(const EpochRecord& record) {
  const auto number = [](auto value) { return std::to_string(value) + "\n"; };
  std::string text = number(record.epoch) + number(record.base) +
                     number(record.announced_at.time_since_epoch().count()) + record.cause + "\n" +
                     number(record.restores);
  for (const auto& [change, module] : record.changes) {
    text += module.name;
    text += '\n';
    text += to_string(change);
    text += to_string(module.kind);
    text += '\n';
    text += module.digest.hex();
    text += '\n';
    text += number(module.version) + number(module.size) + number(module.changed_at_ns) +
            number(module.depends_on.size());
    text += module.path;
    text += '\n';
    for (const auto& needed : module.depends_on) text += needed + "\n";
  }
  return check_text(text);
}

Result<EpochRecord> read_epoch(const Statement& row) {
  EpochRecord record;
  record.epoch = row.count(0);
  record.base = row.count(1);
  const auto state = epoch_state_from_string(row.text(2));
  if (!state) return corrupt("epoch " + std::to_string(record.epoch) + " has no known state");
  record.state = *state;
  record.announced_at = WallTime(Duration(row.number(3)));
  record.decided_at = WallTime(Duration(row.number(4)));
  record.cause = row.text(5);
  record.restores = row.count(6);
  return record;
}

Status verify(const EpochRecord& record, const std::string& check) {
  if (check_of(record) == check) return {};
  return corrupt("epoch " + std::to_string(record.epoch) + " is not what was written");
}

Result<std::pair<std::string, Hold>> read_hold(const Statement& row) {
  const std::string name = row.text(0);
  const Error malformed = corrupt("the hold of '" + name + "' is malformed");
  Hold hold;
  hold.version = row.count(1);
  auto overrides = Digest::parse(row.text(2));
  if (!overrides) return malformed;
  hold.overrides = *overrides;
  hold.path = row.text(3);
  if (row.number(4) != 0) {
    const auto kind = module_kind_from_string(row.text(5));
    const auto digest = Digest::parse(row.text(6));
    if (!kind || !digest) return malformed;
    hold.content = ModuleContent{*kind, *digest, row.count(7), row.text(8), split(row.text(9))};
  }
  if (hold_check(name, hold) != row.text(10)) return malformed;
  return std::pair(name, std::move(hold));
}

void bind_hold(Statement& statement, const std::string& name, const Hold& hold) {
  const ModuleContent content = hold.content.value_or(ModuleContent{});
  statement.bind(name)
      .bind(hold.version)
      .bind(hold.overrides.hex())
      .bind(hold.path)
      .bind(std::int64_t{hold.content ? 1 : 0})
      .bind(to_string(content.kind))
      .bind(content.digest.hex())
      .bind(content.size)
      .bind(content.path)
      .bind(join(content.depends_on))
      .bind(hold_check(name, hold));
}

Result<AuditEntry> read_audit(const Statement& row) {
  const auto act = audit_act_from_string(row.text(1));
  if (!act) return corrupt("an entry of the audit is malformed");
  return AuditEntry{row.count(0),
                    *act,
                    row.text(2),
                    row.text(3),
                    row.text(4),
                    row.text(5),
                    WallTime(Duration(row.number(6))),
                    WallTime(Duration(row.number(7))),
                    row.count(8)};
}

void bind_audit(Statement& statement, const AuditEntry& entry) {
  statement.bind(entry.id)
      .bind(std::int64_t{entry.act == AuditAct::kRefused ? 1 : 0})
      .bind(to_string(entry.act))
      .bind(entry.who)
      .bind(entry.address)
      .bind(entry.executor)
      .bind(entry.what)
      .bind(std::int64_t{entry.first_at.time_since_epoch().count()})
      .bind(std::int64_t{entry.last_at.time_since_epoch().count()})
      .bind(entry.count);
}

std::string versions_text(const LastVersions& versions) {
  std::string text;
  for (const auto& [name, last] : versions) {
    text += std::to_string(last.version) + " " + last.digest.hex() + " " + name + "\n";
  }
  return sealed(text);
}

Result<LastVersions> read_versions(const std::string& text) {
  LastVersions versions;
  auto lines = unsealed(text, "the list of versions");
  if (!lines) return lines.error();
  for (const std::string& line : split(*lines)) {
    const std::size_t first = line.find(' ');
    const std::size_t second = line.find(' ', first + 1);
    if (first == std::string::npos || second == std::string::npos)
      return corrupt("the list of versions is malformed");
    LastVersion last;
    std::from_chars(line.data(), line.data() + first, last.version);
    auto digest = Digest::parse(std::string_view(line).substr(first + 1, second - first - 1));
    if (!digest) return corrupt("the list of versions is malformed");
    last.digest = *digest;
    versions.emplace(line.substr(second + 1), last);
  }
  return versions;
}

std::string manifest_text(const Manifest& manifest) {
  const Bytes bytes = encode_manifest(manifest);
  return sealed(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Result<Manifest> read_manifest(const std::string& text) {
  auto bytes = unsealed(text, "a manifest");
  if (!bytes) return bytes.error();
  return decode_manifest(std::as_bytes(std::span(bytes->data(), bytes->size())));
}

}  // namespace moddev::daemon::schema
