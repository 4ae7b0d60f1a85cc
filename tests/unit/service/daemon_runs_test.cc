// What executors tell of their runs: what of it is believed, what waits, and what is answered to who asks.
#include <gmock/gmock.h>

#include "daemon/runs.h"
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

constexpr std::uint64_t kHuge = ~std::uint64_t{0};

ExecutorIdentity executor(std::uint8_t number) {
  ExecutorIdentity identity;
  identity.id.bytes[0] = number;
  identity.name = "worker-" + std::to_string(number);
  return identity;
}

class RunLedgerTest : public ::testing::Test {
 protected:
  void take(const std::vector<RunReport>& told, std::uint8_t who = 1) {
    ledger.take(executor(who), told, published, now, wall);
  }
  LastVersions published{{"scorer", {3, {}}}, {"base", {1, {}}}};
  TimePoint now{seconds(100)};
  WallTime wall{seconds(1'000'000)};
  RunLedger ledger;
};

TEST_F(RunLedgerTest, OnlyWhatWasPublishedCanHaveBeenRun) {
  take({{"nobody", 1, 1, 1, 1, 1},
        {"", 1, 1, 1, 1, 1},
        {"../scorer", 1, 1, 1, 1, 1},
        {"scorer", 0, 1, 1, 1, 1},
        {"scorer", 4, 1, 1, 1, 1},
        {"scorer", 3, 0, 1, 1, 1}});
  EXPECT_EQ(ledger.waiting(), 0U);
  EXPECT_EQ(ledger.due(), kNever);
  take({{"scorer", 3, 1, 1, 1, 1}, {"scorer", 1, 1, 1, 1, 1}});
  EXPECT_EQ(ledger.waiting(), 2U);
  EXPECT_EQ(ledger.due(), now + limits::kRunsDelay);
}

TEST_F(RunLedgerTest, NumbersCanBeAddedUpAndNothingIsInTheFuture) {
  take({{"scorer", 3, kHuge, kHuge, kHuge, std::numeric_limits<std::int64_t>::max()}});
  take({{"base", 1, 2, 10, kHuge, -1}});
  const std::vector<RunRecord> records = ledger.take_some(10);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].run, (RunReport{"base", 1, 2, 10, 10, 0})) << "one run is no longer than all";
  EXPECT_EQ(records[1].run, (RunReport{"scorer", 3, limits::kMostRuns, limits::kMostRuns, limits::kMostRuns,
                                       wall.time_since_epoch().count()}));
}

TEST_F(RunLedgerTest, NumbersOnlyGrow) {
  take({{"scorer", 3, 5, 50, 20, 500}});
  take({{"scorer", 3, 4, 40, 30, 400}});
  const std::vector<RunRecord> records = ledger.take_some(10);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].run, (RunReport{"scorer", 3, 5, 50, 30, 500}));
}

TEST_F(RunLedgerTest, WhatCouldNotBeWrittenWaitsAndIsMergedWithWhatCame) {
  take({{"scorer", 3, 5, 50, 20, 500}});
  std::vector<RunRecord> records = ledger.take_some(10);
  EXPECT_EQ(ledger.due(), kNever);
  take({{"scorer", 3, 7, 70, 20, 700}});
  now += seconds(5);
  ledger.not_written(std::move(records), now);
  EXPECT_EQ(ledger.due(), now + limits::kRunsRetry);
  records = ledger.take_some(10);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].run.runs, 7U);
}

TEST_F(RunLedgerTest, WhatWaitsIsBoundedForEachAndForAll) {
  published["scorer"].version = 1'000'000;
  std::vector<RunReport> many;
  for (Version version = 1; version <= limits::kWaitingRunsOfOne + 10; ++version)
    many.push_back({"scorer", version, 1, 1, 1, 1});
  take(many, 0);
  EXPECT_EQ(ledger.waiting(), limits::kWaitingRunsOfOne);
  take({{"scorer", 1, 9, 1, 1, 1}}, 0);
  EXPECT_EQ(ledger.take_some(1).at(0).run.runs, 9U) << "what waits already goes on being counted";
  for (std::uint8_t who = 1; who < 30; ++who) take(many, who);
  EXPECT_EQ(ledger.waiting(), limits::kWaitingRunRecords);
  EXPECT_EQ(ledger.take_some(limits::kWaitingRunRecords + 1).size(), limits::kWaitingRunRecords);
  take(many, 5);
  EXPECT_EQ(ledger.waiting(), limits::kWaitingRunsOfOne) << "there is room again";
}

// ------------------------------------------------------------------------------------------- in the daemon

class DaemonRunsTest : public DaemonTest {
 protected:
  std::vector<ExecutorRuns> runs_of(Executor& asking, const std::string& module = "") {
    const ReplyBody reply = ask(asking, RunsRequest{module, 0});
    const auto* runs = std::get_if<RunsReply>(&reply);
    EXPECT_NE(runs, nullptr);
    return runs == nullptr ? std::vector<ExecutorRuns>() : runs->runs;
  }
};

TEST_F(DaemonRunsTest, WhatAMemberTellsIsAnsweredAtOnceAndWrittenSoon) {
  Executor& one = add("w1");
  Executor& two = add("w2");
  write({{"m", "1"}, {"n", "1"}});
  one.tell({{"m", 1, 3, 30, 20, 5}});
  two.tell({{"m", 1, 1, 7, 7, 6}, {"n", 1, 2, 4, 3, 7}});
  settle();
  EXPECT_TRUE(journal->runs("", 10)->empty()) << "nobody waits for it";
  pass(seconds(4));
  EXPECT_EQ(journal->runs("", 10)->size(), 3U);
  one.tell({{"m", 1, 4, 40, 20, 8}});
  settle();
  const std::vector<ExecutorRuns> of_m = runs_of(two, "m");
  ASSERT_EQ(of_m.size(), 2U);
  const auto of_one = std::find_if(of_m.begin(), of_m.end(),
                                   [&](const ExecutorRuns& runs) { return runs.executor == one.identity(); });
  ASSERT_NE(of_one, of_m.end());
  EXPECT_EQ(of_one->run, (RunReport{"m", 1, 4, 40, 20, 8}));
  EXPECT_EQ(runs_of(two).size(), 3U);
  EXPECT_EQ(std::get<ErrorReply>(ask(two, RunsRequest{"q", 0})).code, ErrorCode::kNotFound);
}

TEST_F(DaemonRunsTest, OnlyMembersCountAndTheGoodbyeToo) {
  Executor& one = add("w1");
  write({{"m", "1"}});
  executors.push_back(std::make_unique<Executor>(transport, "stranger"));
  Executor& stranger = *executors.back();
  stranger.last_snapshot = one.last_snapshot;
  stranger.tell({{"m", 1, 100, 1, 1, 1}});
  stranger.leave({{"m", 1, 100, 1, 1, 1}});
  one.leave({{"m", 1, 5, 50, 20, 5}});
  settle();
  const std::vector<ExecutorRuns> runs = runs_of(stranger);
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0].executor, one.identity());
  EXPECT_EQ(runs[0].run.runs, 5U);
}

TEST_F(DaemonRunsTest, VersionsOfAnotherHistoryMeanNothing) {
  Executor& one = add("w1");
  write({{"m", "1"}});
  one.last_snapshot.daemon.repo = Uuid::random();
  one.tell({{"m", 1, 5, 50, 20, 5}});
  one.leave({{"m", 1, 5, 50, 20, 5}});
  settle();
  EXPECT_TRUE(runs_of(one).empty());
}

TEST_F(DaemonRunsTest, TheEndOfTheDaemonWritesWhatWaits) {
  Executor& one = add("w1");
  write({{"m", "1"}});
  one.tell({{"m", 1, 5, 50, 20, 5}});
  settle();
  daemon.reset();
  ASSERT_EQ(journal->runs("m", 10)->size(), 1U);
  EXPECT_EQ(journal->runs("m", 10)->at(0).run.runs, 5U);
}

TEST_F(DaemonRunsTest, NothingIsWrittenWhileASwitchIsUnderWay) {
  Executor& one = add("w1");
  write({{"m", "1"}});
  one.tell({{"m", 1, 5, 50, 20, 5}});
  settle();
  now += limits::kRunsDelay - milliseconds(1);
  one.alive();
  settle();
  one.mute = true;
  write({{"m", "2"}});
  now += milliseconds(2);
  settle();
  EXPECT_TRUE(journal->runs("", 10)->empty());
  (void)runs_of(one);
  EXPECT_TRUE(journal->runs("", 10)->empty()) << "not even because somebody asks";
  one.mute = false;
  one.ack(2, AckPhase::kPrepared);
  settle();
  EXPECT_EQ(journal->runs("", 10)->size(), 1U);
}

TEST_F(DaemonRunsTest, ALongAnswerComesInParts) {
  Executor& one = add("w1");
  write({{"m", "1"}});
  std::vector<RunRecord> records;
  for (int i = 0; i < 2'100; ++i) {
    RunRecord record{{Uuid::random(), "w", "h", 1}, {"m", 1, 1, 1, 1, 1}, wall()};
    records.push_back(std::move(record));
  }
  ASSERT_TRUE(journal->record_runs(records));
  std::set<Uuid> seen;
  std::uint64_t skip = 0;
  for (int part = 0; part < 3; ++part) {
    const auto reply = std::get<RunsReply>(ask(one, RunsRequest{"m", skip}));
    EXPECT_EQ(reply.runs.size(), part < 2 ? limits::kRunsPerReply : 100U);
    for (const ExecutorRuns& runs : reply.runs) seen.insert(runs.executor.id);
    skip = reply.next;
    EXPECT_EQ(skip, part < 2 ? (static_cast<std::uint64_t>(part) + 1) * 1'000 : 0U);
  }
  EXPECT_EQ(seen.size(), 2'100U);
  EXPECT_TRUE(std::get<RunsReply>(ask(one, RunsRequest{"m", kHuge})).runs.empty());
}

}  // namespace
}  // namespace moddev::daemon
