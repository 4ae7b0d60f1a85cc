#include "tools/moddev/refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

using ::testing::EndsWith;

std::string text_of(std::vector<ExecutorFailure> failures) {
  HistoryEntry entry;
  entry.failures = std::move(failures);
  return refusals_text(entry);
}

std::vector<ExecutorFailure> same_of(int count, const std::string& module, const std::string& error) {
  std::vector<ExecutorFailure> failures;
  for (int i = 1; i <= count; ++i) failures.push_back({"w" + std::to_string(i), module, error});
  return failures;
}

TEST(Refusals, ThoseWhoSayTheSameAreOne) {
  std::vector<ExecutorFailure> failures = same_of(2, "scorer", "undefined symbol: _Z1fi");
  failures.push_back({"w3", "base", "undefined symbol: _Z1fi"});
  failures.push_back({"w4", "scorer", "undefined symbol: _Z1fi"});
  const auto refusals = grouped(failures);
  ASSERT_EQ(refusals.size(), 2U);
  EXPECT_EQ(who(refusals[0]), "w1, w2 and w4");
  EXPECT_EQ(who(refusals[1]), "w3");
  EXPECT_EQ(text_of(failures),
            "w1, w2 and w4: scorer: undefined symbol: f(int). w3: base: undefined symbol: f(int).");
}

TEST(Refusals, AFewNamesAndHowManyMore) {
  EXPECT_EQ(who(grouped(same_of(1, "m", "no"))[0]), "w1");
  EXPECT_EQ(who(grouped(same_of(4, "m", "no"))[0]), "w1, w2, w3 and w4");
  EXPECT_EQ(who(grouped(same_of(12, "m", "no"))[0]), "w1, w2, w3 and 9 more");
}

// They answer in any order, and the same refusal looked like another one the next time.
TEST(Refusals, NamesAreInTheOrderOfPeople) {
  EXPECT_EQ(who({{"worker-10", "worker-9", "b", "worker-2"}, "m", "no"}),
            "b, worker-2, worker-9 and worker-10");
  EXPECT_EQ(who({{"a-1-x", "a", "a-1", "7", "a-01-b"}, "m", "no"}), "7, a, a-1 and 2 more");
  EXPECT_EQ(who({{"x99999999999999999999999", "x1"}, "m", "no"}), "x1 and x99999999999999999999999");
}

TEST(Refusals, ExecutorsOfOneNameAreCounted) {
  EXPECT_EQ(who({{"worker", "worker", "worker"}, "m", "no"}), "worker (3 times)");
  EXPECT_EQ(who({{"a", "worker", "b", "worker"}, "m", "no"}), "a, b and worker (2 times)");
  EXPECT_EQ(who({{"a", "b", "b", "c", "d", "e", "e"}, "m", "no"}), "a, b (2 times), c and 3 more");
}

TEST(Refusals, ManyReasonsAreCutAndSentencesEndOnce) {
  EXPECT_EQ(text_of({}), "");
  EXPECT_EQ(text_of({{"w", "", "It died."}}), "w: It died.");
  std::vector<ExecutorFailure> failures;
  for (int i = 0; i < 6; ++i) failures.push_back({"w", "m", "reason " + std::to_string(i)});
  EXPECT_THAT(text_of(failures), EndsWith("w: m: reason 3. And 2 more reasons."));
  EXPECT_THAT(text_of(same_of(16, "m", "no")),
              "w1, w2, w3 and 13 more: m: no. Those are the first 16 refusals.")
      << "the history tells of no more";
}

}  // namespace
}  // namespace moddev::tools
