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

TEST(WaitForEpoch, IsOverWhenEveryoneRunsItOrANewerOne) {
  const auto status = fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kLive, 7}});
  EXPECT_EQ(judge(status, false, {7}).kind, Kind::kReached);
  EXPECT_EQ(judge(status, false, {5}).kind, Kind::kReached);
  EXPECT_EQ(judge(status, false, {7}).text, "epoch 7 is live in 2 executors");
}

TEST(WaitForEpoch, NamesWhoIsBehind) {
  auto status = fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kStale, 6}});
  status.executors[1].detail = "silent";
  const WaitOutcome outcome = judge(status, false, {7});
  EXPECT_EQ(outcome.kind, Kind::kNotYet);
  EXPECT_EQ(outcome.text, "epoch 7 is not live in w2 (stale, epoch 6): silent");
}

TEST(WaitForEpoch, IsNotYetWhileItIsNotThere) {
  EXPECT_EQ(judge(fleet(6, 6, {}), false, {7}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(fleet(7, 6, {}), true, {7}).kind, Kind::kNotYet);
}

TEST(WaitForEpoch, EndsWhenItWasRefused) {
  const WaitOutcome outcome = judge(fleet(7, 6, {}), false, {7});
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.text, "epoch 7 was refused, and epoch 6 stays live");
}

TEST(WaitForEpoch, ARefusedOneIsOvertakenByANewerOne) {
  EXPECT_EQ(judge(fleet(8, 8, {{ExecutorState::kLive, 8}}), false, {7}).kind, Kind::kReached);
  EXPECT_EQ(judge(fleet(8, 6, {{ExecutorState::kLive, 6}}), true, {7}).kind, Kind::kNotYet);
}

TEST(WaitForLive, MeansTheNewestEpochThereIs) {
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}}), false, {}).kind, Kind::kReached);
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 6}}), false, {}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(fleet(8, 7, {{ExecutorState::kPreparing, 7}}), true, {}).kind, Kind::kNotYet);
  EXPECT_EQ(judge(fleet(8, 7, {{ExecutorState::kLive, 7}}), false, {}).kind, Kind::kRefused);
}

TEST(WaitForLive, WhoIsGoneIsNotWaitedForAndWhoIsFencedIs) {
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kGone, 5}}), false, {}).kind,
            Kind::kReached);
  EXPECT_EQ(judge(fleet(7, 7, {{ExecutorState::kLive, 7}, {ExecutorState::kFenced, 5}}), false, {}).kind,
            Kind::kNotYet);
}

TEST(WaitForLive, WithoutExecutorsThereIsNothingToWaitFor) {
  EXPECT_EQ(judge(fleet(7, 7, {}), false, {}).kind, Kind::kReached);
}

TEST(WaitForLive, ALongListOfLaggardsIsCut) {
  std::vector<std::pair<ExecutorState, Epoch>> many(10, {ExecutorState::kJoining, 0});
  EXPECT_THAT(judge(fleet(7, 7, many), false, {}).text, HasSubstr("w4 (joining); and 6 more"));
}

}  // namespace
}  // namespace moddev::tools
