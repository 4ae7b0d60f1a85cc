// A thin wrapper around SQLite: a database, statements that are prepared once, transactions. It knows no
// table. Only sqlite.cc includes SQLite's header. Not for several threads: the journal belongs to the
// daemon's one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace moddev::daemon::sqlite {

/// A prepared statement, usable again and again. Preparing may fail; step() and run() then say so. Parameters
/// are bound in their order, columns count from 0 (sqlite.org/c3ref). Must not outlive its database.
class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* db, const char* sql);
  ~Statement();
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;

  Statement& bind(std::int64_t value);
  Statement& bind(std::uint64_t value) { return bind(static_cast<std::int64_t>(value)); }
  /// The text is copied.
  Statement& bind(std::string_view value);
  /// Goes to the next row; whether there is one. After the last, or an error, the statement is as new.
  Result<bool> step();
  /// For a statement without rows. Ready for the next bind() afterwards, also when it failed.
  Status run();

  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] std::uint64_t count(int column) const { return static_cast<std::uint64_t>(number(column)); }
  [[nodiscard]] std::string text(int column) const;

 private:
  void reset();

  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

class Database {
 public:
  Database() = default;
  ~Database();
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;

  /// Opens or makes the file; reads nothing yet. Errors: kIo.
  static Result<Database> open(const std::filesystem::path& path);

  /// An existing one, which is not changed, whoever else has it open. Errors: kIo.
  static Result<Database> open_to_read(const std::filesystem::path& path);

  /// Runs statements without parameters. Errors: kCorrupt when the file is no sound database, kLimit when the
  /// disk is full, else kIo.
  Status execute(const char* sql);
  [[nodiscard]] Statement prepare(const char* sql) const { return {db_, sql}; }
  /// The first column of the first row, or nothing.
  [[nodiscard]] Result<std::optional<std::string>> one_text(const char* sql) const;

  /// Write-ahead logging with our own checkpoints (see checkpoint()). A commit survives the death of the
  /// process without an fsync; a power cut can take the newest ones but leaves the file sound. `durable`:
  /// every commit is on the disk before it returns (sqlite.org/pragma.html#pragma_synchronous).
  Status use_write_ahead_log();
  Status set_durable(bool durable);
  /// Pages that the write-ahead log holds since the last checkpoint.
  [[nodiscard]] int log_pages() const { return log_pages_ ? *log_pages_ : 0; }
  /// Moves the log into the file and on the disk: an fsync or two, so never on the hot path.
  Status checkpoint();

 private:
  friend class Transaction;
  void close();

  sqlite3* db_ = nullptr;
  std::unique_ptr<int> log_pages_;  // its address is known to SQLite
  bool prepared_ = false;
  Statement begin_;
  Statement commit_;
  Statement rollback_;
};

/// Rolls back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  [[nodiscard]] const Status& begun() const { return begun_; }
  Status commit();

 private:
  Database& database_;
  Status begun_;
  bool open_ = true;
};

}  // namespace moddev::daemon::sqlite
