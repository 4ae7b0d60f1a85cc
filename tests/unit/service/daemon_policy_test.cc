// Who switches first, who has to be ready, and the return from what kills.
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

/// A fleet with a canary, "a", and two others, on epoch 1.
class CanaryTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    FleetOptions fleet;
    fleet.canaries.count = 1;
    start(fleet);
    write({{"m", "good"}});
    for (const char* name : {"a", "b", "c"}) add(name);
  }
  std::vector<Epoch> run() const {
    std::vector<Epoch> epochs;
    for (const auto& executor : executors) epochs.push_back(executor->runs);
    return epochs;
  }
};
using Epochs = std::vector<Epoch>;

TEST_F(CanaryTest, TheOthersFollowWhenItLives) {
  write({{"m", "new"}});
  EXPECT_EQ(run(), (Epochs{2, 1, 1}));
  EXPECT_EQ(journal->committed().epoch, 1U);
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(run(), (Epochs{2, 2, 2}));
  EXPECT_EQ(journal->committed().epoch, 2U);
}

// The canary was missing, and the others' waiting for it counted as loading.
// The return of the canaries came after the refusal, and hid it.
TEST_F(CanaryTest, WhatACanaryDiedOfIsToldAsRefusedUntilItsFileChanges) {
  write({{"m", "deadly"}});
  executors[0]->mute = true;
  pass(FleetOptions{}.canary_time);
  ASSERT_EQ(journal->committed().epoch, 3U);
  EXPECT_EQ(std::get<StatusReply>(ask(*executors[1], StatusRequest{})).refused, 2U);
  executors[2]->mute = true;
  executors[1]->mute = false;
  executors[1]->ask(RefreshRequest{});  // once more, in the next canary
  settle();
  executors[1]->mute = true;
  Executor& fresh = add("fresh");
  pass(FleetOptions{}.canary_time);
  ASSERT_GE(journal->head(), 4U);
  ASSERT_TRUE(executors[1]->last<RefreshReply>());
  EXPECT_EQ(executors[1]->last<RefreshReply>()->refused, 4U);
  write({{"m", "cured"}});
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
  EXPECT_EQ(std::get<StatusReply>(ask(fresh, StatusRequest{})).refused, 0U);
}

TEST_F(CanaryTest, TheHistoryKnowsAllWhoRunItAndHowLongTheyLoaded) {
  for (auto& executor : executors) executor->applies_in = 10'000'000;
  write({{"m", "new"}});
  pass(FleetOptions{}.canary_time + seconds(1));
  const auto applied = journal->applied(2);
  ASSERT_TRUE(applied);
  ASSERT_EQ(applied->size(), 3U);
  for (const AppliedRecord& record : *applied) EXPECT_EQ(record.elapsed_us, 10) << record.executor.name;
}

TEST_F(CanaryTest, TheHistoryKnowsNobodyWhoRanWhatWasAborted) {
  write({{"m", "deadly"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  executors[0]->mute = true;
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(journal->applied(2)->size(), 0U);
  EXPECT_EQ(journal->applied(3)->size(), 2U);
}

// It heard of the epoch when it was committed: then it loads until the switch.
TEST_F(DaemonTest, OfANewcomerTheHistoryKnowsTheTimeToTheSwitch) {
  write({{"m", "1"}});
  executors.push_back(std::make_unique<Executor>(transport, "fresh"));
  executors[0]->applies_in = 4000;
  executors[0]->join();
  settle();
  pass(seconds(1));
  ASSERT_EQ(journal->applied(1)->size(), 1U);
  EXPECT_EQ(journal->applied(1)->at(0).elapsed_us, 4000);
}

TEST_F(CanaryTest, WhenItDiesTheOthersNeverRunIt) {
  write({{"m", "deadly"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  executors[0]->mute = true;
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(executors[1]->runs, 3U) << "the committed content under a new number";
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  ASSERT_EQ(all<AbortedEvent>().size(), 1U);
  EXPECT_EQ(all<AbortedEvent>()[0].failures.at(0).executor, "a");
  EXPECT_EQ(all<WarningEvent>().back().code, "held");
  const auto aborted = std::find_if(told.begin(), told.end(), [](const DaemonEvent& event) {
    return std::holds_alternative<AbortedEvent>(event);
  });
  ASSERT_NE(std::next(aborted), told.end());
  EXPECT_TRUE(std::holds_alternative<WarningEvent>(*std::next(aborted))) << "what follows is told after it";
  Executor& restarted = add("a");
  pass(seconds(30));
  EXPECT_EQ(restarted.runs, 3U) << "canaries do not die of the same bytes twice";
  write({{"m", "fixed"}});
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(restarted.runs, 4U);
}

// With the next change of anything else it went out again, and killed the next canary; after a restart, too.
TEST_F(CanaryTest, WhatItDiedOfStaysOutWhateverElseChanges) {
  write({{"m", "deadly"}});
  executors[0]->mute = true;
  pass(FleetOptions{}.canary_time);
  ASSERT_EQ(journal->committed().epoch, 3U);
  add("a");
  write({{"m", "deadly"}, {"other", "1"}});
  pass(FleetOptions{}.canary_time + seconds(1));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  EXPECT_EQ(journal->committed().modules.at("other").digest, digest_of("1"));

  start();  // and without canaries
  feed.change_unseen(blobs, {{"m", "deadly"}, {"other", "2"}});
  feed.restart(now);
  pass(DaemonOptions{}.rejoin_patience + seconds(1));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  EXPECT_EQ(journal->committed().modules.at("other").digest, digest_of("2"));
  write({{"m", "cured"}, {"other", "2"}});
  pass(seconds(1));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
}

TEST_F(CanaryTest, WhatChangesWhileItDiesHasItsTurnAfterTheQuarantine) {
  write({{"m", "deadly"}});
  executors[0]->mute = true;
  write({{"m", "deadly"}, {"other", "1"}});
  pass(2 * FleetOptions{}.canary_time + seconds(1));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  EXPECT_EQ(journal->committed().modules.at("other").digest, digest_of("1"));
  EXPECT_TRUE(journal->holds().contains("m"));
}

TEST_F(CanaryTest, ACureThatIsThereAlreadyIsNotPutIntoQuarantine) {
  write({{"m", "deadly"}});
  executors[0]->mute = true;
  write({{"m", "cured"}});
  pass(2 * FleetOptions{}.canary_time + seconds(1));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
  EXPECT_TRUE(journal->holds().empty());
}

// The time asleep was added twice to the end of the trial when something else was due at once: the epoch
// stayed undecided for as long again. Found by the simulation.
TEST_F(CanaryTest, ASleepInTheMiddleLengthensTheTrialOnce) {
  write({{"m", "new"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  now += seconds(60);
  feed.due = now - seconds(60);
  for (int steps = 0; steps < 3; ++steps) daemon->step(now, wall());
  feed.due = kNever;
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(run(), (Epochs{2, 2, 2}));
}

TEST_F(CanaryTest, OneThatDiesAtTheEndOfItsTimeIsFoundOut) {
  write({{"m", "deadly after a while"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  pass(FleetOptions{}.canary_time - milliseconds(1));
  executors[0]->mute = true;
  pass(FleetOptions{}.lease + milliseconds(1));
  EXPECT_EQ(executors[1]->runs, 3U) << "the committed content under a new number";
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
}

// The content was given up for good. Found by the simulation.
TEST_F(CanaryTest, OneThatWasOnlyCutOffIsAskedAgain) {
  write({{"m", "new"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  executors[0]->mute = true;
  pass(seconds(5));
  ASSERT_EQ(run(), (Epochs{2, 3, 3}));
  executors[0]->mute = false;
  executors[0]->join(journal->id().repo);
  settle();
  pass(seconds(2));
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("new"));
  EXPECT_EQ(run(), (Epochs{4, 4, 4}));
}

// It was excluded in the trial and came back with that epoch while the next one was decided: the committed
// content was announced once more for nothing. Found by the simulation.
TEST_F(CanaryTest, WhoIsAheadLearnsTheNextCommitAndThatIsAll) {
  write({{"m", "new"}});
  executors[0]->mute = true;
  write({{"m", "newer"}});
  pass(seconds(4));  // aborted, and the newer one is tried in b
  ASSERT_EQ(run(), (Epochs{2, 3, 1}));
  executors[0]->mute = false;
  executors[0]->join(journal->id().repo);
  settle();
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(run(), (Epochs{3, 3, 3}));
  EXPECT_EQ(journal->head(), 3U);
}

TEST_F(CanaryTest, OneThatLivesIsBroughtBackWhenAnotherDies) {
  FleetOptions fleet;
  fleet.canaries.names = {"a", "b"};
  start(fleet);
  feed.restart(now);
  for (auto& executor : executors) executor->join(journal->id().repo);
  settle();
  write({{"m", "deadly"}});
  ASSERT_EQ(run(), (Epochs{2, 2, 1}));
  executors[0]->mute = true;
  pass(FleetOptions{}.canary_time);
  EXPECT_EQ(run(), (Epochs{2, 3, 3}));
  EXPECT_EQ(journal->epoch(3)->manifest.modules.at("m").digest, digest_of("good"));
}

TEST_F(CanaryTest, ACanaryThatOutlivedTheDaemonIsBroughtBack) {
  write({{"m", "deadly"}});
  ASSERT_EQ(run(), (Epochs{2, 1, 1}));
  (void)journal->record_abort(2, {}, wall());  // as at the next start
  feed.content["m"] = "good";                  // somebody undid the change meanwhile
  start();
  feed.restart(now);
  for (auto& executor : executors) executor->join(journal->id().repo);
  settle();
  EXPECT_EQ(run(), (Epochs{3, 3, 3}));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
}

TEST_F(DaemonTest, ACanaryThatNobodyIsNamedIsToldWithEachEpoch) {
  FleetOptions fleet;
  fleet.canaries.names = {"worker-9", "worker-8"};
  start(fleet);
  write({{"m", "1"}});
  EXPECT_TRUE(all<WarningEvent>().empty()) << "there is nobody at all";
  add("a");
  write({{"m", "2"}});
  add("b");
  write({{"m", "3"}});
  const auto warnings = all<WarningEvent>();
  ASSERT_EQ(warnings.size(), 2U);
  EXPECT_EQ(warnings[0].code, "no_canary");
  EXPECT_EQ(warnings[0].message,
            "No executor that could try epoch 2 first is named 'worker-9' or 'worker-8': there is no canary, "
            "and the only executor switches at once. `moddev status` shows who is there.");
  EXPECT_EQ(warnings[1].message,
            "No executor that could try epoch 3 first is named 'worker-9' or 'worker-8': there is no canary, "
            "and all 2 executors switch at once. `moddev status` shows who is there.");
}

TEST_F(DaemonTest, EveryoneReturnsWhenMostDieOfTheNewEpoch) {
  write({{"m", "good"}, {"other", "1"}});
  for (const char* name : {"a", "b", "c"}) add(name);
  write({{"m", "deadly"}, {"other", "1"}});
  ASSERT_EQ(journal->committed().epoch, 2U);
  executors[0]->mute = executors[1]->mute = true;
  pass(seconds(5));
  EXPECT_EQ(executors[2]->runs, 3U);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  EXPECT_EQ(journal->epoch(3)->cause.rfind("return to epoch 1, because 2 of 3 executors died", 0), 0U);
  write({{"m", "deadly"}, {"other", "2"}});
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good")) << "another module's change";
  EXPECT_EQ(journal->committed().modules.at("other").digest, digest_of("2"));
  write({{"m", "cured"}, {"other", "2"}});
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
  EXPECT_EQ(executors[2]->runs, 5U);
}

// The next return led to the epoch that the rollback had brought back, which is the suspect itself.
TEST_F(DaemonTest, WhoOverrulesAReturnIsReturnedFromTheNextDeathsAsWell) {
  write({{"m", "good"}});
  for (const char* name : {"a", "b", "c"}) add(name);
  write({{"m", "deadly"}});
  executors[0]->mute = executors[1]->mute = true;
  pass(seconds(5));
  ASSERT_EQ(journal->committed().epoch, 3U);
  for (const std::size_t back : {0U, 1U}) {
    executors[back]->mute = false;
    executors[back]->join(journal->id().repo);
  }
  settle();
  ask(*executors[2], RollbackRequest{"", 2, Uuid::random()});
  ASSERT_EQ(journal->committed().modules.at("m").digest, digest_of("deadly"));
  executors[0]->mute = executors[1]->mute = true;
  pass(seconds(5));
  EXPECT_EQ(executors[2]->runs, 5U);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
}

// Who died of it while the daemon was down, and was started again to die once more, died of what stayed live.
TEST_F(DaemonTest, EveryoneReturnsAlsoWhenTheDaemonWasRestartedAfterTheSwitch) {
  write({{"m", "good"}});
  for (const char* name : {"a", "b", "c"}) add(name);
  write({{"m", "deadly"}});
  ASSERT_EQ(journal->committed().epoch, 2U);
  pass(milliseconds(400));
  executors.clear();
  start();
  feed.restart(now);
  settle();
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(add(name).runs, 2U);
  for (auto& executor : executors) executor->mute = true;
  pass(seconds(5));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
}

TEST_F(DaemonTest, WhatWasCommittedLongBeforeARestartIsNotBlamedForDeathsAfterIt) {
  write({{"m", "good"}});
  for (const char* name : {"a", "b", "c"}) add(name);
  write({{"m", "proven"}});
  pass(limits::kAftermath);
  executors.clear();
  start();
  feed.restart(now);
  settle();
  for (const char* name : {"a", "b", "c"}) add(name);
  for (auto& executor : executors) executor->mute = true;
  pass(seconds(5));
  EXPECT_EQ(journal->committed().epoch, 2U);
}

TEST_F(DaemonTest, TheFirstEpochHasNothingToReturnTo) {
  for (const char* name : {"a", "b"}) add(name);
  write({{"m", "deadly"}});
  for (auto& executor : executors) executor->mute = true;
  pass(seconds(5));
  EXPECT_EQ(journal->committed().epoch, 1U);
  bool told_so = false;
  for (const WarningEvent& warning : all<WarningEvent>()) told_so |= warning.code == "executors_died";
  EXPECT_TRUE(told_so);
}

TEST_F(DaemonTest, ACureThatIsThereAlreadyGoesBeforeAReturn) {
  write({{"m", "good"}});
  for (const char* name : {"a", "b", "c"}) add(name);
  write({{"m", "deadly"}});
  executors[0]->mute = executors[1]->mute = true;
  pass(seconds(2));
  write({{"m", "cured"}});  // waits for the two that are silent
  pass(seconds(5));
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
  EXPECT_EQ(journal->committed().epoch, 3U);
}

TEST_F(DaemonTest, WithoutSyncSomethingNewerDoesNotWaitForSlowOnes) {
  FleetOptions fleet;
  fleet.sync = SyncPolicy::kNone;
  start(fleet);
  Executor& slow = add("slow");
  Executor& quick = add("quick");
  slow.mute = true;
  write({{"m", "1"}});
  write({{"m", "2"}});
  write({{"m", "3"}});
  EXPECT_EQ(quick.runs, 3U);
  EXPECT_EQ(journal->committed().epoch, 3U);
}

}  // namespace
}  // namespace moddev::daemon
