// Journals of older and of newer programs, and files that are none.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdlib>

#include "daemon/journal.h"
#include "daemon/journal_lookup.h"
#include "daemon/journal_schema.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using testing::abort;
using testing::at_second;
using testing::commit;
using testing::content;
using testing::next;
using testing::open_journal;
using testing::Scratch;

class SchemaTest : public ::testing::Test {
 protected:
  Scratch scratch;
  std::filesystem::path path = scratch / "journal";
};

TEST_F(SchemaTest, TheFirstSchemaIsBroughtUpToDate) {
  std::filesystem::copy_file(std::filesystem::path(MODDEV_GOLDEN_DIR) / "journal" / "schema1.sqlite", path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  for (int start = 0; start < 2; ++start) {
    const auto journal = open_journal(path, 1'000, "another boot");
    EXPECT_EQ(journal->opened(), Journal::Opened::kExisting);
    EXPECT_EQ(journal->notice(), "");
    EXPECT_EQ(journal->id().repo.to_string(), "9128ecf1-823e-455b-919b-e7ae0065fb53");
    EXPECT_EQ(journal->head(), 6U);
    EXPECT_EQ(journal->committed().epoch, 5U);
    EXPECT_EQ(journal->committed().modules.size(), 3U);
    EXPECT_EQ(journal->committed().find("scorer")->version, 4U);
    EXPECT_EQ(journal->last_versions().at("base"), (LastVersion{2, digest_of("base two")}));
    EXPECT_EQ(journal->last_versions().at("table.json"), (LastVersion{1, digest_of("{}")}));
    EXPECT_EQ(journal->manifest(1)->find("scorer")->depends_on, std::vector<std::string>{"base"});
    EXPECT_EQ(journal->epoch(3)->failures.at(0).error, "undefined symbol: weight");
    EXPECT_EQ(journal->epoch(6)->state, EpochState::kAborted);
    EXPECT_EQ(journal->applied(5)->at(0).elapsed_us, 840);
    EXPECT_TRUE(journal->holds().empty());
    EXPECT_EQ(journal->last_audit_id(), static_cast<std::uint64_t>(start)) << "the audit begins";
    ASSERT_TRUE(journal->record_audit(std::vector{AuditEntry{static_cast<std::uint64_t>(start) + 1}}));
    EXPECT_EQ(journal->runs("", 10)->size(), static_cast<std::size_t>(start)) << "the runs begin";
    ASSERT_TRUE(journal->record_runs(std::vector{RunRecord{{}, {"scorer", 4, 1, 1, 1, 1}, at_second(1)}}));
  }
}

std::vector<AuditEntry> sample_audit() {
  return {
      {1, AuditAct::kApplied, "laptop", "10.0.0.2", "worker-1", "epoch 6", at_second(42), at_second(42), 1},
      {2, AuditAct::kRefused, "10.0.0.9", "", "", "its key is not trusted", at_second(43), at_second(60), 7}};
}
RunRecord sample_run() {
  const Uuid id = *Uuid::parse("00112233-4455-4677-8899-aabbccddeeff");
  return {{id, "worker-1", "host", 4711}, {"scorer", 4, 12, 3'000, 900, 43}, at_second(44)};
}
std::vector<AuditEntry> newest_first(std::vector<AuditEntry> entries) {
  std::ranges::reverse(entries);
  return entries;
}
std::vector<AuditEntry> audit_of(const std::filesystem::path& file) {
  std::vector<AuditEntry> entries;
  const Status read = visit_audit(file, [&](const AuditEntry& entry) {
    entries.push_back(entry);
    return true;
  });
  EXPECT_TRUE(read) << read.error().message;
  return entries;
}
/// A history with everything that the tables can hold.
void write_sample(const std::filesystem::path& file) {
  const auto journal = open_journal(file, 0, "a boot");
  commit(*journal, {{"base", content("x")}, {"once", content("o")}, {"scorer", content("1", {"base"})}}, 10);
  for (const char* bytes : {"2", "3", "4"})
    commit(*journal, {{"base", content("x")}, {"scorer", content(bytes)}}, 20);
  ASSERT_TRUE(journal->forget(2, {1}));
  abort(*journal, {{"base", content("x")}, {"scorer", content("refused")}}, 30);
  EpochRecord rollback = next(*journal, {{"base", content("x")}, {"scorer", content("3")}}, 40);
  rollback.cause = "rollback to epoch 3";
  rollback.restores = 3;
  rollback.holds = HoldSet{{"scorer", Hold{content("3", {"base"}), 3, digest_of("refused"), "lib/some.so"}},
                           {"new", Hold{std::nullopt, 0, digest_of("n"), "new.py"}}};
  ASSERT_TRUE(journal->record_epoch(rollback));
  ASSERT_TRUE(journal->record_commit(rollback.epoch, at_second(41)));
  const Uuid id = *Uuid::parse("00112233-4455-4677-8899-aabbccddeeff");
  ASSERT_TRUE(journal->record_applied(
      AppliedRecord{rollback.epoch, {id, "worker-1", "host", 4711}, at_second(42), 840}));
  ASSERT_TRUE(journal->record_audit(sample_audit()));
  ASSERT_TRUE(journal->record_runs(std::vector{sample_run()}));
}

/// The third schema is the same without the runs, the second also without the audit.
class EachSchema : public SchemaTest, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Versions, EachSchema, ::testing::Values(2, 3, 4));

TEST_P(EachSchema, IsReadAsItWasWritten) {
  const auto golden = std::filesystem::path(MODDEV_GOLDEN_DIR) / "journal" /
                      ("schema" + std::to_string(GetParam()) + ".sqlite");
  if (std::getenv("MODDEV_UPDATE_GOLDEN") != nullptr && GetParam() == schema::kVersion) {
    std::filesystem::remove(golden);
    write_sample(golden);
    for (const char* suffix : {"-wal", "-shm", ".lock"}) std::filesystem::remove(golden.string() + suffix);
  }
  std::filesystem::copy_file(golden, path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  EXPECT_EQ(audit_of(path), GetParam() < 3 ? std::vector<AuditEntry>() : newest_first(sample_audit()))
      << "read without bringing it up to date";
  // A fresh one tells what it should hold.
  write_sample(scratch / "fresh");
  const auto fresh = open_journal(scratch / "fresh");
  const auto journal = open_journal(path);
  EXPECT_EQ(journal->opened(), Journal::Opened::kExisting);
  EXPECT_EQ(journal->notice(), "");
  EXPECT_EQ(journal->head(), 6U);
  EXPECT_EQ(journal->forgotten(), 2U);
  EXPECT_EQ(journal->committed(), fresh->committed());
  EXPECT_EQ(journal->last_versions(), fresh->last_versions());
  EXPECT_EQ(journal->holds(), fresh->holds());
  EXPECT_EQ(journal->holds().size(), 2U);
  for (const Epoch epoch : std::vector<Epoch>{1, 2, 3, 4, 5, 6}) {
    const auto mine = journal->manifest(epoch);
    const auto wanted = fresh->manifest(epoch);
    ASSERT_EQ(mine.ok(), wanted.ok()) << epoch;
    if (mine) {
      EXPECT_EQ(*mine, *wanted);
    }
  }
  EXPECT_EQ(journal->epoch(5)->failures, fresh->epoch(5)->failures);
  EXPECT_EQ(journal->epoch(6)->cause, "rollback to epoch 3");
  EXPECT_EQ(journal->epoch(6)->restores, 3U);
  EXPECT_EQ(journal->applied(6)->at(0).executor.name, "worker-1");
  EXPECT_EQ(*journal->referenced(), *fresh->referenced());
  EXPECT_EQ(journal->last_audit_id(), GetParam() < 3 ? 0U : 2U);
  const auto runs = journal->runs("", 10);
  ASSERT_TRUE(runs.ok());
  ASSERT_EQ(runs->size(), GetParam() < 4 ? 0U : 1U);
  if (GetParam() < 4) return;
  EXPECT_EQ(runs->at(0).executor, sample_run().executor);
  EXPECT_EQ(runs->at(0).run, sample_run().run);
  EXPECT_EQ(runs->at(0).told_at, sample_run().told_at);
}

/// Runs SQL on a journal that nobody holds.
void alter(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* message = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
  sqlite3_close(db);
}

TEST_F(SchemaTest, ANewerSchemaIsRefusedUntouched) {
  {
    const auto journal = open_journal(path);
    commit(*journal, {{"m", content("a")}});
  }
  alter(path, "update meta set value='5' where key='schema'");
  const std::string before = testing::read_file(path);
  const auto refused = Journal::open(path, at_second(9), "another boot");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("newer moddev (schema 5)"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(testing::read_file(path), before);
}

TEST_F(SchemaTest, AnotherProgramsDatabaseIsSetAside) {
  alter(path, "create table sessions(id integer)");
  const auto journal = open_journal(path);
  EXPECT_EQ(journal->opened(), Journal::Opened::kReplaced);
  EXPECT_EQ(journal->head(), 0U);
}

}  // namespace
}  // namespace moddev::daemon
