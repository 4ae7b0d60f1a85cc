#include "daemon/journal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace moddev::daemon {
namespace {

namespace fs = std::filesystem;

/// Raised when the tables change; an older program refuses a newer file.
constexpr int kSchemaVersion = 1;

constexpr const char* kSchema = R"sql(
create table meta(key text primary key, value text not null) without rowid;
create table epochs(epoch integer primary key, base integer not null, state text not null,
                    announced_at integer not null, decided_at integer not null, cause text not null);
create table changes(epoch integer not null, name text not null, change text not null, kind text not null,
                     version integer not null, digest text not null, size integer not null, path text not null,
                     depends_on text not null, changed_at integer not null, primary key(epoch, name)) without rowid;
create index changes_by_name on changes(name, epoch);
create table failures(epoch integer not null, executor text not null, module text not null, error text not null);
create table versions(name text primary key, version integer not null, digest text not null) without rowid;
create table applied(epoch integer not null, executor text not null, name text not null, host text not null,
                     pid integer not null, at integer not null, elapsed_us integer not null,
                     primary key(epoch, executor)) without rowid;
)sql";

std::int64_t to_ns(WallTime t) {
  return t.time_since_epoch().count();
}
WallTime from_ns(std::int64_t ns) {
  return WallTime(Duration(ns));
}

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

EpochState state_from(const std::string& text) {
  if (text == "committed") return EpochState::kCommitted;
  if (text == "aborted") return EpochState::kAborted;
  return EpochState::kAnnounced;
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

/// A prepared statement for one use; binding counts from 1, columns from 0 (sqlite.org/c3ref).
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) : db_(db) {
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) != SQLITE_OK)
      statement_ = nullptr;
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value) {
    if (statement_ != nullptr) sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  Statement& bind(std::uint64_t value) { return bind(static_cast<std::int64_t>(value)); }
  Statement& bind(std::string_view value) {
    if (statement_ != nullptr) {
      sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
    }
    return *this;
  }
  /// Whether there is a row.
  Result<bool> step() {
    const int code = statement_ == nullptr ? sqlite3_errcode(db_) : sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return Error{damaged ? ErrorCode::kCorrupt : ErrorCode::kIo,
                 std::string("the journal: ") + sqlite3_errmsg(db_), 0};
  }
  Status run() {
    auto stepped = step();
    if (!stepped) return stepped.error();
    sqlite3_reset(statement_);
    bound_ = 0;
    return {};
  }
  [[nodiscard]] std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  [[nodiscard]] std::uint64_t count(int column) const { return static_cast<std::uint64_t>(number(column)); }
  [[nodiscard]] std::string text(int column) const {
    const auto* data = sqlite3_column_text(statement_, column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(data), size);
  }

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

Status execute(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  const int code = sqlite3_errcode(db);
  const bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
  return Error{damaged ? ErrorCode::kCorrupt : ErrorCode::kIo,
               std::string("the journal: ") + sqlite3_errmsg(db), 0};
}

/// Rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(sqlite3* db) : db_(db), begun_(execute(db, "begin immediate")) {}
  ~Transaction() {
    if (open_ && begun_.ok()) static_cast<void>(execute(db_, "rollback"));
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  [[nodiscard]] const Status& begun() const { return begun_; }
  Status commit() {
    MODDEV_TRY(execute(db_, "commit"));
    open_ = false;
    return {};
  }

 private:
  sqlite3* db_;
  Status begun_;
  bool open_ = true;
};

ModuleChange read_change(const Statement& row) {
  ModuleChange change;
  change.module.name = row.text(0);
  change.change = change_kind_from_string(row.text(1)).value_or(ChangeKind::kChanged);
  change.module.kind = module_kind_from_string(row.text(2)).value_or(ModuleKind::kBlob);
  change.module.version = row.count(3);
  if (auto digest = Digest::parse(row.text(4))) change.module.digest = *digest;
  change.module.size = row.count(5);
  change.module.path = row.text(6);
  change.module.depends_on = split(row.text(7));
  change.module.changed_at_ns = row.number(8);
  return change;
}

}  // namespace

std::string_view to_string(EpochState state) {
  switch (state) {
    case EpochState::kAnnounced:
      return "announced";
    case EpochState::kCommitted:
      return "committed";
    case EpochState::kAborted:
      return "aborted";
  }
  return "announced";
}

struct Journal::State {
  fs::path path;
  int lock = -1;
  sqlite3* db = nullptr;
  Opened opened = Opened::kCreated;
  std::string notice;
  DaemonId id;
  Epoch head = 0;
  Manifest committed;
  std::map<std::string, LastVersion, std::less<>> last_versions;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (db != nullptr) {
      // The checkpoint of the last close makes everything durable; only then is the file marked as left in
      // order.
      static_cast<void>(execute(db, "pragma wal_checkpoint(truncate)"));
      static_cast<void>(set_meta("clean", "1"));
      sqlite3_close(db);
    }
    if (lock >= 0) ::close(lock);
  }

  Status take_lock();
  Status open_file();
  Status create_schema();
  Status check();
  Status load(WallTime now);
  Status set_aside(WallTime now, const std::string& why);
  Status begin_run(WallTime now);
  Status set_meta(std::string_view key, std::string_view value) const;
  [[nodiscard]] std::string meta(std::string_view key) const;
  [[nodiscard]] Result<Manifest> manifest_of(Epoch epoch) const;
  [[nodiscard]] Result<std::vector<ModuleChange>> changes_of(Epoch epoch) const;
  Status decide(Epoch epoch, EpochState state, WallTime at);
};

Status Journal::State::take_lock() {
  const std::string name = path.string() + ".lock";
  lock = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return errno_error("cannot open '" + name + "'", errno);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t n = ::pread(lock, holder, sizeof holder - 1, 0);
    return Error{ErrorCode::kUnavailable,
                 "another daemon (pid " + (n > 0 ? std::string(holder) : std::string("unknown")) +
                     ") holds the history '" + path.string() + "'; stop it first, or watch another directory",
                 EWOULDBLOCK};
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock, 0) != 0 || ::pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    return errno_error("cannot write '" + name + "'", errno);
  }
  return {};
}

Status Journal::State::open_file() {
  const int code = sqlite3_open_v2(path.c_str(), &db,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const Error error{ErrorCode::kIo,
                      "cannot open the journal '" + path.string() + "': " + sqlite3_errmsg(db), 0};
    sqlite3_close(db);
    db = nullptr;
    return error;
  }
  // WAL with synchronous=NORMAL: a commit survives the death of the process without an fsync; after a power
  // cut the newest commits can be missing, the file is never inconsistent
  // (sqlite.org/pragma.html#pragma_synchronous).
  MODDEV_TRY(execute(db, "pragma journal_mode=wal"));
  return execute(db, "pragma synchronous=normal");
}

std::string Journal::State::meta(std::string_view key) const {
  Statement row(db, "select value from meta where key=?");
  auto found = row.bind(key).step();
  return found && *found ? row.text(0) : std::string();
}

Status Journal::State::set_meta(std::string_view key, std::string_view value) const {
  return Statement(db, "insert into meta values(?,?) on conflict(key) do update set value=excluded.value")
      .bind(key)
      .bind(value)
      .run();
}

Status Journal::State::create_schema() {
  Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(execute(db, kSchema));
  MODDEV_TRY(set_meta("schema", std::to_string(kSchemaVersion)));
  MODDEV_TRY(set_meta("repo", Uuid::random().to_string()));
  return transaction.commit();
}

Status Journal::State::check() {
  Statement check(db, "pragma quick_check(1)");
  auto row = check.step();
  if (!row) return row.error();
  if (!*row || check.text(0) != "ok") {
    return Error{ErrorCode::kCorrupt, *row ? check.text(0) : std::string("no answer to the check"), 0};
  }
  return {};
}

Status Journal::State::set_aside(WallTime now, const std::string& why) {
  sqlite3_close(db);
  db = nullptr;
  const std::string aside =
      path.string() + ".damaged-" +
      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;
    fs::rename(path.string() + suffix, aside + suffix, error);
    if (error && suffix[0] == '\0')
      return errno_error("cannot set aside '" + path.string() + "'", error.value());
  }
  notice = "The history was damaged (" + why + "). It is kept as '" + aside +
           "'; a new history with a new repo id begins, and executors will load everything anew.";
  opened = Opened::kReplaced;
  MODDEV_TRY(open_file());
  return create_schema();
}

Result<std::vector<ModuleChange>> Journal::State::changes_of(Epoch epoch) const {
  Statement rows(
      db,
      "select name, change, kind, version, digest, size, path, depends_on, changed_at from changes "
      "where epoch=? order by name");
  rows.bind(epoch);
  std::vector<ModuleChange> changes;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return changes;
    changes.push_back(read_change(rows));
  }
}

Result<Manifest> Journal::State::manifest_of(Epoch epoch) const {
  // From the epoch back over its bases to the empty manifest; then forward again.
  std::vector<Epoch> chain;
  for (Epoch at = epoch; at != 0;) {
    Statement row(db, "select base from epochs where epoch=?");
    auto found = row.bind(at).step();
    if (!found) return found.error();
    if (!*found)
      return Error{ErrorCode::kNotFound, "epoch " + std::to_string(at) + " is not in the history", 0};
    chain.push_back(at);
    const Epoch base = row.count(0);
    if (base >= at)
      return Error{ErrorCode::kCorrupt, "epoch " + std::to_string(at) + " has no older base", 0};
    at = base;
  }
  Manifest manifest;
  for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
    auto changes = changes_of(*at);
    if (!changes) return changes.error();
    for (const auto& [change, module] : *changes) {
      if (change == ChangeKind::kRemoved) {
        manifest.modules.erase(module.name);
      } else {
        manifest.modules.insert_or_assign(module.name, module);
      }
    }
  }
  manifest.epoch = epoch;
  return manifest;
}

Status Journal::State::begin_run(WallTime now) {
  const bool rebooted = meta("clean") != "1" && !meta("boot").empty() && meta("boot") != boot_id();
  Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  if (rebooted) {
    // Epochs that were announced before the power went may be missing here: their numbers could be given
    // again. Under a new repo id a number never stands for two contents.
    MODDEV_TRY(set_meta("repo", Uuid::random().to_string()));
    notice =
        "The machine went down while the daemon ran, so the newest epochs may be missing from the history; "
        "it goes on "
        "under a new repo id, and executors will load everything anew.";
  }
  MODDEV_TRY(set_meta("boot", boot_id()));
  MODDEV_TRY(set_meta("clean", "0"));
  // Nobody can have committed what the former run had only announced.
  MODDEV_TRY(Statement(db, "update epochs set state='aborted', decided_at=? where state='announced'")
                 .bind(to_ns(now))
                 .run());
  return transaction.commit();
}

Status Journal::State::load(WallTime now) {
  if (std::atoi(meta("schema").c_str()) > kSchemaVersion) {
    return Error{ErrorCode::kUnsupported,
                 "the history '" + path.string() + "' was written by a newer moddev (schema " +
                     meta("schema") + "); update moddev, or move the file away to begin a new history",
                 0};
  }
  MODDEV_TRY(begin_run(now));
  auto repo = Uuid::parse(meta("repo"));
  if (!repo) return Error{ErrorCode::kCorrupt, "the repo id is missing", 0};
  id = {*repo, Uuid::random()};
  Statement newest(db,
                   "select coalesce(max(epoch),0), coalesce(max(case state when 'committed' then epoch "
                   "end),0) from epochs");
  auto row = newest.step();
  if (!row) return row.error();
  head = newest.count(0);
  auto manifest = manifest_of(newest.count(1));
  if (!manifest) return manifest.error();
  committed = std::move(*manifest);
  Statement versions(db, "select name, version, digest from versions");
  while (true) {
    auto next = versions.step();
    if (!next) return next.error();
    if (!*next) return {};
    auto digest = Digest::parse(versions.text(2));
    if (!digest) return Error{ErrorCode::kCorrupt, "a digest is malformed", 0};
    last_versions[versions.text(0)] = {versions.count(1), *digest};
  }
}

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::open(const fs::path& path, WallTime now) {
  auto state = std::make_unique<State>();
  state->path = path;
  std::error_code missing;
  const bool existed = path != ":memory:" && fs::exists(path, missing);
  if (path != ":memory:") MODDEV_TRY(state->take_lock());
  Status ready = state->open_file();
  if (!existed) {
    state->opened = Opened::kCreated;
    if (ready) ready = state->create_schema();
    if (ready) ready = state->load(now);
  } else {
    state->opened = Opened::kExisting;
    if (ready) ready = state->check();
    if (ready) ready = state->load(now);
    if (!ready && ready.error().code == ErrorCode::kCorrupt) {
      const std::string why = ready.error().message;
      state->last_versions.clear();
      ready = state->set_aside(now, why);
      if (ready) ready = state->load(now);
    }
  }
  if (!ready) return ready.error();
  return std::unique_ptr<Journal>(new Journal(std::move(state)));
}

Journal::Opened Journal::opened() const {
  return state_->opened;
}
const std::string& Journal::notice() const {
  return state_->notice;
}
const DaemonId& Journal::id() const {
  return state_->id;
}
Epoch Journal::head() const {
  return state_->head;
}
const Manifest& Journal::committed() const {
  return state_->committed;
}
const std::map<std::string, LastVersion, std::less<>>& Journal::last_versions() const {
  return state_->last_versions;
}

Status Journal::record_epoch(const EpochRecord& record) {
  MODDEV_ASSERT(record.epoch == state_->head + 1, "epochs are recorded one after another");
  sqlite3* db = state_->db;
  Transaction transaction(db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(Statement(db, "insert into epochs values(?,?,'announced',?,0,?)")
                 .bind(record.epoch)
                 .bind(record.base)
                 .bind(to_ns(record.announced_at))
                 .bind(record.cause)
                 .run());
  Statement change(db, "insert into changes values(?,?,?,?,?,?,?,?,?,?)");
  Statement version(
      db,
      "insert into versions values(?,?,?) on conflict(name) do update set version=excluded.version, "
      "digest=excluded.digest");
  for (const auto& [kind, module] : record.changes) {
    const std::string digest = module.digest.hex();
    MODDEV_TRY(change.bind(record.epoch)
                   .bind(module.name)
                   .bind(to_string(kind))
                   .bind(to_string(module.kind))
                   .bind(module.version)
                   .bind(digest)
                   .bind(module.size)
                   .bind(module.path)
                   .bind(join(module.depends_on))
                   .bind(module.changed_at_ns)
                   .run());
    if (kind != ChangeKind::kRemoved)
      MODDEV_TRY(version.bind(module.name).bind(module.version).bind(digest).run());
  }
  MODDEV_TRY(transaction.commit());
  state_->head = record.epoch;
  for (const auto& [kind, module] : record.changes) {
    if (kind != ChangeKind::kRemoved) state_->last_versions[module.name] = {module.version, module.digest};
  }
  return {};
}

Status Journal::State::decide(Epoch epoch, EpochState state, WallTime at) {
  return Statement(db, "update epochs set state=?, decided_at=? where epoch=?")
      .bind(to_string(state))
      .bind(to_ns(at))
      .bind(epoch)
      .run();
}

Status Journal::record_commit(Epoch epoch, WallTime at) {
  // Read first: once the record stands there must be nothing left that can fail.
  auto changes = state_->changes_of(epoch);
  if (!changes) return changes.error();
  MODDEV_TRY(state_->decide(epoch, EpochState::kCommitted, at));
  state_->committed = apply(state_->committed, *changes, epoch);
  return {};
}

Status Journal::record_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures, WallTime at) {
  Transaction transaction(state_->db);
  MODDEV_TRY(transaction.begun());
  MODDEV_TRY(state_->decide(epoch, EpochState::kAborted, at));
  for (const auto& failure : failures) {
    MODDEV_TRY(Statement(state_->db, "insert into failures values(?,?,?,?)")
                   .bind(epoch)
                   .bind(failure.executor)
                   .bind(failure.module)
                   .bind(failure.error)
                   .run());
  }
  return transaction.commit();
}

Status Journal::record_applied(const AppliedRecord& applied) {
  return Statement(state_->db, "insert or ignore into applied values(?,?,?,?,?,?,?)")
      .bind(applied.epoch)
      .bind(applied.executor.id.to_string())
      .bind(applied.executor.name)
      .bind(applied.executor.host)
      .bind(applied.executor.pid)
      .bind(to_ns(applied.at))
      .bind(applied.elapsed_us)
      .run();
}

Result<EpochRecord> Journal::epoch(Epoch epoch) const {
  Statement row(state_->db, "select base, state, announced_at, decided_at, cause from epochs where epoch=?");
  auto found = row.bind(epoch).step();
  if (!found) return found.error();
  if (!*found)
    return Error{ErrorCode::kNotFound, "epoch " + std::to_string(epoch) + " is not in the history", 0};
  EpochRecord record;
  record.epoch = epoch;
  record.base = row.count(0);
  record.state = state_from(row.text(1));
  record.announced_at = from_ns(row.number(2));
  record.decided_at = from_ns(row.number(3));
  record.cause = row.text(4);
  auto manifest = state_->manifest_of(epoch);
  if (!manifest) return manifest.error();
  record.manifest = std::move(*manifest);
  auto changes = state_->changes_of(epoch);
  if (!changes) return changes.error();
  record.changes = std::move(*changes);
  Statement failures(state_->db, "select executor, module, error from failures where epoch=?");
  failures.bind(epoch);
  while (true) {
    auto next = failures.step();
    if (!next) return next.error();
    if (!*next) return record;
    record.failures.push_back({failures.text(0), failures.text(1), failures.text(2)});
  }
}

Result<std::vector<EpochRecord>> Journal::history(const std::string& module, std::size_t limit) const {
  Statement rows(state_->db, module.empty()
                                 ? "select epoch from epochs where ?='' order by epoch desc limit ?"
                                 : "select epoch from changes where name=? order by epoch desc limit ?");
  rows.bind(module).bind(static_cast<std::uint64_t>(limit));
  std::vector<EpochRecord> records;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return records;
    auto record = epoch(rows.count(0));
    if (!record) return record.error();
    records.push_back(std::move(*record));
  }
}

Result<std::vector<AppliedRecord>> Journal::applied(Epoch epoch) const {
  Statement rows(
      state_->db,
      "select executor, name, host, pid, at, elapsed_us from applied where epoch=? order by at, executor");
  rows.bind(epoch);
  std::vector<AppliedRecord> records;
  while (true) {
    auto row = rows.step();
    if (!row) return row.error();
    if (!*row) return records;
    AppliedRecord record;
    record.epoch = epoch;
    if (auto id = Uuid::parse(rows.text(0))) record.executor.id = *id;
    record.executor.name = rows.text(1);
    record.executor.host = rows.text(2);
    record.executor.pid = rows.number(3);
    record.at = from_ns(rows.number(4));
    record.elapsed_us = rows.number(5);
    records.push_back(std::move(record));
  }
}

}  // namespace moddev::daemon
