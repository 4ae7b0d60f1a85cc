// The way back from an epoch that was committed while nobody could vote on it.
#include "tests/unit/service/daemon_fixture.h"

namespace moddev::daemon {
namespace {

/// Epoch 1 ran in everyone, then all left, and epoch 2 was committed with nobody there.
class UnprovenTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    write({{"m", "good"}, {"other", "1"}});
    add("former");
    executors[0]->leave();
    settle();
    executors.clear();
    write({{"m", "bad"}, {"other", "1"}});
    ASSERT_EQ(journal->committed().epoch, 2U);
  }
  /// Joins, and cannot use what is committed.
  Executor& add_one_that_cannot_use_it() {
    executors.push_back(std::make_unique<Executor>(transport, "fresh"));
    Executor& fresh = *executors.back();
    fresh.cannot_use = 2;
    fresh.join();
    settle();
    return fresh;
  }
  /// Two join and die, and so long after it the next epoch is committed, which waits for nobody: nothing
  /// speaks against that one.
  void two_die_and_after(Duration while_nothing_happens) {
    FleetOptions wants_nobody;
    wants_nobody.sync = SyncPolicy::kNone;
    start(wants_nobody);
    feed.restart(now);
    pass(DaemonOptions{}.rejoin_patience);
    for (const char* name : {"first", "second"}) {
      executors.push_back(std::make_unique<Executor>(transport, name));
      executors.back()->mute = true;
      executors.back()->join();
    }
    settle();
    now += while_nothing_happens;
    write({{"m", "worse"}, {"other", "1"}});
    ASSERT_EQ(journal->committed().epoch, 3U);
    pass(moddev::limits::kLease + seconds(1));
    EXPECT_EQ(journal->head(), 3U);
  }
  [[nodiscard]] std::string told_of(const std::string& code) const {
    std::string text;
    for (const WarningEvent& warning : all<WarningEvent>()) {
      if (warning.code == code) text += warning.message;
    }
    return text;
  }
};

// Newcomers had nothing at all until somebody repaired the module.
TEST_F(UnprovenTest, ANewcomerThatCannotUseItStartsFromTheLastEpochThatRan) {
  Executor& fresh = add_one_that_cannot_use_it();
  EXPECT_EQ(fresh.runs, 3U);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
  EXPECT_EQ(journal->epoch(3)->restores, 1U);
  EXPECT_EQ(told_of("executor_failed"),
            "fresh cannot use epoch 2: m: undefined symbol. It has nothing else to run.");
  EXPECT_EQ(
      told_of("returned"),
      "nobody has run epoch 2 yet, and fresh cannot use it (m: undefined symbol): everyone goes back to "
      "epoch 1. What had changed stays out until its files change; a rollback to epoch 2 brings it back as "
      "it is.");
  fresh.cannot_use = 0;
  write({{"m", "cured"}, {"other", "1"}});
  EXPECT_EQ(fresh.runs, 4U);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
}

TEST_F(UnprovenTest, AReasonThatIsASentenceEndsWithOneFullStop) {
  add("good");
  executors.push_back(std::make_unique<Executor>(transport, "fresh"));
  executors.back()->cannot_use = 2;
  executors.back()->reason = "It may not be loaded here.";
  executors.back()->join();
  settle();
  EXPECT_EQ(told_of("executor_failed"),
            "fresh cannot use epoch 2: m: It may not be loaded here. It has nothing else to run.");
}

TEST_F(UnprovenTest, WhatOneCouldUseStays) {
  add("good");
  ASSERT_EQ(executors[0]->runs, 2U);
  Executor& fresh = add_one_that_cannot_use_it();
  EXPECT_EQ(fresh.runs, 0U);
  EXPECT_EQ(journal->head(), 2U);
}

TEST_F(UnprovenTest, ThatSomebodyRanItIsKnownAfterARestart) {
  add("good");
  pass(seconds(1));
  executors[0]->leave();
  settle();
  executors.clear();
  start();
  feed.restart(now);
  settle();
  Executor& fresh = add_one_that_cannot_use_it();
  EXPECT_EQ(fresh.runs, 0U);
  EXPECT_EQ(journal->head(), 2U);
}

TEST_F(UnprovenTest, ACureThatIsThereAlreadyGoesBefore) {
  feed.write(blobs, {{"m", "cured"}, {"other", "1"}}, now);
  Executor& fresh = add_one_that_cannot_use_it();
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("cured"));
  EXPECT_EQ(fresh.runs, 3U);
  EXPECT_EQ(told_of("returned"), "");
}

// Not even a trial tells what a hook does that only runs in the executor itself.
TEST_F(UnprovenTest, NewcomersThatDieOfItAreFollowedByOnesThatStartFromTheLastEpochThatRan) {
  const auto die_of_it = [this](const std::string& name) {
    executors.push_back(std::make_unique<Executor>(transport, name));
    executors.back()->mute = true;
    executors.back()->join();
    pass(moddev::limits::kLease + seconds(1));
  };
  die_of_it("first");
  EXPECT_EQ(journal->head(), 2U) << "one can be anything";
  die_of_it("second");
  EXPECT_EQ(journal->committed().epoch, 3U);
  EXPECT_EQ(told_of("returned"),
            "nobody has run epoch 2 yet, and first, second died before they had loaded it: everyone goes "
            "back to epoch 1. What had changed stays out until its files change; a rollback to epoch 2 "
            "brings it back as it is.");
  EXPECT_EQ(add("third").runs, 3U);
  EXPECT_EQ(journal->committed().modules.at("m").digest, digest_of("good"));
}

TEST_F(UnprovenTest, ANewcomerThatWasOnlyCutOffIsNotCounted) {
  for (const char* name : {"first", "second"}) {
    executors.push_back(std::make_unique<Executor>(transport, name));
    executors.back()->mute = true;
    executors.back()->join();
    pass(moddev::limits::kLease + seconds(1));
    executors.back()->join();  // it is back
    settle();
    executors.back()->leave();
    settle();
  }
  EXPECT_EQ(journal->head(), 2U);
}

TEST_F(UnprovenTest, ThoseThatWereDeadBeforeItCameAreNotCounted) {
  two_die_and_after(seconds(1));
}

// While the daemon slept they died, and their leases went on. Found by the simulation.
TEST_F(UnprovenTest, ThoseThatDiedBeforeItCameWhileTheDaemonSleptAreNotCounted) {
  two_die_and_after(seconds(60));
}

TEST_F(UnprovenTest, ThoseThatLeaveOrDieAfterOneHasRunItAreNotCounted) {
  for (const char* name : {"first", "second"}) {
    executors.push_back(std::make_unique<Executor>(transport, name));
    executors.back()->mute = true;
    executors.back()->join();
    settle();
    executors.back()->leave();
    settle();
  }
  EXPECT_EQ(journal->head(), 2U);
  add("good");
  for (const char* name : {"third", "fourth"}) {
    executors.push_back(std::make_unique<Executor>(transport, name));
    executors.back()->mute = true;
    executors.back()->join();
    pass(moddev::limits::kLease + seconds(1));
  }
  EXPECT_EQ(journal->head(), 2U);
}

TEST_F(DaemonTest, BeforeTheFirstEpochThatRanThereIsNothingToReturnTo) {
  write({{"m", "bad"}});
  write({{"m", "still bad"}});
  executors.push_back(std::make_unique<Executor>(transport, "fresh"));
  executors[0]->refuses = true;
  executors[0]->cannot_use = 2;
  executors[0]->join();
  settle();
  EXPECT_EQ(journal->head(), 2U);
  // From now on it is asked, and what it cannot use goes live for nobody.
  write({{"m", "worse"}});
  ASSERT_EQ(all<AbortedEvent>().size(), 1U);
  EXPECT_EQ(journal->committed().epoch, 2U);
  executors[0]->refuses = false;
  write({{"m", "good"}});
  EXPECT_EQ(executors[0]->runs, 4U);
}

}  // namespace
}  // namespace moddev::daemon
