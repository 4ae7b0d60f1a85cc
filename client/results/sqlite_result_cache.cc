// The cache in a SQLite file that several processes share. Write-ahead logging: readers never wait for the
// writer. A hit is noted in memory and written with the next store, so that finding costs no write.
#include <fcntl.h>
#include <moddev/result_cache.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "client/results/explain.h"

namespace moddev {
namespace {

using results::Neighbours;

/// How long one process waits for another that writes.
constexpr int kBusyMilliseconds = 5000;
constexpr int kBusyStep = 5;
/// Hits that wait to be noted in the file; with more they are written at once.
constexpr std::size_t kNotedHits = 256;

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS codes(closure TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(
  id INTEGER PRIMARY KEY,
  identity TEXT NOT NULL UNIQUE,
  module TEXT NOT NULL, symbol TEXT NOT NULL, closure TEXT NOT NULL, arguments TEXT NOT NULL,
  evicted INTEGER NOT NULL,  -- 1: the result went, the key is remembered
  used INTEGER NOT NULL,     -- rises with every use
  size INTEGER NOT NULL,
  result BLOB);
CREATE INDEX IF NOT EXISTS by_use ON results(evicted, used);
CREATE INDEX IF NOT EXISTS by_arguments ON results(module, symbol, arguments);
CREATE INDEX IF NOT EXISTS by_closure ON results(closure);
CREATE TABLE IF NOT EXISTS totals(
  one INTEGER PRIMARY KEY CHECK(one = 1), uses INTEGER NOT NULL, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
  remembered INTEGER NOT NULL);
INSERT OR IGNORE INTO totals VALUES(1, 0, 0, 0, 0);
CREATE TRIGGER IF NOT EXISTS on_insert AFTER INSERT ON results BEGIN
  UPDATE totals SET entries = entries + 1, bytes = bytes + NEW.size;
END;
CREATE TRIGGER IF NOT EXISTS on_evict AFTER UPDATE OF evicted ON results BEGIN
  UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size, remembered = remembered + 1;
END;
CREATE TRIGGER IF NOT EXISTS on_delete_kept AFTER DELETE ON results WHEN OLD.evicted = 0 BEGIN
  UPDATE totals SET entries = entries - 1, bytes = bytes - OLD.size;
END;
CREATE TRIGGER IF NOT EXISTS on_delete_evicted AFTER DELETE ON results WHEN OLD.evicted = 1 BEGIN
  UPDATE totals SET remembered = remembered - 1;
END;
PRAGMA user_version = 1;
)sql";
constexpr std::uint64_t kSchemaVersion = 1;

Error sqlite_error(const std::string& path, sqlite3* db, int code) {
  const int primary = code & 0xff;
  Error error{ErrorCode::kIo, "The result cache " + path + ": " + ::sqlite3_errmsg(db) + ".", 0};
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
    error.code = ErrorCode::kCorrupt;
    error.message += " Results can be computed again: remove the file.";
  } else if (primary == SQLITE_FULL) {
    error.message += " The disk is full.";
  }
  return error;
}

/// One prepared statement, reset when it goes out of scope.
class Query {
 public:
  Query(sqlite3* db, const std::string& path, const char* sql) : db_(db), path_(path) {
    code_ = ::sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  ~Query() { ::sqlite3_finalize(statement_); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(std::string_view text) {
    if (statement_ == nullptr) return *this;
    ::sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Query& bind(std::uint64_t number) {
    if (statement_ == nullptr) return *this;
    ::sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(number));
    return *this;
  }
  /// Not copied: must stay until the statement was run.
  Query& bind_blob(std::span<const std::byte> bytes) {
    if (statement_ == nullptr) return *this;
    static constexpr char kNothing = 0;  // a null pointer would store NULL
    const void* data = bytes.empty() ? static_cast<const void*>(&kNothing) : bytes.data();
    ::sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_STATIC);
    return *this;
  }
  /// Whether there is a (further) row.
  Result<bool> row() {
    if (statement_ != nullptr) code_ = ::sqlite3_step(statement_);
    if (code_ == SQLITE_ROW) return true;
    if (code_ == SQLITE_DONE) return false;
    return sqlite_error(path_, db_, code_);
  }
  Status run() {
    const auto row_there = row();
    return row_there ? Status() : Status(row_there.error());
  }
  [[nodiscard]] std::string text(int column) const {
    const auto* data = reinterpret_cast<const char*>(::sqlite3_column_text(statement_, column));
    return data == nullptr
               ? ""
               : std::string(data, static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column)));
  }
  [[nodiscard]] std::uint64_t number(int column) const {
    return static_cast<std::uint64_t>(::sqlite3_column_int64(statement_, column));
  }
  [[nodiscard]] ResultCache::Value blob(int column) const {
    const auto* data = static_cast<const std::byte*>(::sqlite3_column_blob(statement_, column));
    const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column));
    return data == nullptr ? ResultCache::Value() : ResultCache::Value(data, data + size);
  }

 private:
  sqlite3* db_;
  const std::string& path_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
  int code_ = SQLITE_OK;
};

/// One line a part: the digest, a tab, the module's name, which holds no line break (protocol/names.h).
std::string encode(const std::vector<ClosurePart>& parts) {
  std::string text;
  for (const ClosurePart& part : parts) text += part.digest + '\t' + part.module + '\n';
  return text;
}

std::vector<ClosurePart> decode(std::string_view text) {
  std::vector<ClosurePart> parts;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const std::size_t tab = line.find('\t');
    if (tab != std::string_view::npos) {
      parts.push_back({std::string(line.substr(tab + 1)), std::string(line.substr(0, tab))});
    }
    text.remove_prefix(std::min(text.size(), line.size() + 1));
  }
  return parts;
}

class SqliteResultCache final : public ResultCache {
 public:
  SqliteResultCache(std::string path, ResultCacheLimits limits, sqlite3* db)
      : path_(std::move(path)), limits_(limits), db_(db) {}
  ~SqliteResultCache() override {
    if (!noted_.empty() && begin()) (void)end(note_uses());
    ::sqlite3_close_v2(db_);
  }

  Status prepare() {
    ::sqlite3_busy_timeout(db_, kBusyMilliseconds);
    MODDEV_TRY(use_write_ahead_log());
    const auto found = schema_version();
    if (!found) return found.error();
    if (*found > kSchemaVersion) {
      return Error{ErrorCode::kUnsupported,
                   "The result cache " + path_ + " was written by a newer version. Use another file.", 0};
    }
    if (*found == kSchemaVersion) return {};
    MODDEV_TRY(begin());
    return end(execute(kSchema));
  }

  Result<std::optional<Value>> find(const ResultKey& key) override {
    MODDEV_TRY(results::validate(key));
    std::string identity = results::identity_of(key);
    const std::lock_guard lock(mutex_);
    auto result = read(identity);
    if (!result) return result.error();
    if (!*result) {
      ++stats_.misses;
      return result;
    }
    ++stats_.hits;
    note(std::move(identity));
    return result;
  }

  Status store(const ResultKey& key, std::span<const std::byte> result) override {
    MODDEV_TRY(results::validate(key));
    if (result.size() > limits_.bytes || limits_.entries == 0) {
      return Error{ErrorCode::kLimit,
                   "A result of " + std::to_string(result.size()) + " bytes does not fit into a cache of " +
                       std::to_string(limits_.bytes) + " bytes (ResultCacheLimits).",
                   0};
    }
    const std::lock_guard lock(mutex_);
    MODDEV_TRY(begin());
    return end(write(key, result));
  }

  Result<Miss> explain(const ResultKey& key) override {
    MODDEV_TRY(results::validate(key));
    const std::lock_guard lock(mutex_);
    Neighbours neighbours;
    Query itself(db_, path_, "SELECT evicted FROM results WHERE identity = ?");
    auto there = itself.bind(results::identity_of(key)).row();
    if (!there) return there.error();
    if (*there) {
      neighbours.evicted = itself.number(0) == 1;
      neighbours.present = !neighbours.evicted;
    }
    auto same_arguments = codes(
        "SELECT parts FROM results JOIN codes USING(closure) WHERE module = ? AND symbol = ? AND arguments = "
        "? "
        "AND closure <> ? ORDER BY evicted, used DESC LIMIT ?",
        {key.module, key.symbol, key.arguments, key.closure});
    if (!same_arguments) return same_arguments.error();
    neighbours.same_arguments = std::move(*same_arguments);
    Query same_code(db_, path_,
                    "SELECT 1 FROM results WHERE closure = ? AND module = ? AND symbol = ? LIMIT 1");
    there = same_code.bind(key.closure).bind(key.module).bind(key.symbol).row();
    if (!there) return there.error();
    neighbours.same_code = *there;
    if (neighbours.same_arguments.empty() && !neighbours.same_code) {
      auto same_symbol = codes(
          "SELECT parts FROM results JOIN codes USING(closure) WHERE module = ? AND symbol = ? GROUP BY "
          "closure "
          "ORDER BY min(evicted), max(used) DESC LIMIT ?",
          {key.module, key.symbol});
      if (!same_symbol) return same_symbol.error();
      neighbours.same_symbol = std::move(*same_symbol);
    }
    return results::explain(key, neighbours);
  }

  Result<ResultCacheStats> stats() override {
    const std::lock_guard lock(mutex_);
    Query totals(db_, path_, "SELECT entries, bytes, remembered FROM totals");
    const auto row = totals.row();
    if (!row) return row.error();
    ResultCacheStats stats = stats_;
    stats.entries = totals.number(0);
    stats.bytes = totals.number(1);
    stats.remembered = totals.number(2);
    return stats;
  }

 private:
  Status execute(const char* sql) {
    const int code = ::sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
    return code == SQLITE_OK ? Status() : Status(sqlite_error(path_, db_, code));
  }
  /// After a power cut the file is sound and may lack the newest results. While another process switches too,
  /// SQLite answers "busy" at once, whatever its timeout (sqlite.org/rescode.html#busy).
  Status use_write_ahead_log() {
    for (int waited = 0;; waited += kBusyStep) {
      const int code = ::sqlite3_exec(db_, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", nullptr,
                                      nullptr, nullptr);
      if (code == SQLITE_OK) return {};
      if ((code & 0xff) != SQLITE_BUSY || waited >= kBusyMilliseconds) return sqlite_error(path_, db_, code);
      ::sqlite3_sleep(kBusyStep);
    }
  }
  Result<std::uint64_t> schema_version() {
    Query version(db_, path_, "PRAGMA user_version");
    const auto row = version.row();
    if (!row) return row.error();
    return version.number(0);
  }
  /// No query may be open: its snapshot may be old, and an old one cannot become a writer's.
  Status begin() { return execute("BEGIN IMMEDIATE"); }
  /// Commits when `done` is a success, else takes everything back.
  Status end(Status done) {
    if (done) done = execute("COMMIT");
    if (!done) ::sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    return done;
  }

  Result<std::optional<Value>> read(const std::string& identity) {
    Query query(db_, path_, "SELECT result FROM results WHERE identity = ? AND evicted = 0");
    const auto there = query.bind(identity).row();
    if (!there) return there.error();
    return *there ? std::optional<Value>(query.blob(0)) : std::nullopt;
  }

  Status write(const ResultKey& key, std::span<const std::byte> result) {
    MODDEV_TRY(note_uses());
    const std::string identity = results::identity_of(key);
    MODDEV_TRY(Query(db_, path_, "DELETE FROM results WHERE identity = ?").bind(identity).run());
    MODDEV_TRY(Query(db_, path_, "INSERT OR IGNORE INTO codes VALUES(?, ?)")
                   .bind(key.closure)
                   .bind(encode(key.parts))
                   .run());
    MODDEV_TRY(execute("UPDATE totals SET uses = uses + 1"));
    MODDEV_TRY(
        Query(
            db_, path_,
            "INSERT INTO results(identity, module, symbol, closure, arguments, evicted, used, size, result) "
            "VALUES(?, ?, ?, ?, ?, 0, (SELECT uses FROM totals), ?, ?)")
            .bind(identity)
            .bind(key.module)
            .bind(key.symbol)
            .bind(key.closure)
            .bind(key.arguments)
            .bind(std::uint64_t{result.size()})
            .bind_blob(result)
            .run());
    return make_room();
  }

  Status make_room() {
    for (;;) {
      Query totals(db_, path_, "SELECT entries > ? OR bytes > ?, remembered > ? FROM totals");
      const auto row = totals.bind(std::uint64_t{limits_.entries})
                           .bind(limits_.bytes)
                           .bind(std::uint64_t{limits_.entries})
                           .row();
      if (!row) return row.error();
      if (totals.number(0) != 0) {
        MODDEV_TRY(
            execute("UPDATE results SET evicted = 1, size = 0, result = NULL WHERE id = "
                    "(SELECT id FROM results WHERE evicted = 0 ORDER BY used LIMIT 1)"));
        ++stats_.evictions;
      } else if (totals.number(1) != 0) {
        MODDEV_TRY(forget_one());
      } else {
        return {};
      }
    }
  }

  Status forget_one() {
    Query oldest(db_, path_, "SELECT id, closure FROM results WHERE evicted = 1 ORDER BY used LIMIT 1");
    const auto row = oldest.row();
    if (!row) return row.error();
    MODDEV_TRY(Query(db_, path_, "DELETE FROM results WHERE id = ?").bind(oldest.number(0)).run());
    return Query(db_, path_,
                 "DELETE FROM codes WHERE closure = ?1 AND NOT EXISTS(SELECT 1 FROM results WHERE closure = "
                 "?1)")
        .bind(oldest.text(1))
        .run();
  }

  void note(std::string identity) {
    std::erase(noted_, identity);
    noted_.push_back(std::move(identity));
    // Nobody is told when that fails: it only makes a good result look older.
    if (noted_.size() >= kNotedHits && begin()) (void)end(note_uses());
  }

  Status note_uses() {
    for (const std::string& identity : std::exchange(noted_, {})) {
      MODDEV_TRY(execute("UPDATE totals SET uses = uses + 1"));
      MODDEV_TRY(Query(db_, path_, "UPDATE results SET used = (SELECT uses FROM totals) WHERE identity = ?")
                     .bind(identity)
                     .run());
    }
    return {};
  }

  Result<std::vector<std::vector<ClosurePart>>> codes(const char* sql,
                                                      const std::vector<std::string>& values) {
    Query query(db_, path_, sql);
    for (const std::string& value : values) query.bind(value);
    query.bind(std::uint64_t{results::kCodesCompared});
    std::vector<std::vector<ClosurePart>> found;
    for (;;) {
      const auto row = query.row();
      if (!row) return row.error();
      if (!*row) return found;
      found.push_back(decode(query.text(0)));
    }
  }

  const std::string path_;
  const ResultCacheLimits limits_;
  std::mutex mutex_;
  sqlite3* db_;
  std::vector<std::string> noted_;  // hits, the oldest first
  ResultCacheStats stats_;
};

/// Makes the file if need be, and checks that nobody else can write results into it. A file that is there is
/// not opened: closing it would drop the locks of another cache of this process
/// (sqlite.org/howtocorrupt.html, 2.2).
Status prepare_file(const std::string& path) {
  const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (made >= 0) {
    ::close(made);
  } else if (errno != EEXIST) {
    return errno_error("Cannot make the result cache " + path, errno);
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return errno_error("Cannot open the result cache " + path, errno);
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() ||
      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{
        ErrorCode::kPermission,
        "The result cache " + path +
            " is no file of this user alone: whoever may write to it could decide our results. Make it "
            "yours alone (chmod 600) or use another file.",
        0};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ResultCache>> open_result_cache(const std::string& path, ResultCacheLimits limits) {
  MODDEV_TRY(prepare_file(path));
  sqlite3* db = nullptr;
  const int code = ::sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  auto cache = std::make_unique<SqliteResultCache>(path, limits, db);
  if (code != SQLITE_OK) return sqlite_error(path, db, code);
  MODDEV_TRY(cache->prepare());
  return std::unique_ptr<ResultCache>(std::move(cache));
}

}  // namespace moddev
