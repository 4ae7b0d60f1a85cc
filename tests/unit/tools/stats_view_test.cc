#include "tools/moddev/stats_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

using ::testing::IsEmpty;

Uuid executor(std::uint8_t number) {
  Uuid id;
  id.bytes[0] = number;
  return id;
}

HistoryEntry epoch(Epoch number, EpochState state, const std::string& module, Version version) {
  HistoryEntry entry;
  entry.epoch = number;
  entry.state = state;
  ModuleChange change;
  change.module.name = module;
  change.module.version = version;
  entry.changes = {change};
  return entry;
}

void applied_by(HistoryEntry& entry, std::uint8_t number, std::int64_t elapsed_us, std::int64_t at_ns) {
  entry.applied.push_back({{executor(number), "w", "vm", 1}, at_ns, elapsed_us});
  entry.applied_total = entry.applied.size();
}

TEST(CountLoads, CountsWhoHowOftenAndHowFast) {
  HistoryEntry third = epoch(3, EpochState::kCommitted, "scorer", 2);
  applied_by(third, 1, 900, 30);
  applied_by(third, 2, 4'100, 31);
  HistoryEntry second = epoch(2, EpochState::kAborted, "scorer", 2);
  second.failures = {{"w", "scorer", "no"}, {"v", "scorer", "no"}};
  HistoryEntry first = epoch(1, EpochState::kCommitted, "scorer", 1);
  applied_by(first, 1, 1'000, 10);
  first.applied_total = 5;  // the history names only some
  const auto stats = count_loads({third, second, first}, "");
  ASSERT_EQ(stats.size(), 1U);
  EXPECT_EQ(stats[0], (ModuleStats{"scorer", 2, 2, 7, 2, 2, 1'000, 4'100, 31}));
}

TEST(CountLoads, ARemovalLoadsNothing) {
  HistoryEntry removal = epoch(2, EpochState::kCommitted, "scorer", 1);
  removal.changes[0].change = ChangeKind::kRemoved;
  applied_by(removal, 1, 10, 20);
  HistoryEntry first = epoch(1, EpochState::kCommitted, "scorer", 1);
  applied_by(first, 1, 30, 10);
  const auto stats = count_loads({removal, first}, "");
  ASSERT_EQ(stats.size(), 1U);
  EXPECT_EQ(stats[0], (ModuleStats{"scorer", 0, 1, 1, 1, 0, 30, 30, 10}));
}

TEST(CountLoads, OfOneModule) {
  EXPECT_THAT(count_loads({epoch(1, EpochState::kCommitted, "a", 1)}, "b"), IsEmpty());
  EXPECT_EQ(count_loads({epoch(1, EpochState::kCommitted, "a", 1)}, "a").size(), 1U);
}

TEST(StatsText, IsATable) {
  const WallTime now{std::chrono::seconds(100)};
  const ModuleStats loaded{"scorer", 2, 2, 7, 2, 2, 1'000, 4'100, std::int64_t{58'000'000'000}};
  ModuleStats refused;
  refused.module = "bad";
  refused.refusals = 3;
  EXPECT_EQ(
      stats_text({refused, loaded}, Palette(false), now),
      "module  version  loads  executors  median  slowest  last      refused  runs  by  mean  longest  last "
      "run\n"
      "bad     -        0      0          -       -        -         3        0     0   -     -        -\n"
      "scorer  2        7      2          1.0 ms  4.1 ms   42 s ago  2        0     0   -     -        -\n");
  EXPECT_EQ(
      json_of(loaded),
      R"({"module":"scorer","version":2,"epochs":2,"loads":7,"executors":2,"refusals":2,"median_us":1000,)"
      R"("slowest_us":4100,"last_at":"1970-01-01T00:00:58.000Z",)"
      R"("runs":0,"run_executors":0,"run_total_ns":0,"run_mean_ns":0,"run_longest_ns":0,)"
      R"("last_run_at":null,"last_run_by":null,"by_executor":[],"by_version":[]})");
}

ExecutorRuns ran(std::uint8_t who, const std::string& module, Version version, std::uint64_t runs,
                 std::uint64_t total_ns, std::uint64_t longest_ns, std::int64_t last_second) {
  return {{executor(who), "w" + std::to_string(who), "vm", 40 + who},
          {module, version, runs, total_ns, longest_ns, last_second * 1'000'000'000}};
}

TEST(CountRuns, ByModuleExecutorAndVersion) {
  std::vector<ModuleStats> stats = count_loads({epoch(2, EpochState::kCommitted, "scorer", 2)}, "");
  add_runs(stats, {ran(1, "helper", 1, 1, 250, 250, 50), ran(1, "scorer", 1, 10, 4'000, 900, 60),
                   ran(2, "scorer", 1, 5, 1'000, 800, 61), ran(1, "scorer", 2, 2, 50'000, 40'000, 80)});
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0].module, "helper") << "although the history does not tell of it any more";
  EXPECT_EQ(stats[0].runs, (RunCounts{1, 250, 250, 50'000'000'000}));
  EXPECT_EQ(stats[1].module, "scorer");
  EXPECT_EQ(stats[1].epochs, 1U);
  EXPECT_EQ(stats[1].runs, (RunCounts{17, 55'000, 40'000, 80'000'000'000}));
  ASSERT_EQ(stats[1].by_executor.size(), 2U);
  EXPECT_EQ(stats[1].by_executor[0].executor.name, "w1");
  EXPECT_EQ(stats[1].by_executor[0].version, 2U);
  EXPECT_EQ(stats[1].by_executor[0].counts, (RunCounts{12, 54'000, 40'000, 80'000'000'000}));
  EXPECT_EQ(stats[1].by_executor[1].counts.mean_ns(), 200U);
  ASSERT_EQ(stats[1].by_version.size(), 2U);
  EXPECT_EQ(stats[1].by_version[1], (VersionRunCounts{1, 2, {15, 5'000, 900, 61'000'000'000}}));
}

TEST(CountRuns, SumsStayAtTheGreatestNumber) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  std::vector<ModuleStats> stats;
  add_runs(stats, {ran(1, "m", 1, kMost, kMost, 1, 1), ran(2, "m", 1, kMost, kMost, 1, 1)});
  EXPECT_EQ(stats[0].runs.runs, kMost);
  EXPECT_EQ(stats[0].runs.total_ns, kMost);
}

TEST(CountRuns, AreShownForEachModuleAndForEachExecutor) {
  const WallTime now{std::chrono::seconds(100)};
  std::vector<ModuleStats> stats;
  add_runs(stats, {ran(1, "scorer", 2, 1'000, 250'000, 12'340, 58),
                   ran(2, "scorer", 1, 2, 9'000'000, 5'000'000, 40)});
  EXPECT_EQ(stats_text(stats, Palette(false), now),
            "module  version  loads  executors  median  slowest  last  refused  runs  by  mean    longest  "
            "last run\n"
            "scorer  -        0      0          -       -        -     -        1002  2   9.2 us  5.0 ms   "
            "42 s ago by w1\n");
  EXPECT_EQ(executors_text(stats[0], Palette(false), now),
            "executor  process  version  runs  mean    longest  last run\n"
            "w1        vm:41    2        1000  250 ns  12.3 us  42 s ago\n"
            "w2        vm:42    1        2     4.5 ms  5.0 ms   1 min ago\n");
  EXPECT_EQ(
      json_of(stats[0]),
      R"({"module":"scorer","version":0,"epochs":0,"loads":0,"executors":0,"refusals":0,"median_us":0,)"
      R"("slowest_us":0,"last_at":null,"runs":1002,"run_executors":2,"run_total_ns":9250000,"run_mean_ns":9231,)"
      R"("run_longest_ns":5000000,"last_run_at":"1970-01-01T00:00:58.000Z",)"
      R"("last_run_by":{"id":"01000000-0000-0000-0000-000000000000","name":"w1","host":"vm","pid":41},)"
      R"("by_executor":[{"id":"01000000-0000-0000-0000-000000000000","name":"w1","host":"vm","pid":41,"version":2,)"
      R"("runs":1000,"total_ns":250000,"longest_ns":12340,"last_at":"1970-01-01T00:00:58.000Z"},)"
      R"({"id":"02000000-0000-0000-0000-000000000000","name":"w2","host":"vm","pid":42,"version":1,)"
      R"("runs":2,"total_ns":9000000,"longest_ns":5000000,"last_at":"1970-01-01T00:00:40.000Z"}],)"
      R"("by_version":[{"version":2,"executors":1,"runs":1000,"total_ns":250000,"longest_ns":12340,)"
      R"("last_at":"1970-01-01T00:00:58.000Z"},{"version":1,"executors":1,"runs":2,"total_ns":9000000,)"
      R"("longest_ns":5000000,"last_at":"1970-01-01T00:00:40.000Z"}]})");
}

}  // namespace
}  // namespace moddev::tools
