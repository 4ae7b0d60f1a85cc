#include "tools/moddev/epoch_fate.h"

#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

using Kind = EpochFate::Kind;

/// A history, told from the oldest epoch to the newest.
class Past {
 public:
  Past& committed(const std::string& module, Version version, const std::string& cause = "change") {
    return add(EpochState::kCommitted, module, version, cause);
  }
  Past& refused(const std::string& module, Version version) {
    add(EpochState::kAborted, module, version, "change");
    entries_.front().failures = {{"w1", module, "no"}};
    return *this;
  }
  Past& given_up(const std::string& module, Version version) {
    return add(EpochState::kAborted, module, version, "change");
  }
  Past& announced(const std::string& module, Version version) {
    return add(EpochState::kAnnounced, module, version, "change");
  }
  [[nodiscard]] EpochFate fate(Epoch epoch) const { return fate_of(entries_, epoch); }
  [[nodiscard]] Kind of(Epoch epoch) const { return fate(epoch).kind; }

 private:
  Past& add(EpochState state, const std::string& module, Version version, const std::string& cause) {
    HistoryEntry entry;
    entry.epoch = entries_.size() + 1;
    entry.state = state;
    entry.cause = cause;
    if (!module.empty()) {
      ModuleChange change;
      change.module.name = module;
      change.module.version = version;
      change.module.digest.bytes[0] = static_cast<std::uint8_t>(version);
      entry.changes = {change};
    }
    entries_.insert(entries_.begin(), entry);
    return *this;
  }
  std::vector<HistoryEntry> entries_;
};

TEST(EpochFate, WhatCameLaterBuildsOnIt) {
  const Past past = Past().committed("m", 1).committed("m", 2).committed("other", 1).announced("m", 3);
  EXPECT_EQ(past.of(1), Kind::kIn);
  EXPECT_EQ(past.of(2), Kind::kIn);
  EXPECT_EQ(past.of(3), Kind::kIn);
  EXPECT_EQ(past.of(4), Kind::kUnderWay);
  EXPECT_EQ(past.of(5), Kind::kUnknown);
}

TEST(EpochFate, ARefusedOneIsNotInTheOneThatMendsIt) {
  const Past past = Past().committed("m", 1).refused("m", 2).committed("m", 3);
  EXPECT_EQ(past.of(2), Kind::kRefused);
  EXPECT_EQ(past.fate(2).by.failures.size(), 1U);
}

// An executor that refused it left, and it was tried again.
TEST(EpochFate, ARefusedOneIsInTheOneThatBringsTheSameBytes) {
  EXPECT_EQ(Past().committed("m", 1).refused("m", 2).committed("m", 2).of(2), Kind::kIn);
  EXPECT_EQ(Past().committed("m", 1).refused("m", 2).committed("", 0).of(2), Kind::kRefused);
}

TEST(EpochFate, WhatADaemonDidNotLiveToDecideComesAgain) {
  EXPECT_EQ(Past().committed("m", 1).given_up("m", 2).of(2), Kind::kGivenUp);
  EXPECT_EQ(Past().committed("m", 1).given_up("m", 2).committed("m", 3).of(2), Kind::kIn);
}

TEST(EpochFate, WhatACanaryDiedOfStaysOut) {
  const Past past =
      Past().committed("m", 1).refused("m", 2).committed("", 0, "return of the canaries to epoch 1");
  EXPECT_EQ(past.of(2), Kind::kRefused);
  EXPECT_EQ(past.of(1), Kind::kIn);
}

TEST(EpochFate, AReturnTakesBackWhatCameAfterItsEpoch) {
  const std::string why = "return to epoch 1, because 2 of 3 executors died";
  const Past past = Past().committed("m", 1).committed("m", 2).committed("m", 3, why);
  EXPECT_EQ(past.of(2), Kind::kTakenBack);
  EXPECT_EQ(past.fate(2).by.epoch, 3U);
  EXPECT_EQ(past.fate(2).by.cause, why);
  EXPECT_EQ(past.of(1), Kind::kIn);
  EXPECT_EQ(past.of(3), Kind::kIn);
  EXPECT_TRUE(is_return(why));
  EXPECT_FALSE(is_return("return of the canaries to epoch 1"));
}

TEST(EpochFate, AReturnToItOrToALaterOneKeepsIt) {
  const Past past = Past().committed("m", 1).committed("m", 2).committed("m", 3).committed(
      "m", 4, "return to epoch 2, because 2 of 3 executors died");
  EXPECT_EQ(past.of(1), Kind::kIn);
  EXPECT_EQ(past.of(2), Kind::kIn);
  EXPECT_EQ(past.of(3), Kind::kTakenBack);
}

TEST(EpochFate, WhatWasTakenBackStaysSoUntilItIsBroughtBack) {
  Past past = Past().committed("m", 1).committed("m", 2).committed("m", 3, "rollback to epoch 1");
  past.committed("m", 4);
  EXPECT_EQ(past.of(2), Kind::kTakenBack) << "another build";
  past.committed("m", 5, "rollback to epoch 3");
  EXPECT_EQ(past.of(2), Kind::kTakenBack) << "3 was without it";
  EXPECT_EQ(past.of(4), Kind::kTakenBack);
  past.committed("m", 6, "rollback to epoch 2");
  EXPECT_EQ(past.of(2), Kind::kIn);
}

TEST(EpochFate, ARefusedOneCanBeBroughtByARollback) {
  EXPECT_EQ(Past()
                .committed("m", 1)
                .refused("m", 2)
                .committed("m", 3, "rollback to epoch 2, which was refused")
                .of(2),
            Kind::kIn);
}

TEST(EpochFate, ARollbackOfOneModuleTakesBackWhoChangedThat) {
  const Past past = Past()
                        .committed("m", 1)
                        .committed("m", 2)
                        .committed("other", 1)
                        .committed("m", 3, "rollback of m to version 1");
  EXPECT_EQ(past.of(1), Kind::kIn);
  EXPECT_EQ(past.of(2), Kind::kTakenBack);
  EXPECT_EQ(past.of(3), Kind::kIn);
}

}  // namespace
}  // namespace moddev::tools
