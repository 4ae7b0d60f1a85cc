// What `moddev supervise` prints, to the byte: scripts depend on it. And its table in moddev.toml.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/moddev/config.h"
#include "tools/moddev/supervise_story.h"

namespace moddev::tools {
namespace {

using supervisor::SupervisorEvent;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = SupervisorEvent::Kind;
using std::chrono::milliseconds;

SupervisorEvent event(Kind kind) {
  SupervisorEvent e;
  e.kind = kind;
  e.worker = 1;
  e.pid = 42;
  e.epoch = 7;
  e.modules = {"page", "core"};
  e.workers = {0, 1};
  e.count = 3;
  e.exit = {3, 0};
  e.elapsed = milliseconds(12);
  e.delay = milliseconds(100);
  e.message = "why";
  return e;
}

TEST(SuperviseJson, EveryEventHasItsKeys) {
  EXPECT_EQ(json_line(SuperviseFacts{{"./server", "-p"}, 2, 9, "ipc:///s", "READY=1", {"*:80"}}),
            R"({"event":"supervising","command":["./server","-p"],"workers":2,"pid":9,"endpoint":"ipc:///s",)"
            R"("readiness":"READY=1","listeners":["*:80"]})");
  EXPECT_EQ(json_line(event(Kind::kStarted)), R"({"event":"started","worker":1,"pid":42,"epoch":7})");
  EXPECT_EQ(json_line(event(Kind::kReady)),
            R"({"event":"ready","worker":1,"pid":42,"epoch":7,"elapsed_ms":12.0})");
  EXPECT_EQ(json_line(event(Kind::kServing)), R"({"event":"serving","workers":3})");
  EXPECT_EQ(json_line(event(Kind::kDraining)), R"({"event":"draining","worker":1,"pid":42,"reason":"why"})");
  EXPECT_EQ(
      json_line(event(Kind::kStopped)),
      R"({"event":"stopped","worker":1,"pid":42,"expected":false,"exit_code":3,"signal":0,"message":"why"})");
  EXPECT_EQ(json_line(event(Kind::kRestarting)),
            R"({"event":"restarting","worker":1,"ends_in_a_row":3,"delay_ms":100})");
  EXPECT_EQ(json_line(event(Kind::kCrashLoop)),
            R"({"event":"crash_loop","worker":1,"ends_in_a_row":3,"delay_ms":100,"message":"why"})");
  EXPECT_EQ(json_line(event(Kind::kRolloutStarted)),
            R"({"event":"rollout_started","epoch":7,"modules":["page","core"],"cycle":[0,1],"reload":3})");
  EXPECT_EQ(json_line(event(Kind::kRolloutDone)),
            R"({"event":"rollout_done","epoch":7,"modules":["page","core"],"cycled":[0,1],"reloaded":3,)"
            R"("elapsed_ms":12.0})");
  EXPECT_EQ(json_line(event(Kind::kRolloutStopped)),
            R"({"event":"rollout_stopped","epoch":7,"modules":["page","core"],"worker":1,"old_code":[0,1],)"
            R"("message":"why"})");
}

TEST(SuperviseStory, SaysWhoAndHowFast) {
  const Palette plain(false);
  EXPECT_THAT(tell(plain, {}, event(Kind::kRolloutDone)),
              HasSubstr("page, core  epoch 7  2 workers cycled, 3 workers reloaded in place  12"));
  EXPECT_THAT(tell(plain, {}, event(Kind::kReady)), HasSubstr("worker 1  pid 42"));
  EXPECT_THAT(tell(plain, {}, event(Kind::kStopped)), HasSubstr("why"));
  SupervisorEvent expected = event(Kind::kStopped);
  expected.expected = true;
  EXPECT_THAT(tell(plain, {}, expected), HasSubstr("exit code 3"));
}

TEST(SuperviseConfiguration, IsATableOfItsOwn) {
  const auto read = parse_configuration(
      "[supervise]\nworkers = 4\nlisten = \"8080\"\nready-tcp = 81\ndrain_timeout = 0.5\ncycle = [\"a*\", "
      "\"b\"]\n",
      "moddev.toml");
  ASSERT_TRUE(read.ok()) << read.error().message;
  const SuperviseConfiguration& said = read->supervise;
  EXPECT_EQ(said.workers, 4U);
  EXPECT_THAT(*said.listen, ElementsAre("8080"));
  EXPECT_EQ(said.ready_tcp, "81");
  EXPECT_EQ(said.drain_timeout, milliseconds(500));
  EXPECT_THAT(*said.cycle, ElementsAre("a*", "b"));
  EXPECT_FALSE(said.reload.has_value());
}

TEST(SuperviseConfiguration, MistakesAreNamedWithTheirLine) {
  const auto problem = [](const std::string& text) {
    const auto read = parse_configuration("[supervise]\n" + text, "moddev.toml");
    return read.ok() ? "" : read.error().message;
  };
  EXPECT_THAT(problem("worker = 4"), HasSubstr("moddev.toml:2: unknown key 'worker'"));
  EXPECT_THAT(problem("worker = 4"), HasSubstr("workers"));
  EXPECT_THAT(problem("workers = 0"), HasSubstr("number from 1"));
  EXPECT_THAT(problem("drain_timeout = -1"), HasSubstr("seconds above 0"));
  EXPECT_THAT(problem("cycle = 3"), HasSubstr("list of texts"));
}

TEST(SuperviseConfiguration, FlagsWinAndAWayToAskIsTakenWhole) {
  SuperviseConfiguration file;
  file.workers = 4;
  file.ready_tcp = "80";
  file.cycle = {"a"};
  SuperviseConfiguration flags;
  flags.workers = 2;
  flags.ready_command = "true";
  const SuperviseConfiguration merged = merge(file, flags);
  EXPECT_EQ(merged.workers, 2U);
  EXPECT_EQ(merged.ready_command, "true");
  EXPECT_FALSE(merged.ready_tcp.has_value());
  EXPECT_THAT(*merged.cycle, ElementsAre("a"));
}

}  // namespace
}  // namespace moddev::tools
