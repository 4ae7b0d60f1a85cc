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

}  // namespace
}  // namespace moddev::daemon
