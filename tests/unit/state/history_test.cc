#include "daemon/history.h"

#include <gtest/gtest.h>

#include "daemon/limits.h"
#include "tests/support/state/scratch.h"

namespace moddev::daemon {
namespace {

using testing::abort;
using testing::at_second;
using testing::commit;
using testing::content;
using testing::open_journal;

TEST(History, TellsEpochsFromNewerToOlderWithWhoAppliedThem) {
  const auto journal = open_journal(":memory:");
  commit(*journal, {{"base", content("x")}, {"scorer", content("1")}}, 10);
  abort(*journal, {{"base", content("x")}, {"scorer", content("2")}}, 20);
  const Epoch third = commit(*journal, {{"base", content("x")}, {"scorer", content("3")}}, 30);
  AppliedRecord applied{third, {Uuid::random(), "worker-1", "host", 4711}, at_second(31), 840};
  ASSERT_TRUE(journal->record_applied(applied));

  const auto reply = history_of(*journal, {"scor", 0, 0});
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->daemon, journal->id());
  EXPECT_EQ(reply->module, "scorer");
  EXPECT_FALSE(reply->more);
  ASSERT_EQ(reply->entries.size(), 3U);
  const HistoryEntry& newest = reply->entries[0];
  EXPECT_EQ(newest.epoch, 3U);
  EXPECT_EQ(newest.base, 1U);
  EXPECT_EQ(newest.state, EpochState::kCommitted);
  EXPECT_EQ(newest.announced_at_ns, at_second(30).time_since_epoch().count());
  EXPECT_EQ(newest.cause, "change");
  ASSERT_EQ(newest.changes.size(), 1U);
  EXPECT_EQ(newest.changes[0].module.version, 3U);
  ASSERT_EQ(newest.applied.size(), 1U);
  EXPECT_EQ(newest.applied[0].executor, applied.executor);
  EXPECT_EQ(newest.applied[0].elapsed_us, 840);
  EXPECT_EQ(newest.applied_total, 1U);
  EXPECT_EQ(reply->entries[1].state, EpochState::kAborted);
  EXPECT_EQ(reply->entries[1].failures.size(), 1U);
  EXPECT_EQ(reply->entries[2].changes.size(), 1U) << "base came with it, and is not asked for";

  EXPECT_EQ(history_of(*journal, {"", 0, 0})->entries.back().changes.size(), 2U);
  EXPECT_EQ(history_of(*journal, {"nobody", 0, 0}).error().code, ErrorCode::kNotFound);
}

TEST(History, ComesInPages) {
  const auto journal = open_journal(":memory:");
  for (std::size_t i = 0; i < limits::kHistoryEntries + 5; ++i)
    commit(*journal, {{"m", content(std::to_string(i))}});
  auto reply = history_of(*journal, {"", 0, 1'000'000});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->entries.size(), limits::kHistoryEntries);
  EXPECT_TRUE(reply->more);
  reply = history_of(*journal, {"m", reply->entries.back().epoch, 0});
  EXPECT_EQ(reply->entries.size(), 5U);
  EXPECT_FALSE(reply->more);
  EXPECT_EQ(reply->entries.back().epoch, 1U);
  EXPECT_EQ(history_of(*journal, {"m", 0, 2})->entries.size(), 2U);
}

TEST(History, OfEachEpochOnlySoMuchIsTold) {
  const auto journal = open_journal(":memory:");
  ModuleSet modules;
  for (std::size_t i = 0; i < limits::kHistoryChanges + 9; ++i)
    modules["m" + std::to_string(i)] = content("x");
  const Epoch epoch = commit(*journal, modules);
  std::vector<AppliedRecord> applied(limits::kHistoryApplied + 7);
  for (auto& one : applied) one = {epoch, {Uuid::random(), "w", "h", 1}, at_second(2), 1};
  ASSERT_TRUE(journal->record_applied(applied));
  modules["m0"] = content("y");
  const EpochRecord refused = testing::next(*journal, modules);
  ASSERT_TRUE(journal->record_epoch(refused));
  std::vector<ExecutorFailure> failures(limits::kHistoryFailures + 3, {"w", "m0", "no"});
  ASSERT_TRUE(journal->record_abort(refused.epoch, failures, at_second(3)));

  const auto reply = history_of(*journal, {});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->entries[0].failures.size(), limits::kHistoryFailures);
  EXPECT_EQ(reply->entries[1].changes.size(), limits::kHistoryChanges);
  EXPECT_EQ(reply->entries[1].changes_total, modules.size());
  EXPECT_EQ(reply->entries[1].applied.size(), limits::kHistoryApplied);
  EXPECT_EQ(reply->entries[1].applied_total, applied.size());
}

}  // namespace
}  // namespace moddev::daemon
