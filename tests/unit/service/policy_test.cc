// What becomes of an epoch, as a table.
#include "daemon/policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace moddev::daemon {
namespace {

struct Row {
  std::string story;
  Tally tally;
  Verdict verdict;
};

TEST(Policy, AllOrNobody) {
  const std::vector<Row> rows = {
      {"nobody is there", {}, Verdict::kCommit},
      {"everyone said goodbye", {.left = 3}, Verdict::kCommit},
      {"one has not answered", {.silent = 1, .prepared = 4}, Verdict::kWait},
      {"everyone is ready", {.prepared = 5}, Verdict::kCommit},
      {"one died, the rest is ready", {.prepared = 4, .excluded = 1}, Verdict::kCommit},
      {"one died, another has not answered", {.silent = 1, .excluded = 1}, Verdict::kWait},
      {"all died over it", {.excluded = 2}, Verdict::kAbort},
      {"the last died, another had left", {.excluded = 1, .left = 1}, Verdict::kAbort},
      {"one refused, all have answered", {.prepared = 4, .failed = 1}, Verdict::kAbort},
      {"one refused, others may add reasons", {.silent = 1, .failed = 1}, Verdict::kWait},
      {"one refused, enough waited", {.silent = 1, .failed = 1, .refusal_grace_over = true}, Verdict::kAbort},
      {"the only one refused", {.failed = 1}, Verdict::kAbort},
      {"one refused and the others died", {.failed = 1, .excluded = 4}, Verdict::kAbort},
  };
  for (const Row& row : rows) EXPECT_EQ(decide(SyncPolicy::kAll, row.tally), row.verdict) << row.story;
}

TEST(Policy, TheMajorityDecides) {
  const std::vector<Row> rows = {
      {"nobody is there", {}, Verdict::kCommit},
      {"everyone said goodbye", {.left = 3}, Verdict::kCommit},
      {"half is not more than half", {.silent = 2, .prepared = 2}, Verdict::kWait},
      {"more than half are ready", {.silent = 2, .prepared = 3}, Verdict::kCommit},
      {"more than half are ready, others refused", {.prepared = 3, .failed = 2}, Verdict::kCommit},
      {"it can still be reached", {.silent = 1, .prepared = 2, .failed = 2}, Verdict::kWait},
      {"half refused, reasons may come", {.silent = 1, .prepared = 1, .failed = 2}, Verdict::kWait},
      {"half refused, enough waited",
       {.silent = 1, .prepared = 1, .failed = 2, .refusal_grace_over = true},
       Verdict::kAbort},
      {"half refused, all answered", {.prepared = 2, .failed = 2}, Verdict::kAbort},
      {"the dead count against it", {.prepared = 2, .excluded = 2}, Verdict::kAbort},
      {"all died over it", {.excluded = 2}, Verdict::kAbort},
  };
  for (const Row& row : rows) EXPECT_EQ(decide(SyncPolicy::kMajority, row.tally), row.verdict) << row.story;
}

TEST(Policy, NoneWaitsForNobody) {
  for (const Tally& tally : {Tally{}, Tally{.silent = 3}, Tally{.prepared = 1, .failed = 2}})
    EXPECT_EQ(decide(SyncPolicy::kNone, tally), Verdict::kCommit);
}

TEST(Policy, WhoHasNothingToLoseVetoesNobodyElse) {
  const std::vector<Row> rows = {
      {"nobody is there", {}, Verdict::kCommit},
      {"one has not answered", {.silent = 1, .prepared = 1, .failed = 1}, Verdict::kWait},
      {"one is ready", {.prepared = 1, .failed = 3}, Verdict::kCommit},
      {"none is", {.failed = 2}, Verdict::kAbort},
      {"none is, the last died", {.failed = 1, .excluded = 1}, Verdict::kAbort},
      {"all died over it", {.excluded = 1}, Verdict::kAbort},
      {"everyone said goodbye", {.left = 1}, Verdict::kCommit},
  };
  for (const SyncPolicy policy : {SyncPolicy::kAll, SyncPolicy::kMajority}) {
    for (const Row& row : rows)
      EXPECT_EQ(decide_for_nobody_else(policy, row.tally), row.verdict) << row.story;
  }
  EXPECT_EQ(decide_for_nobody_else(SyncPolicy::kNone, {.silent = 1}), Verdict::kCommit);
}

TEST(Policy, PoliciesHaveNames) {
  for (const SyncPolicy policy : {SyncPolicy::kAll, SyncPolicy::kMajority, SyncPolicy::kNone})
    EXPECT_EQ(sync_policy_from_string(to_string(policy)), policy);
  EXPECT_EQ(sync_policy_from_string("most"), std::nullopt);
}

TEST(Policy, CanariesAreANumberOrNames) {
  CanaryChoice choice;
  EXPECT_FALSE(choice.wanted());
  EXPECT_TRUE(add_canary("2", choice).ok());
  EXPECT_EQ(choice.count, 2U);
  EXPECT_TRUE(add_canary("worker-1", choice).ok());
  EXPECT_TRUE(add_canary("2nd", choice).ok()) << "a name that begins with a digit";
  EXPECT_EQ(choice.names, (std::vector<std::string>{"worker-1", "2nd"}));
  EXPECT_FALSE(add_canary("", choice).ok());
  EXPECT_FALSE(add_canary("0", choice).ok());
}

TEST(Policy, SomebodyIsLeftToBeSpared) {
  const std::vector<std::string> names = {"a", "b", "b", "c"};
  using Chosen = std::vector<std::size_t>;
  EXPECT_EQ(choose_canaries({}, names), Chosen{});
  EXPECT_EQ(choose_canaries({.count = 2, .names = {}}, names), (Chosen{0, 1}));
  EXPECT_EQ(choose_canaries({.names = {"b", "nobody"}}, names), (Chosen{1, 2}));
  EXPECT_EQ(choose_canaries({.count = 1, .names = {"c"}}, names), (Chosen{0, 3}));
  EXPECT_EQ(choose_canaries({.count = 4, .names = {}}, names), Chosen{});
  EXPECT_EQ(choose_canaries({.count = 1, .names = {}}, {}), Chosen{});
}

TEST(Policy, CanariesAreMissedWhereNobodyHasTheirNames) {
  EXPECT_TRUE(canaries_are_missing({.names = {"x", "y"}}, {"a", "b"}));
  EXPECT_FALSE(canaries_are_missing({.names = {"x", "b"}}, {"a", "b"}));
  EXPECT_FALSE(canaries_are_missing({.names = {"x"}}, {}));
  EXPECT_FALSE(canaries_are_missing({.count = 1, .names = {"x"}}, {"a"})) << "that would be all";
  EXPECT_FALSE(canaries_are_missing({}, {"a"}));
}

TEST(Policy, ContentIsBlamedForMoreThanOneAndMoreThanHalf) {
  EXPECT_FALSE(blames_content(0, 0, 0));
  EXPECT_FALSE(blames_content(1, 1, 1)) << "one can be anything";
  EXPECT_TRUE(blames_content(2, 2, 2));
  EXPECT_TRUE(blames_content(3, 2, 2));
  EXPECT_FALSE(blames_content(4, 2, 2)) << "half";
  EXPECT_FALSE(blames_content(100, 50, 50));
  EXPECT_TRUE(blames_content(100, 51, 51));
  EXPECT_TRUE(blames_content(1, 1, 2)) << "started again, and died again";
  EXPECT_FALSE(blames_content(3, 1, 5)) << "one that dies and dies";
}

}  // namespace
}  // namespace moddev::daemon
