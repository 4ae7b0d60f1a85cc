// What it costs to record an epoch and its commit, beside the floor: SQLite inserting one row of the same
// size, in the same mode, twice, since an epoch is two records. Usage: state_journal_bench [DIRECTORY
// [EPOCHS]]. Prints microseconds; the ratio is what counts, both are measured in the same run, in turns.
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "daemon/journal.h"
#include "daemon/versioner.h"

namespace {

using namespace moddev;
using namespace moddev::daemon;

void check(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "journal_bench: %s\n", what);
  std::exit(1);
}

class Times {
 public:
  template <typename Work>
  void time(const Work& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    all_.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
  }
  double at(double part) {
    std::sort(all_.begin(), all_.end());
    return all_[std::min(all_.size() - 1, static_cast<std::size_t>(part * static_cast<double>(all_.size())))];
  }

 private:
  std::vector<double> all_;
};

class RawSqlite {
 public:
  explicit RawSqlite(const std::filesystem::path& path) {
    check(sqlite3_open(path.c_str(), &db_) == SQLITE_OK, "sqlite does not open");
    for (const char* sql :
         {"pragma journal_mode=wal", "pragma synchronous=normal", "pragma wal_autocheckpoint=0",
          "create table t(id integer primary key, text text not null)"}) {
      check(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK, sql);
    }
    check(sqlite3_prepare_v2(db_, "insert into t(text) values(?)", -1, &insert_, nullptr) == SQLITE_OK,
          "prepare");
  }
  ~RawSqlite() {
    sqlite3_finalize(insert_);
    sqlite3_close(db_);
  }
  RawSqlite(const RawSqlite&) = delete;
  RawSqlite& operator=(const RawSqlite&) = delete;
  void insert(const std::string& text) {
    sqlite3_bind_text(insert_, 1, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    check(sqlite3_step(insert_) == SQLITE_DONE, "insert");
    sqlite3_reset(insert_);
  }
  void checkpoint() { sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr); }

 private:
  sqlite3* db_ = nullptr;
  sqlite3_stmt* insert_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path base =
      argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path();
  const int epochs = argc > 2 ? std::atoi(argv[2]) : 3'000;
  std::string name = (base / "moddev-journal-bench-XXXXXX").string();
  check(epochs > 0 && ::mkdtemp(name.data()) != nullptr, "no directory can be made");
  const std::filesystem::path directory = name;
  std::printf("journal in %s, %d epochs of one changed module out of 100, microseconds\n", base.c_str(),
              epochs);
  std::printf("%-34s %8s %8s %8s\n", "", "p50", "p99", "max");
  const auto print = [](const char* what, Times& times) {
    std::printf("%-34s %8.1f %8.1f %8.1f\n", what, times.at(0.5), times.at(0.99), times.at(1.0));
  };
  {
    const WallTime wall(std::chrono::seconds(1'764'000'000));
    auto opened = Journal::open(directory / "journal", wall);
    check(opened.ok(), "the journal does not open");
    Journal& journal = **opened;
    RawSqlite raw(directory / "raw");
    ModuleSet modules;
    for (int i = 0; i < 100; ++i) {
      ModuleContent& content = modules["module" + std::to_string(i)];
      content = {ModuleKind::kNative,
                 digest_of(std::to_string(i)),
                 65'536,
                 "lib/libmodule" + std::to_string(i) + ".so",
                 {}};
    }
    const std::string row(250, 'r');
    Times next, record, commit, both, one_insert, two_inserts;
    for (int i = 0; i < epochs; ++i) {
      modules["module" + std::to_string(i % 100)].digest = digest_of("epoch " + std::to_string(i));
      std::optional<EpochRecord> epoch;
      next.time([&] {
        epoch =
            next_epoch(modules, journal.committed(), nullptr, journal.head(), journal.last_versions(), wall);
      });
      check(epoch.has_value(), "nothing new");
      both.time([&] {
        record.time([&] { check(journal.record_epoch(*epoch).ok(), "record_epoch"); });
        commit.time([&] { check(journal.record_commit(epoch->epoch, wall).ok(), "record_commit"); });
      });
      two_inserts.time([&] {
        one_insert.time([&] { raw.insert(row); });
        raw.insert(row);
      });
      // As the daemon does it, when there is time.
      if (i % 50 == 49) {
        check(journal.tidy().ok(), "tidy");
        raw.checkpoint();
      }
    }
    print("raw SQLite, one insert", one_insert);
    print("raw SQLite, two inserts", two_inserts);
    print("record_epoch", record);
    print("record_commit", commit);
    print("record_epoch + record_commit", both);
    print("next_epoch (deciding, no disk)", next);
    std::printf("ratio of p50 to two raw inserts: %.2f\n", both.at(0.5) / two_inserts.at(0.5));
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return 0;
}
