// `moddev wait` against a real daemon and real executors: how it ends, and what it says then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Wait, TellsWithItsExitCode) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process waiting = yard.start({"wait", "--epoch", "1"});
  Process daemon = yard.watch();
  EXPECT_EQ(waiting.wait(), 0) << "it waits for a daemon, too: " << waiting.errors();
  Process executor = yard.start({"executor", "--name", "w1", "--json"});
  executor.event("applied");
  EXPECT_EQ(yard.run({"wait", "--live"}).exit_code, 0);
  const Ran late = yard.run({"wait", "--epoch", "9", "--timeout", "0.1"});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_THAT(late.err, HasSubstr("epoch 9 is not published yet"));
  yard.write_unloadable("scorer");
  daemon.event("aborted");
  const Ran refused = yard.run({"wait", "--live"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("was refused"), HasSubstr("w1: scorer: ")));
  EXPECT_THAT(yard.run({"status"}).out,
              StartsWith("epoch 1 live in 1 executor, epoch 2 was refused\nrefused: w1: scorer: "));
}

// A `git checkout` took the bad build away, and it stayed news until something else was published.
TEST(Wait, WhatWasRefusedAndUndoneIsHistory) {
  Yard yard;
  yard.write_module("scorer", 1);
  auto daemon = std::make_unique<Process>(yard.watch());
  Process executor = yard.start({"executor", "--name", "w1", "--json"});
  executor.event("applied");
  const std::string live = Yard::read_file(yard.build() + "/libscorer.so");
  yard.write_unloadable("scorer");
  daemon->event("aborted");
  ASSERT_EQ(yard.run({"wait", "--live"}).exit_code, 1);
  Yard::write_file(yard.build() + "/libscorer.so", live);
  const auto expect_no_news = [&] {
    Process status = yard.start({"status", "--watch", "--json"});
    status.line_that([](const std::string& line) { return Json::parse(line)["refused_epoch"] == 0; });
    const Ran waited = yard.run({"wait", "--live"});
    EXPECT_EQ(waited.exit_code, 0) << waited.err;
    EXPECT_EQ(waited.out, "epoch 1 is live in 1 executor\n");
    EXPECT_THAT(yard.run({"status"}).out, StartsWith("epoch 1 live in 1 executor\n" + yard.build()));
    const Ran of_it = yard.run({"wait", "--epoch", "2"});
    EXPECT_EQ(of_it.exit_code, 1);
    EXPECT_THAT(of_it.err, HasSubstr("Epoch 2 was refused, and epoch 1 stays live. w1: scorer: "));
  };
  expect_no_news();
  daemon->signal(SIGTERM);
  daemon->wait();
  daemon = std::make_unique<Process>(yard.watch());
  expect_no_news();
}

// Its refusal and the reason were known, and the whole --timeout was waited for it.
TEST(Wait, EndsWhenAnExecutorCannotUseWhatIsLive) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch({"--sync", "none"});
  Process able = yard.start({"executor", "--name", "able", "--json"});
  able.event("applied");
  Process picky = yard.start({"executor", "--name", "picky", "--modules", "scorer", "--json"});
  picky.event("applied");
  yard.write_module("miner", 7);
  able.event("applied", [](const Json& json) { return json["epoch"] == 2; });
  const auto expect_end = [&](const std::vector<std::string>& goal, const std::string& who) {
    std::vector<std::string> arguments = {"wait", "--timeout", "600"};
    arguments.insert(arguments.end(), goal.begin(), goal.end());
    const Ran ran = yard.run(arguments);
    EXPECT_EQ(ran.exit_code, 1);
    EXPECT_THAT(ran.err,
                AllOf(HasSubstr("Epoch 2 is live, but not in "), HasSubstr(who), HasSubstr("miner: ")));
  };
  expect_end({"--live"}, "picky (failed, epoch 1): cannot use epoch 2: ");
  expect_end({"--epoch", "2"}, "picky (failed, epoch 1): cannot use epoch 2: ");
  EXPECT_EQ(yard.run({"wait", "--epoch", "1"}).exit_code, 0) << "it runs that";
  EXPECT_THAT(yard.run({"status"}).out, HasSubstr("  cannot use epoch 2: miner: "));
  picky.signal(SIGTERM);
  EXPECT_EQ(picky.wait(), 0);
  EXPECT_EQ(yard.run({"wait", "--live"}).exit_code, 0);
  Process late = yard.start({"executor", "--name", "late", "--modules", "scorer", "--json"});
  late.event("failed");
  expect_end({"--live"}, "late (failed): cannot use epoch 2: ");
}

TEST(Wait, ForARefusedEpochEndsAlsoWhenTheNextOneIsLive) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  const Ran alone = yard.run({"wait", "--live"});
  EXPECT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_EQ(alone.out, "epoch 1 is live, and no executor is there to run it\n");
  Process executor = yard.start({"executor", "--name", "w1", "--json"});
  executor.event("applied");
  yard.write_unloadable("scorer");
  daemon.event("aborted");
  yard.write_module("scorer", 3);
  daemon.event("committed", [](const Json& json) { return json["epoch"] == 3; });
  const Ran refused = yard.run({"wait", "--epoch", "2"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("Epoch 2 was refused, and epoch 3 is live without it. w1: scorer: "));
  EXPECT_EQ(yard.run({"wait", "--epoch", "1"}).exit_code, 0) << "the newer one builds on it";
  EXPECT_EQ(yard.run({"rollback"}).exit_code, 0);
  const Ran gone = yard.run({"wait", "--epoch", "3"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_THAT(gone.err, HasSubstr("Epoch 3 was taken back by epoch 4: rollback to epoch 1."));
  const Ran live = yard.run({"wait", "--live"});
  EXPECT_EQ(live.exit_code, 0) << "as the user wished";
  EXPECT_EQ(live.out,
            "epoch 4 is live in 1 executor; scorer is held at version 1 until libscorer.so changes\n");
}

TEST(Wait, ForWhatACanaryDiedOfEnds) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch({"--canary", "w1", "--canary-time", "60"});
  Process canary = yard.start({"executor", "--name", "w1", "--json"});
  canary.event("applied");
  Process other = yard.start({"executor", "--name", "w2", "--json"});
  other.event("applied");
  yard.write_module("scorer", 2);
  canary.event("applied", [](const Json& json) { return json["epoch"] == 2; });
  Process waiting = yard.start({"wait", "--epoch", "2"});
  canary.signal(SIGKILL);
  EXPECT_EQ(waiting.wait(), 1);
  EXPECT_THAT(waiting.errors(), HasSubstr("Epoch 2 was refused, and epoch "));
  daemon.event("committed", [](const Json& json) { return json["epoch"] == 3; });
  const Ran late = yard.run({"wait", "--epoch", "2"});
  EXPECT_EQ(late.exit_code, 1);
  EXPECT_THAT(late.err, HasSubstr("Epoch 2 was refused, and epoch 3 is live without it. w1: "));
  EXPECT_EQ(yard.run({"wait", "--live"}).exit_code, 1);
}

TEST(Wait, ForWhatEveryoneReturnedFromEnds) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  std::vector<Process> executors;
  for (const char* name : {"w1", "w2", "w3"}) {
    executors.push_back(yard.start({"executor", "--name", name, "--json"}));
    executors.back().event("applied");
  }
  const std::string former = Yard::read_file(yard.build() + "/libscorer.so");
  yard.write_module("scorer", 2);
  daemon.event("committed", [](const Json& json) { return json["epoch"] == 2 && json["applied"] == 3; });
  executors[0].signal(SIGKILL);
  executors[1].signal(SIGKILL);
  daemon.event("committed", [](const Json& json) { return json["epoch"] == 3; });
  const Ran gone = yard.run({"wait", "--epoch", "2"});
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_THAT(gone.err, HasSubstr("Epoch 2 was taken back by epoch 3: return to epoch 1, because 2 of 3 "));
  const Ran live = yard.run({"wait", "--live"});
  EXPECT_EQ(live.exit_code, 1);
  EXPECT_THAT(live.err, HasSubstr("Epoch 3 is live, a return to epoch 1, because 2 of 3 executors "));
  Yard::write_file(yard.build() + "/libscorer.so", former);
  ASSERT_EQ(yard.run({"refresh"}).exit_code, 0);
  const Ran undone = yard.run({"wait", "--live"});
  EXPECT_EQ(undone.exit_code, 0) << undone.err;
  EXPECT_EQ(undone.out, "epoch 3 is live in 1 executor\n");
}

/// A daemon that is stopped takes the connection and says nothing.
TEST(Wait, EndsInItsTimeAlsoWhenTheDaemonIsSilent) {
  Yard yard;
  const Process daemon = yard.watch();
  daemon.signal(SIGSTOP);
  const auto begin = std::chrono::steady_clock::now();
  const Ran ran = yard.run({"wait", "--live", "--timeout", "2"});
  const auto took = std::chrono::steady_clock::now() - begin;
  daemon.signal(SIGCONT);
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("Not within the time of --timeout"), HasSubstr("No answer from")));
  EXPECT_LT(took, std::chrono::seconds(5)) << "as long as an answer may take";
}

}  // namespace
}  // namespace moddev::e2e
