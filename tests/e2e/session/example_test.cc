// The example at the top of client.h, run as it stands there against a real daemon; and what a user of the
// library sees beside it: a start without a daemon.
#include <gtest/gtest.h>

#include "tests/support/session/watch_process.h"

namespace moddev::test {
namespace {

TEST(HeaderExample, CallsTheModuleOfTheDaemonThatItFindsByItself) {
  const Surroundings here;
  here.publish_library("scorer", "long score(long x) { return 2 * x + 2; }");
  const WatchProcess daemon(MODDEV_PROGRAM, here);
  const Ran ran = run({MODDEV_HEADER_EXAMPLE}, here.environment());
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "42\n42 in epoch 1\n");
}

TEST(HeaderExample, RunsWithoutADaemonOnWhatItRanLast) {
  const Surroundings here;
  here.publish_library("scorer", "long score(long x) { return 2 * x + 2; }");
  {
    const WatchProcess daemon(MODDEV_PROGRAM, here);
    ASSERT_EQ(run({MODDEV_HEADER_EXAMPLE}, here.environment()).exit_code, 0);
  }
  const Ran ran = run({MODDEV_HEADER_EXAMPLE}, here.environment());
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "42\n42 in epoch 1\n");
}

}  // namespace
}  // namespace moddev::test
