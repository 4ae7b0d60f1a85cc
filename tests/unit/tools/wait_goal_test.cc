#include "tools/moddev/wait_goal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

using ::testing::HasSubstr;
using Kind = WaitOutcome::Kind;

StatusReply fleet(Epoch head, Epoch committed, std::vector<std::pair<ExecutorState, Epoch>> executors) {
  StatusReply status;
  status.epoch = head;
  status.committed_epoch = committed;
  for (std::size_t i = 0; i < executors.size(); ++i) {
    ExecutorStatus executor;
    executor.identity.name = "w" + std::to_string(i + 1);
    executor.state = executors[i].first;
    executor.epoch = executors[i].second;
    status.executors.push_back(executor);
  }
  return status;
}

/// What the history tells of one epoch.
HistoryEntry past(Epoch epoch, EpochState state, std::string cause = "change") {
  HistoryEntry entry;
  entry.epoch = epoch;
  entry.state = state;
  entry.cause = std::move(cause);
  if (state == EpochState::kAborted)
    entry.failures = {{"w1", "scorer", "undefined symbol: _Z1fi"},
                      {"w2", "scorer", "undefined symbol: _Z1fi"}};
  return entry;
}

TEST(WaitForEpoch, IsOverWhenEveryoneRunsItOrANewerOne) {
  const auto status = fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kLive, 7}});
  EXPECT_EQ(judge(status, false, {}, {7}).kind, Kind::kReached);
  EXPECT_EQ(judge(status, false, {}, {5}).kind, Kind::kReached);
  EXPECT_EQ(judge(status, false, {}, {7}).text, "epoch 7 is live in 2 executors");
}

TEST(WaitForEpoch, NamesWhoIsBehind) {
  auto status = fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kStale, 6}});
  status.executors[1].detail = "silent";
  const WaitOutcome outcome = judge(status, false, {}, {7});
  EXPECT_EQ(outcome.kind, Kind::kNotYet);
  EXPECT_EQ(outcome.text, "epoch 7 is not live in w2 (stale, epoch 6): silent");
}

TEST(WaitForEpoch, IsNotYetWhileItIsNotThere) {
  EXPECT_EQ(judge(fleet(6, 6, {}), false, {}, {7}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(fleet(7, 6, {}), true, {}, {7}).kind, Kind::kNotYet);
}

TEST(WaitForEpoch, NamesWhoStillPreparesIt) {
  const auto status = fleet(
      8, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kPreparing, 7}, {ExecutorState::kPreparing, 7}});
  EXPECT_EQ(judge(status, true, {}, {8}).text, "epoch 8 is being prepared by w2; w3");
  EXPECT_EQ(judge(status, true, {past(8, EpochState::kAnnounced)}, {8}).text,
            "epoch 8 is being prepared by w2; w3");
  EXPECT_EQ(judge(status, true, {}, {}).text, "epoch 8 is being prepared by w2; w3");
  const std::vector<std::pair<ExecutorState, Epoch>> many(10, {ExecutorState::kPreparing, 7});
  EXPECT_EQ(judge(fleet(8, 7, many), true, {}, {}).text,
            "epoch 8 is being prepared by w1; w2; w3; w4; and 6 more");
}

TEST(WaitForEpoch, EndsWhenItWasRefused) {
  const WaitOutcome outcome = judge(fleet(7, 6, {}), false, {}, {7});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.text,
            "Epoch 7 was refused, and epoch 6 stays live. A change of the files makes the next epoch.");
}

// It depended on when one asked: before or after the next epoch had gone live.
TEST(WaitForEpoch, ARefusedOneStaysRefusedWhenAnotherBuildIsLive) {
  const std::vector<HistoryEntry> history = {past(8, EpochState::kCommitted), past(7, EpochState::kAborted),
                                             past(6, EpochState::kCommitted)};
  const WaitOutcome late = judge(fleet(8, 8, {{ExecutorState::kLive, 8}}), false, history, {7});
  EXPECT_EQ(late.kind, Kind::kRefused);
  EXPECT_EQ(
      late.text,
      "Epoch 7 was refused, and epoch 8 is live without it. w1 and w2: scorer: undefined symbol: f(int). "
      "A change of the files makes the next epoch.");
  const std::vector<HistoryEntry> before = {past(8, EpochState::kAnnounced), past(7, EpochState::kAborted)};
  EXPECT_EQ(judge(fleet(8, 6, {{ExecutorState::kLive, 6}}), true, before, {7}).kind, Kind::kRefused);
  EXPECT_EQ(judge(fleet(8, 6, {{ExecutorState::kLive, 6}}), true, before, {8}).kind, Kind::kNotYet);
}

// A canary died of it, and what was live before went live again under the next number: that passed for it.
TEST(WaitForEpoch, TheReturnOfTheCanariesIsNotIt) {
  const std::vector<HistoryEntry> history = {
      past(8, EpochState::kCommitted, "return of the canaries to epoch 6"), past(7, EpochState::kAborted)};
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.refused = 7;
  EXPECT_EQ(judge(status, false, history, {7}).kind, Kind::kRefused);
  EXPECT_EQ(judge(status, false, history, {}).kind, Kind::kRefused);
}

TEST(WaitForEpoch, EndsWhenItWasTakenBack) {
  const std::vector<HistoryEntry> history = {
      past(8, EpochState::kCommitted, "return to epoch 6, because 2 of 3 executors died"),
      past(7, EpochState::kCommitted)};
  const auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  const WaitOutcome outcome = judge(status, false, history, {7});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.text,
            "Epoch 7 was taken back by epoch 8: return to epoch 6, because 2 of 3 executors died. What had "
            "changed stays out until its files change; `moddev rollback --to 7` brings it back as it is.");
  EXPECT_EQ(judge(status, false, history, {8}).kind, Kind::kReached);
}

TEST(WaitForEpoch, WhatADaemonDidNotLiveToDecideComesAgain) {
  std::vector<HistoryEntry> history = {past(7, EpochState::kAborted), past(6, EpochState::kCommitted)};
  history[0].failures.clear();
  auto status = fleet(7, 6, {{ExecutorState::kLive, 6}});
  EXPECT_EQ(judge(status, false, history, {7}).kind, Kind::kNotYet);
  status.refused = 7;
  EXPECT_THAT(judge(status, false, history, {7}).text, HasSubstr("Nobody was left to use it."));
}

/// Announced between the two questions, committed before the third.
TEST(WaitForEpoch, WhatIsDecidedWhileOneAsksIsNotRefused) {
  const auto status = fleet(7, 6, {{ExecutorState::kLive, 6}});
  for (const EpochState state : {EpochState::kAnnounced, EpochState::kCommitted}) {
    EXPECT_EQ(judge(status, false, {past(7, state)}, {7}).kind, Kind::kNotYet);
    EXPECT_EQ(judge(status, false, {past(7, state)}, {}).kind, Kind::kNotYet);
  }
}

TEST(WaitForEpoch, LooksBackAsFarAsItMust) {
  auto status = fleet(9, 9, {});
  EXPECT_EQ(oldest_needed(status, {7}), 7U);
  EXPECT_EQ(oldest_needed(status, {10}), 0U);
  EXPECT_EQ(oldest_needed(status, {}), 9U);
  status.refused = 8;
  EXPECT_EQ(oldest_needed(status, {}), 8U);
}

TEST(WaitForLive, MeansTheNewestEpochThereIs) {
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}}), false, {}, {}).kind, Kind::kReached);
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 6}}), false, {}, {}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(fleet(8, 7, {{ExecutorState::kPreparing, 7}}), true, {}, {}).kind, Kind::kNotYet);
  auto refused = fleet(8, 7, {{ExecutorState::kLive, 7}});
  refused.refused = 8;
  EXPECT_EQ(judge(refused, false, {}, {}).kind, Kind::kRefused);
}

// The live bytes were put back, so that nothing is refused any more, and the newest number was still not
// live.
TEST(WaitForLive, WhatWasRefusedAndUndoneIsHistory) {
  const std::vector<HistoryEntry> history = {past(8, EpochState::kAborted), past(7, EpochState::kCommitted)};
  const auto status = fleet(8, 7, {{ExecutorState::kLive, 7}});
  const WaitOutcome outcome = judge(status, false, history, {});
  EXPECT_EQ(outcome.kind, Kind::kReached);
  EXPECT_EQ(outcome.text, "epoch 7 is live in 1 executor");
  EXPECT_EQ(judge(status, false, {}, {}).kind, Kind::kReached) << "the history may not be told";
  EXPECT_EQ(judge(fleet(8, 7, {{ExecutorState::kStale, 6}}), false, history, {}).text,
            "epoch 7 is not live in w1 (stale, epoch 6)");
  EXPECT_EQ(judge(fleet(1, 0, {}), false, {past(1, EpochState::kAborted)}, {}).text,
            "nothing is published yet");
  EXPECT_EQ(judge(status, false, history, {8}).kind, Kind::kRefused) << "it never went live";
}

TEST(WaitForLive, WhoIsGoneIsNotWaitedForAndWhoIsFencedIs) {
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kGone, 5}}), false, {}, {}).kind,
            Kind::kReached);
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kFenced, 5}}), false, {}, {}).kind,
            Kind::kNotYet);
}

TEST(WaitForLive, WithoutExecutorsThereIsNothingToWaitForAndThatIsTold) {
  const WaitOutcome outcome = judge(fleet(7, 7, {}), false, {}, {});
  EXPECT_EQ(outcome.kind, Kind::kReached);
  EXPECT_EQ(outcome.text, "epoch 7 is live, and no executor is there to run it");
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kGone, 7}}), false, {}, {}).text, outcome.text);
}

/// One that cannot use what is committed, as the daemon tells of it.
ExecutorStatus unable(const std::string& name, Epoch runs, Epoch cannot) {
  ExecutorStatus executor;
  executor.identity.name = name;
  executor.state = ExecutorState::kFailed;
  executor.epoch = runs;
  executor.detail = "cannot use epoch " + std::to_string(cannot) + ": scorer: undefined symbol: _Z1fi";
  return executor;
}

// It was waited for until the time was up, although all was known.
TEST(WaitForLive, EndsWhenAnExecutorCannotUseIt) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}, {ExecutorState::kStale, 7}});
  status.executors.push_back(unable("w3", 7, 8));
  status.executors.push_back(unable("late", 0, 8));
  const WaitOutcome outcome = judge(status, false, {}, {});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.text,
            "Epoch 8 is live, but not in w3 (failed, epoch 7): cannot use epoch 8: scorer: undefined symbol: "
            "f(int); late (failed): cannot use epoch 8: scorer: undefined symbol: f(int). It is tried again "
            "there from time to time; a change of the files makes the next epoch.");
  EXPECT_EQ(judge(status, false, {}, {8}).text, outcome.text);
  status.epoch = 9;
  EXPECT_EQ(judge(status, true, {}, {}).kind, Kind::kNotYet) << "perhaps the cure";
  EXPECT_EQ(judge(status, true, {}, {8}).kind, Kind::kNotYet) << "perhaps the cure";
}

// Committed, and not applied yet where only the epoch before failed.
TEST(WaitForLive, WhoCouldNotUseAnEpochBeforeIsWaitedFor) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.executors.push_back(unable("w2", 6, 7));
  EXPECT_EQ(judge(status, false, {}, {}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(status, false, {}, {7}).kind, Kind::kNotYet);
  status.executors.back().detail = "in words of another daemon";
  EXPECT_EQ(judge(status, false, {}, {}).kind, Kind::kNotYet);
}

TEST(WaitForEpoch, WhoCannotUseANewerOneRunsItAllTheSame) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.executors.push_back(unable("w2", 7, 8));
  const WaitOutcome outcome = judge(status, false, {}, {7});
  EXPECT_EQ(outcome.kind, Kind::kReached);
  EXPECT_EQ(outcome.text, "epoch 7 or a newer one is live in 2 executors");
  EXPECT_EQ(judge(status, false, {}, {8}).kind, Kind::kRefused);
}

// A daemon that had just begun had published nothing, and everyone ran that.
TEST(WaitForLive, NothingIsNoEpoch) {
  EXPECT_EQ(judge(fleet(0, 0, {{ExecutorState::kLive, 0}}), false, {}, {}).kind, Kind::kNotYet);
}

// Something else was committed since, and what the files hold is live nowhere.
TEST(WaitForLive, IsNotWhatWasRefused) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.refused = 7;
  EXPECT_EQ(judge(status, true, {}, {}).kind, Kind::kNotYet) << "perhaps the cure";
  const WaitOutcome outcome =
      judge(status, false, {past(8, EpochState::kCommitted), past(7, EpochState::kAborted)}, {});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_THAT(outcome.text, HasSubstr("Epoch 7 was refused, and epoch 8 is live without it. w1 and w2: "));
}

TEST(WaitForLive, IsNotTheReturnFromWhatKilled) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.holds = {{"scorer", 3, "libscorer.so"}};
  const std::string why = "return to epoch 6, because 2 of 3 executors died";
  const WaitOutcome outcome = judge(status, false, {past(8, EpochState::kCommitted, why)}, {});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.text, "Epoch 8 is live, a " + why + ". A change of the files makes the next epoch.");
}

// The files from before were put back, so that nothing is held any more, and it was told as if they were not.
TEST(WaitForLive, IsTheReturnWhenTheFilesHaveReturnedToo) {
  const std::string why = "return to epoch 6, because 2 of 3 executors died";
  const auto history = std::vector{past(8, EpochState::kCommitted, why)};
  EXPECT_EQ(judge(fleet(8, 8, {{ExecutorState::kLive, 8}}), false, history, {}).text,
            "epoch 8 is live in 1 executor");
}

TEST(WaitForLive, WhatARollbackHoldsIsToldAndAsAPersonWished) {
  auto status = fleet(8, 8, {{ExecutorState::kLive, 8}});
  status.holds = {{"new", 0, "libnew.so"}, {"scorer", 3, "libscorer.so"}};
  const auto history = std::vector{past(8, EpochState::kCommitted, "rollback to epoch 6")};
  const WaitOutcome outcome = judge(status, false, history, {});
  EXPECT_EQ(outcome.kind, Kind::kReached);
  EXPECT_EQ(
      outcome.text,
      "epoch 8 is live in 1 executor; new is kept out until libnew.so changes; scorer is held at version 3 "
      "until libscorer.so changes");
  for (char c = 'a'; c < 'e'; ++c) status.holds.push_back({std::string(1, c), 1, "lib"});
  EXPECT_THAT(judge(status, false, history, {}).text, HasSubstr("; and 2 more modules are held"));
}

TEST(WaitForLive, ALongListOfLaggardsIsCut) {
  std::vector<std::pair<ExecutorState, Epoch>> many(10, {ExecutorState::kJoining, 0});
  EXPECT_THAT(judge(fleet(7, 7, many), false, {}, {}).text, HasSubstr("w4 (joining); and 6 more"));
}

}  // namespace
}  // namespace moddev::tools
