// Who ran what, in the journal: that it is kept, and that it is bounded.
#include <gtest/gtest.h>

#include "daemon/limits.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using testing::at_second;
using testing::commit;
using testing::content;
using testing::open_journal;
using testing::Scratch;

ExecutorIdentity executor(std::uint32_t number) {
  ExecutorIdentity identity;
  for (std::size_t i = 0; i < 4; ++i)
    identity.id.bytes[i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  identity.name = "worker-" + std::to_string(number);
  identity.host = "host";
  identity.pid = 4'000 + number;
  return identity;
}

RunRecord record(std::uint32_t who, RunReport run, std::int64_t second = 5) {
  return {executor(who), std::move(run), at_second(second)};
}

class JournalRunsTest : public ::testing::Test {
 protected:
  Scratch scratch;
  std::filesystem::path path = scratch / "journal";
};

TEST_F(JournalRunsTest, TheyAreKeptAcrossARestart) {
  {
    const auto journal = open_journal(path);
    ASSERT_TRUE(journal->record_runs(
        std::vector{record(2, {"scorer", 1, 7, 70, 30, 9}), record(1, {"scorer", 2, 3, 30, 20, 8}),
                    record(1, {"scorer", 1, 1, 10, 10, 7}), record(1, {"base", 1, 1, 5, 5, 7})}));
  }
  const auto journal = open_journal(path);
  const auto all = journal->runs("", 10);
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 4U);
  EXPECT_EQ((*all)[0].run.module, "base");
  EXPECT_EQ((*all)[1].executor, executor(1));
  EXPECT_EQ((*all)[1].run, (RunReport{"scorer", 1, 1, 10, 10, 7}));
  EXPECT_EQ((*all)[2].run, (RunReport{"scorer", 1, 7, 70, 30, 9}));
  EXPECT_EQ((*all)[2].told_at, at_second(5));
  EXPECT_EQ((*all)[3].run.version, 2U);
  EXPECT_EQ(journal->runs("scorer", 10)->size(), 3U);
  EXPECT_EQ(journal->runs("scorer", 1, 2)->at(0).run.version, 2U);
  EXPECT_TRUE(journal->runs("nobody", 10)->empty());
}

TEST_F(JournalRunsTest, NumbersOnlyGrow) {
  const auto journal = open_journal(path);
  ASSERT_TRUE(journal->record_runs(std::vector{record(1, {"m", 1, 7, 70, 30, 9})}));
  ASSERT_TRUE(journal->record_runs(std::vector{record(1, {"m", 1, 8, 60, 40, 8}, 4)}));
  const auto runs = journal->runs("m", 10);
  ASSERT_EQ(runs->size(), 1U);
  EXPECT_EQ(runs->at(0).run, (RunReport{"m", 1, 8, 70, 40, 9}));
  EXPECT_EQ(runs->at(0).told_at, at_second(5));
}

TEST_F(JournalRunsTest, OneExecutorCannotDriveOutTheOthers) {
  const auto journal = open_journal(path);
  ASSERT_TRUE(journal->record_runs(std::vector{record(1, {"m", 1, 1, 1, 1, 1}, 0)}));
  std::vector<RunRecord> many;
  for (Version version = 1; version <= limits::kRunRecordsOfOne + 5; ++version)
    many.push_back(record(2, {"m", version, 1, 1, 1, 1}, static_cast<std::int64_t>(version)));
  ASSERT_TRUE(journal->record_runs(many));
  const auto runs = journal->runs("m", 10'000);
  ASSERT_EQ(runs->size(), limits::kRunRecordsOfOne + 1);
  EXPECT_EQ(runs->at(0).executor, executor(1));
  EXPECT_EQ(runs->at(1).run.version, 6U) << "its own oldest are gone";
}

TEST_F(JournalRunsTest, TheOldestGoBeyondWhatIsKept) {
  const auto journal = open_journal(":memory:");
  std::vector<RunRecord> many;
  for (std::uint32_t who = 0; who <= limits::kRunRecords + limits::kRunRecordsSlack; ++who) {
    many.push_back(record(who, {"m", 1, 1, 1, 1, 1}, who));
    if (many.size() < 10'000) continue;
    ASSERT_TRUE(journal->record_runs(many));
    many.clear();
  }
  ASSERT_TRUE(journal->record_runs(many));
  const auto runs = journal->runs("m", limits::kRunRecords * 2);
  EXPECT_EQ(runs->size(), limits::kRunRecords);
  EXPECT_EQ(runs->at(0).executor, executor(limits::kRunRecordsSlack + 1));
}

TEST_F(JournalRunsTest, TheyAreForgottenWithTheEpochsOfTheirTime) {
  const auto journal = open_journal(path);
  for (std::int64_t second = 10; second <= 40; second += 10)
    commit(*journal, {{"m", content(std::to_string(second))}}, second);
  ASSERT_TRUE(journal->record_runs(std::vector{record(1, {"m", 1, 1, 1, 1, 1}, 15),
                                               record(2, {"m", 1, 1, 1, 1, 1}, 25),
                                               record(3, {"m", 1, 1, 1, 1, 1}, 35)}));
  ASSERT_TRUE(journal->record_runs(std::vector{record(1, {"m", 1, 2, 2, 1, 1}, 45)})) << "it still runs it";
  ASSERT_TRUE(journal->forget(2, {}));
  const auto runs = journal->runs("", 10);
  ASSERT_EQ(runs->size(), 2U);
  EXPECT_EQ(runs->at(0).executor, executor(1));
  EXPECT_EQ(runs->at(1).executor, executor(3));
}

}  // namespace
}  // namespace moddev::daemon
