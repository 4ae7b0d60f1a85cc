// The C interface, used by programs in C as their own processes, against a real daemon.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>

#include "tests/support/session/watch_process.h"

namespace moddev::test {
namespace {

constexpr const char* kScorer = "int answers = 7; long score(long x) { return 2 * x + 2; }";

TEST(CApi, EveryFunctionDoesWhatItsHeaderSays) {
  const Surroundings here;
  here.publish_library("scorer", kScorer);
  here.publish("empty", "");
  here.publish("notes.txt", "hello");
  const WatchProcess daemon(MODDEV_PROGRAM, here);
  const Ran ran = run({MODDEV_C_API_CHECK}, here.environment());
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "");
  // All of it was done under one pin, and told with the goodbye.
  std::string stats;
  await([&] {
    stats = run({MODDEV_PROGRAM, "stats", "scorer", "--json"}, here.environment()).output;
    return stats.find(R"("runs":0)") == std::string::npos;
  });
  EXPECT_NE(stats.find(R"("runs":1,"run_executors":1,)"), std::string::npos) << stats;
  EXPECT_NE(stats.find(R"("last_run_by":{"id":")"), std::string::npos) << stats;
}

TEST(CApi, TheGraceDecidesWhetherWhatRanLastRunsWithoutADaemon) {
  const Surroundings here;
  here.publish_library("scorer", kScorer);
  here.publish("empty", "");
  here.publish("notes.txt", "hello");
  {
    const WatchProcess daemon(MODDEV_PROGRAM, here);
    ASSERT_EQ(run({MODDEV_C_API_CHECK}, here.environment()).exit_code, 0);
  }
  EXPECT_EQ(run({MODDEV_C_API_CHECK, "offline", "0"}, here.environment()).output, "epoch 1\n");
  EXPECT_EQ(run({MODDEV_C_API_CHECK, "offline", "3600"}, here.environment()).output, "epoch 1\n");
  EXPECT_EQ(run({MODDEV_C_API_CHECK, "offline", "-1"}, here.environment()).output, "epoch 0\n");
}

TEST(CApi, WhatACallbackThrowsEndsThere) {
  const Surroundings here;
  here.publish("notes.txt", "hello");
  const WatchProcess daemon(MODDEV_PROGRAM, here);
  const Ran ran = run({MODDEV_C_API_THROWING}, here.environment());
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "alive\n");
}

TEST(CApi, TheExampleIsToldWhenItsDataChanges) {
  const Surroundings here;
  here.publish_library("scorer", kScorer);
  here.publish("weights.txt", "0.5\n");
  const WatchProcess daemon(MODDEV_PROGRAM, here);
  std::atomic<bool> ended = false;
  Ran ran;
  std::thread program([&] {
    ran = run({MODDEV_PRINT_SCORE, "2"}, here.environment());
    ended = true;
  });
  // It reads what is there first; when it has begun to do so cannot be seen from here, so changes go on
  // coming.
  for (unsigned change = 1; !ended; ++change) {
    here.publish("weights.txt", std::to_string(change) + "\n");
    await([&] { return ended.load(); }, std::chrono::milliseconds(50));
  }
  program.join();
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_TRUE(ran.output.starts_with("42 in epoch ")) << ran.output;
  unsigned first = 0;
  unsigned second = 0;
  const std::size_t data = std::min(ran.output.find("weights.txt"), ran.output.size());
  ASSERT_EQ(std::sscanf(ran.output.c_str() + data,
                        "weights.txt version %u: %*s weights.txt version %u: ", &first, &second),
            2)
      << ran.output;
  EXPECT_LT(first, second);
}

}  // namespace
}  // namespace moddev::test
