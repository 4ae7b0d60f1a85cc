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
  EXPECT_EQ(stats_text({refused, loaded}, Palette(false), now),
            "module  version  loads  executors  median  slowest  last      refused\n"
            "bad     -        0      0          -       -        -         3\n"
            "scorer  2        7      2          1.0 ms  4.1 ms   42 s ago  2\n");
  EXPECT_EQ(
      json_of(loaded),
      R"({"module":"scorer","version":2,"epochs":2,"loads":7,"executors":2,"refusals":2,"median_us":1000,)"
      R"("slowest_us":4100,"last_at":"1970-01-01T00:00:58.000Z"})");
}

}  // namespace
}  // namespace moddev::tools
