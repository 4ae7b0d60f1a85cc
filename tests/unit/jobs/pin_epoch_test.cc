// Epochs held by their number, in one session among fakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class PinEpochTest : public SessionWorld {
 protected:
  using Answer = std::shared_ptr<std::optional<Result<Pin>>>;
  ~PinEpochTest() override {
    drop_session();  // refuses what waits; before the pins, which are held by the views
    answers.clear();
  }

  Answer want(Epoch epoch, Duration patience = seconds(1)) {
    auto answer = std::make_shared<std::optional<Result<Pin>>>();
    session().pin_epoch(epoch, now + patience,
                        [answer](Result<Pin> pin) { answer->emplace(std::move(pin)); });
    answers.push_back(answer);
    return answer;
  }
  static std::string content(const Answer& answer, const std::string& module = "a") {
    if (!answer->has_value()) return "(waits)";
    if (!**answer) return "(" + std::string(to_string((*answer)->error().code)) + ")";
    return std::string(as_text(*(**answer)->bytes(module)));
  }
  static std::string reason(const Answer& answer) {
    return answer->has_value() && !**answer ? (*answer)->error().message : "";
  }
  /// Epochs 1 to `last` are committed one after the other; "a" has the content "aEPOCH".
  void live_through(Epoch last) {
    join_at_epoch_one();
    for (Epoch epoch = 2; epoch <= last; ++epoch) {
      daemon.publish(daemon.make_manifest(epoch, {{"a", "a" + std::to_string(epoch)}}));
      step();
    }
    run(seconds(1));  // what nobody holds is given back
    ASSERT_EQ(session().applied_epoch(), last);
    daemon.acks.clear();
    daemon.blob_requests.clear();
    loader.prepared.clear();
    loader.retired.clear();
  }

  std::vector<Answer> answers;
};

TEST_F(PinEpochTest, LiveEpochIsHeldAtOnce) {
  live_through(3);
  EXPECT_EQ(content(want(3)), "a3");
  EXPECT_THAT(loader.prepared, IsEmpty());
}

TEST_F(PinEpochTest, AbortedEpochIsRefusedAndNeverLoaded) {
  live_through(4);
  daemon.instead = [this](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    const auto* wanted = std::get_if<ManifestRequest>(&request);
    if (wanted == nullptr || wanted->epoch != 2) return std::nullopt;
    return ManifestReply{daemon.id, daemon.manifests.at(2), std::nullopt, true};
  };
  const Answer answer = want(2);
  run(milliseconds(100));
  EXPECT_EQ(content(answer), "(refused)");
  EXPECT_THAT(reason(answer), HasSubstr("Epoch 2 was aborted"));
  EXPECT_THAT(loader.prepared, IsEmpty());
  // Another one of that time is had.
  const Answer other = want(3);
  run(milliseconds(100));
  EXPECT_EQ(content(other), "a3");
}

TEST_F(PinEpochTest, FormerEpochThatIsStillHeldIsHeldAgainWithoutLoading) {
  join_at_epoch_one();
  const Answer first = want(1);
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}}));
  run(milliseconds(500));
  loader.prepared.clear();
  const Answer again = want(1);
  EXPECT_EQ(content(again), "a1");
  EXPECT_THAT(loader.prepared, IsEmpty());
  (**first)->release();
  run(milliseconds(500));
  EXPECT_THAT(loader.retired, Not(Contains(1)));
  (**again)->release();
  run(milliseconds(500));
  EXPECT_THAT(loader.retired, Contains(1));
}

TEST_F(PinEpochTest, OlderEpochIsLoadedBesideWithoutBecomingLive) {
  live_through(3);
  const Answer answer = want(1);
  step();
  EXPECT_EQ(content(answer), "a1");
  EXPECT_EQ((*answer)->value().epoch(), 1U);
  EXPECT_EQ(session().applied_epoch(), 3U);
  EXPECT_EQ(live("a"), "a3");
  EXPECT_THAT(loader.prepared, ElementsAre(1));
  EXPECT_FALSE(acked(1, AckPhase::kPrepared));
  EXPECT_FALSE(acked(1, AckPhase::kApplied));
}

TEST_F(PinEpochTest, LoadedEpochIsUnloadedAfterItsLastPinAndNotBefore) {
  live_through(3);
  const Answer one = want(1);
  const Answer two = want(1);
  step();
  EXPECT_EQ(content(one), "a1");
  EXPECT_EQ(content(two), "a1");
  EXPECT_THAT(loader.prepared, ElementsAre(1));  // once for both
  (**one)->release();
  run(milliseconds(500));
  EXPECT_THAT(loader.retired, IsEmpty());
  (**two)->release();
  run(milliseconds(500));
  EXPECT_THAT(loader.retired, ElementsAre(1));
  EXPECT_FALSE(acked(1, AckPhase::kDrained));
}

TEST_F(PinEpochTest, HeldEpochIsReportedToTheDaemon) {
  live_through(3);
  const Answer answer = want(1);
  run_with_heartbeats(seconds(2));
  ASSERT_FALSE(daemon.alives.empty());
  ASSERT_EQ(daemon.alives.back().pins.size(), 1U);
  EXPECT_EQ(daemon.alives.back().pins[0].epoch, 1U);
}

TEST_F(PinEpochTest, WhatIsNotInTheCacheIsFetched) {
  live_through(2);
  ASSERT_TRUE(cache.remove(digest_of("a1")).ok());
  const Answer answer = want(1);
  step();
  EXPECT_EQ(content(answer), "a1");
  EXPECT_EQ(daemon.blob_requests.size(), 1U);
}

TEST_F(PinEpochTest, EpochThatTheDaemonDoesNotHaveIsRefusedWithItsReason) {
  live_through(3);
  daemon.manifests.erase(1);
  const Answer answer = want(1);
  step();
  EXPECT_EQ(content(answer), "(not_found)");
  EXPECT_THAT(reason(answer), HasSubstr("Epoch 1 cannot be had from the daemon: no such epoch"));
  EXPECT_EQ(daemon.snapshots, 0U);  // nothing is wrong with what is live
}

TEST_F(PinEpochTest, EpochThatDoesNotLoadIsRefusedAndHarmsNothing) {
  live_through(3);
  loader.refused[digest_of("a1")] = "undefined symbol: blend";
  const Answer answer = want(1);
  step();
  EXPECT_EQ(content(answer), "(refused)");
  EXPECT_THAT(reason(answer), HasSubstr("a: undefined symbol: blend"));
  EXPECT_THAT(events_of(ClientEvent::Kind::kFailed), IsEmpty());
  EXPECT_FALSE(acked(1, AckPhase::kFailed));
  EXPECT_TRUE(session().status().failures.empty());
}

TEST_F(PinEpochTest, EpochToComeIsWaitedFor) {
  live_through(2);
  const Answer answer = want(3);
  step();
  EXPECT_EQ(content(answer), "(waits)");
  daemon.announce(daemon.make_manifest(3, {{"a", "a3"}}));
  step();
  EXPECT_EQ(content(answer), "(waits)");  // prepared, but it may still be aborted
  daemon.commit();
  step();
  EXPECT_EQ(content(answer), "a3");
}

TEST_F(PinEpochTest, EpochThatIsPassedOverWhileWaitingIsLoadedBeside) {
  live_through(2);
  const Answer answer = want(3);
  step();
  daemon.commit_silently(daemon.make_manifest(3, {{"a", "a3"}}));
  daemon.publish(daemon.make_manifest(4, {{"a", "a4"}}));
  step();
  EXPECT_EQ(content(answer), "a3");
  EXPECT_EQ(live("a"), "a4");
}

TEST_F(PinEpochTest, WhatDoesNotComeInTimeIsRefusedAtTheDeadline) {
  live_through(2);
  const Answer answer = want(9, milliseconds(300));
  run(milliseconds(299));
  EXPECT_EQ(content(answer), "(waits)");
  run(milliseconds(2));
  EXPECT_EQ(content(answer), "(timeout)");
  EXPECT_THAT(reason(answer), HasSubstr("epoch 2 is live here"));
}

TEST_F(PinEpochTest, WithoutADaemonWhatIsHereIsHeldAndTheRestRefused) {
  live_through(3);
  daemon.answering = false;
  daemon.heard = false;
  run(seconds(5));
  EXPECT_EQ(content(want(3)), "a3");
  const Answer answer = want(1, milliseconds(100));
  run(milliseconds(200));
  EXPECT_EQ(content(answer), "(timeout)");
  EXPECT_THAT(reason(answer), HasSubstr("has not answered for 3000 ms"));
}

TEST_F(PinEpochTest, NewChangeGoesFirst) {
  live_through(3);
  loader.immediate = false;
  const Answer answer = want(1);
  step();
  EXPECT_THAT(loader.prepared, ElementsAre(1));
  daemon.announce(daemon.make_manifest(4, {{"a", "a4"}}));
  step();
  loader.finish();
  step();
  EXPECT_EQ(content(answer), "a1");
  loader.finish();
  step();
  EXPECT_TRUE(acked(4, AckPhase::kPrepared));
  // And when the loader is free for one of the two.
  const Answer second = want(2);
  daemon.commit();
  daemon.announce(daemon.make_manifest(5, {{"a", "a5"}}));
  loader.prepared.clear();
  step();
  EXPECT_THAT(loader.prepared, ElementsAre(5));
  loader.finish();
  step();
  loader.finish();
  step();
  EXPECT_THAT(loader.prepared, ElementsAre(5, 2));
  EXPECT_EQ(content(second), "a2");
}

TEST_F(PinEpochTest, LoadThatNobodyWaitsForAnyMoreIsUndone) {
  live_through(3);
  loader.immediate = false;
  const Answer answer = want(1, milliseconds(100));
  step();
  run(milliseconds(200));
  EXPECT_EQ(content(answer), "(timeout)");
  loader.finish();
  step();
  EXPECT_THAT(loader.retired, ElementsAre(1));
}

TEST_F(PinEpochTest, NumbersOfAnotherHistoryAreOtherEpochs) {
  live_through(3);
  const Answer old = want(2);
  step();
  ASSERT_EQ(content(old), "a2");
  daemon.restart_with_new_history();
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "new1"}}));
  daemon.publish(daemon.make_manifest(2, {{"a", "new2"}}));
  daemon.publish(daemon.make_manifest(3, {{"a", "new3"}}));
  daemon.heartbeat();
  run(seconds(1));
  ASSERT_EQ(live("a"), "new3");
  const Answer fresh = want(2);
  run(milliseconds(100));
  EXPECT_EQ(content(fresh), "new2");
  EXPECT_EQ(content(old), "a2");  // still what it was
}

TEST_F(PinEpochTest, EpochsBesideAreBounded) {
  const Epoch last = client_limits::kEpochsBeside + 2;
  live_through(last);
  for (Epoch epoch = 1; epoch <= client_limits::kEpochsBeside; ++epoch) {
    const Answer answer = want(epoch);
    step();
    EXPECT_EQ(content(answer), "a" + std::to_string(epoch));
  }
  const Answer one_more = want(last - 1);
  step();
  EXPECT_EQ(content(one_more), "(limit)");
  EXPECT_THAT(reason(one_more), HasSubstr("kEpochsBeside"));
  EXPECT_EQ(content(want(1)), "a1");  // what is here costs nothing
  answers[0]->reset();
  answers[1]->reset();
  answers.back()->reset();
  run(seconds(1));
  const Answer again = want(last - 1);
  step();
  EXPECT_EQ(content(again), "a" + std::to_string(last - 1));
}

TEST_F(PinEpochTest, WaitingPinsAreBounded) {
  live_through(1);
  for (std::size_t i = 0; i < client_limits::kWaitingPins; ++i) EXPECT_EQ(content(want(9)), "(waits)");
  EXPECT_EQ(content(want(9)), "(limit)");
}

TEST_F(PinEpochTest, EpochZeroAndALeavingClientAreRefused) {
  live_through(1);
  EXPECT_EQ(content(want(0)), "(invalid_argument)");
  const Answer waiting = want(9);
  session().leave();
  EXPECT_EQ(content(waiting), "(unavailable)");
  EXPECT_EQ(content(want(9)), "(unavailable)");
}

}  // namespace
}  // namespace moddev::test
