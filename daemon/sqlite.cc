#include "daemon/sqlite.h"

#include <sqlite3.h>

#include <utility>

namespace moddev::daemon::sqlite {
namespace {

Error error_of(sqlite3* db, int code) {
  const int primary = code & 0xFF;
  ErrorCode kind = ErrorCode::kIo;
  // Our statements are right and our rows fit: where SQLite thinks otherwise, the tables are not ours any
  // more.
  for (const int damage : {SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_ERROR, SQLITE_CONSTRAINT, SQLITE_MISMATCH}) {
    if (primary == damage) kind = ErrorCode::kCorrupt;
  }
  if (primary == SQLITE_FULL) kind = ErrorCode::kLimit;
  return {kind, std::string("the journal: ") + sqlite3_errmsg(db), 0};
}

}  // namespace

Statement::Statement(sqlite3* db, const char* sql) : db_(db) {
  if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr) != SQLITE_OK)
    statement_ = nullptr;
}
Statement::~Statement() {
  sqlite3_finalize(statement_);
}
Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(statement_, other.statement_);
  std::swap(bound_, other.bound_);
  return *this;
}

Statement& Statement::bind(std::int64_t value) {
  if (statement_ != nullptr) sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  if (statement_ != nullptr) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
  }
  return *this;
}

void Statement::reset() {
  sqlite3_reset(statement_);
  bound_ = 0;
}

Result<bool> Statement::step() {
  const int code = statement_ == nullptr ? sqlite3_errcode(db_) : sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    reset();
    return false;
  }
  const Error error = error_of(db_, code);
  reset();
  return error;
}

Status Statement::run() {
  auto stepped = step();
  if (!stepped) return stepped.error();
  if (*stepped) reset();
  return {};
}

std::int64_t Statement::number(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::text(int column) const {
  // The type may be changed by asking for the text, so the size is asked for afterwards.
  const auto* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

Database::~Database() {
  close();
}
Database::Database(Database&& other) noexcept {
  *this = std::move(other);
}
Database& Database::operator=(Database&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(log_pages_, other.log_pages_);
  std::swap(prepared_, other.prepared_);
  std::swap(begin_, other.begin_);
  std::swap(commit_, other.commit_);
  std::swap(rollback_, other.rollback_);
  return *this;
}

void Database::close() {
  begin_ = Statement();
  commit_ = Statement();
  rollback_ = Statement();
  prepared_ = false;
  sqlite3_close(db_);
  db_ = nullptr;
}

namespace {

Result<void> open_as(const std::filesystem::path& path, int flags, sqlite3** db) {
  if (sqlite3_open_v2(path.c_str(), db, flags | SQLITE_OPEN_NOMUTEX, nullptr) == SQLITE_OK) return {};
  return Error{ErrorCode::kIo, "cannot open the journal '" + path.string() + "': " + sqlite3_errmsg(*db), 0};
}

}  // namespace

Result<Database> Database::open(const std::filesystem::path& path) {
  Database database;
  MODDEV_TRY(open_as(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &database.db_));
  return database;
}

Result<Database> Database::open_to_read(const std::filesystem::path& path) {
  Database database;
  MODDEV_TRY(open_as(path, SQLITE_OPEN_READONLY, &database.db_));
  // A checkpoint of the daemon's takes milliseconds.
  constexpr int kBusyMilliseconds = 2'000;
  sqlite3_busy_timeout(database.db_, kBusyMilliseconds);
  return database;
}

Status Database::execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return error_of(db_, code);
}

Result<std::optional<std::string>> Database::one_text(const char* sql) const {
  Statement statement = prepare(sql);
  auto row = statement.step();
  if (!row) return row.error();
  if (!*row) return std::optional<std::string>();
  return std::optional<std::string>(statement.text(0));
}

Status Database::use_write_ahead_log() {
  MODDEV_TRY(execute("pragma journal_mode=wal"));
  log_pages_ = std::make_unique<int>(0);
  // Installing a hook replaces SQLite's own checkpoints, which would come in the middle of a switch.
  sqlite3_wal_hook(
      db_,
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<int*>(pages) = count;
        return SQLITE_OK;
      },
      log_pages_.get());
  return {};
}

Status Database::set_durable(bool durable) {
  // Extra: that a rollback journal was removed is on the disk as well. Making a file begins with one, and it
  // would undo everything if it came back.
  return execute(durable ? "pragma synchronous=extra" : "pragma synchronous=normal");
}

Status Database::checkpoint() {
  int in_log = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
  if (code != SQLITE_OK) return error_of(db_, code);
  if (log_pages_) *log_pages_ = in_log - moved;
  return {};
}

Transaction::Transaction(Database& database) : database_(database) {
  MODDEV_ASSERT(sqlite3_get_autocommit(database.db_) != 0, "a transaction within a transaction");
  // Prepared at the first use, so that opening a file that turns out to be damaged touches it as little as
  // possible.
  static constexpr const char* kBegin = "begin immediate";
  if (!database.prepared_) {
    database.begin_ = database.prepare(kBegin);
    database.commit_ = database.prepare("commit");
    database.rollback_ = database.prepare("rollback");
    database.prepared_ = true;
  }
  begun_ = database.begin_.run();
}

Transaction::~Transaction() {
  if (open_ && begun_.ok()) static_cast<void>(database_.rollback_.run());
}

Status Transaction::commit() {
  MODDEV_TRY(database_.commit_.run());
  open_ = false;
  return {};
}

}  // namespace moddev::daemon::sqlite
