#include "tools/moddev/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

namespace moddev::tools {
namespace {

using daemon::AbortedEvent;
using daemon::CommittedEvent;
using daemon::DaemonEvent;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const WallTime kAt{std::chrono::hours(12) + std::chrono::minutes(31) + std::chrono::seconds(7)};

ModuleChange change(const std::string& name, Version version, ChangeKind kind = ChangeKind::kChanged) {
  ModuleChange result;
  result.change = kind;
  result.module.name = name;
  result.module.version = version;
  return result;
}

class StoryTest : public ::testing::Test {
 protected:
  StoryTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
  ~StoryTest() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  static Manifest live() {
    Manifest manifest;
    manifest.epoch = 6;
    manifest.modules["scorer"].version = 6;
    return manifest;
  }
  WatchStory story_{Palette(false), live()};
};

TEST_F(StoryTest, Listening) {
  EXPECT_THAT(
      story_.tell(ListeningFacts{"ipc:///run/moddev/default.sock", {}, 1, "/home/me/build", "inotify"}, kAt),
      ElementsAre("12:31:07  listening  /home/me/build  inotify  ipc:///run/moddev/default.sock"));
}

TEST_F(StoryTest, WhatOnlyBringsCanariesBackChangesNoModule) {
  EXPECT_THAT(
      story_.tell(DaemonEvent(daemon::PublishedEvent{8, {}, 2, "return of the canaries to epoch 6"}), kAt),
      IsEmpty());
  EXPECT_THAT(
      story_.tell(DaemonEvent(CommittedEvent{8, {}, 2, 0, Duration(4'100'000)}), kAt),
      ElementsAre("12:31:07  live       as before                     epoch 8    2 executors  4.1 ms  return "
                  "of the canaries to epoch 6"));
}

TEST_F(StoryTest, FromSaveToLiveIsOneLine) {
  EXPECT_THAT(story_.tell(DaemonEvent(daemon::PublishedEvent{7, {change("scorer", 7)}, 12}), kAt), IsEmpty());
  EXPECT_THAT(
      story_.tell(DaemonEvent(CommittedEvent{7, {change("scorer", 7)}, 12, 0, Duration(4'100'000)}), kAt),
      ElementsAre("12:31:07  live       scorer 6 -> 7                 epoch 7    12 executors  4.1 ms"));
  EXPECT_THAT(
      story_.tell(DaemonEvent(CommittedEvent{8, {change("scorer", 8)}, 11, 1, Duration(4'100'000)}), kAt),
      ElementsAre(HasSubstr("scorer 7 -> 8                 epoch 8    11 executors, 1 excluded  4.1 ms")))
      << "what was live is remembered";
}

TEST_F(StoryTest, AddedAndRemovedAndMany) {
  const std::vector<ModuleChange> changes = {change("a", 1, ChangeKind::kAdded),
                                             change("scorer", 6, ChangeKind::kRemoved),
                                             change("c", 2),
                                             change("d", 3),
                                             change("e", 4),
                                             change("f", 5)};
  EXPECT_THAT(
      story_.tell(DaemonEvent(CommittedEvent{7, changes, 0, 0, Duration(0)}), kAt),
      ElementsAre("12:31:07  live       a 1, scorer removed, c 2, d 3 and 2 more  epoch 7    no executors"));
}

TEST_F(StoryTest, ARefusalNamesExecutorModuleAndReason) {
  const AbortedEvent event{
      8, {change("scorer", 8)}, {{"worker-2", "scorer", "undefined symbol: _ZN3foo3barEv"}}};
  EXPECT_THAT(story_.tell(DaemonEvent(event), kAt),
              ElementsAre("12:31:07  refused    scorer 8      worker-2: undefined symbol: foo::bar()  "
                          "everyone keeps epoch 6"));
}

TEST_F(StoryTest, ManyRefusalsAreCut) {
  AbortedEvent event{8, {change("scorer", 8)}, {}};
  for (int i = 0; i < 30; ++i)
    event.failures.push_back({"w" + std::to_string(i), "scorer", "no " + std::to_string(i)});
  const auto lines = story_.tell(DaemonEvent(event), kAt);
  ASSERT_EQ(lines.size(), 9U);
  EXPECT_THAT(lines.back(), HasSubstr("and 22 more reasons"));
}

// Twelve executors said the same on eight lines and "4 more reasons".
TEST_F(StoryTest, ExecutorsThatSayTheSameAreOneLine) {
  AbortedEvent event{8, {change("scorer", 8), change("base", 2)}, {}};
  for (int i = 1; i <= 12; ++i)
    event.failures.push_back({"worker-" + std::to_string(i), "scorer", "undefined symbol: _ZN3foo3barEv"});
  event.failures.push_back({"odd", "base", "no"});
  EXPECT_THAT(
      story_.tell(DaemonEvent(event), kAt),
      ElementsAre("12:31:07  refused    scorer 8      worker-1, worker-2, worker-3 and 9 more: undefined "
                  "symbol: foo::bar()  everyone keeps epoch 6",
                  "12:31:07  refused    base 2        odd: no  everyone keeps epoch 6"));
}

// It depends on what has changed; or nobody knows which of several it was.
TEST_F(StoryTest, ARefusalNamesVersionsAlsoWhereTheModuleIsUnchangedOrUnknown) {
  const AbortedEvent unchanged{8, {change("base", 2)}, {{"w1", "scorer", "no"}}};
  EXPECT_THAT(story_.tell(DaemonEvent(unchanged), kAt),
              ElementsAre("12:31:07  refused    scorer 6, with base 2  w1: no  everyone keeps epoch 6"));
  const AbortedEvent unknown{8, {change("base", 2), change("scorer", 7)}, {{"w1", "", "it died"}}};
  EXPECT_THAT(story_.tell(DaemonEvent(unknown), kAt),
              ElementsAre("12:31:07  refused    base 2, scorer 6 -> 7  w1: it died  everyone keeps epoch 6"));
}

TEST_F(StoryTest, WhenAllDiedOverIt) {
  EXPECT_THAT(story_.tell(DaemonEvent(AbortedEvent{8, {change("scorer", 8)}, {}}), kAt),
              ElementsAre(HasSubstr("scorer 6 -> 8  nobody was left to use it  everyone keeps epoch 6")));
}

TEST_F(StoryTest, RejectionsWarningsAndMembers) {
  EXPECT_THAT(story_.tell(DaemonEvent(daemon::RejectedEvent{"lib/a.so", "it is torn"}), kAt),
              ElementsAre("12:31:07  rejected   lib/a.so  it is torn"));
  EXPECT_THAT(story_.tell(DaemonEvent(daemon::WarningEvent{"code", "Something."}), kAt),
              ElementsAre("12:31:07  warning    Something."));
  const ExecutorIdentity who{{}, "w1", "vm", 7};
  using Kind = daemon::ExecutorEvent::Kind;
  EXPECT_THAT(story_.tell(DaemonEvent(daemon::ExecutorEvent{Kind::kJoined, who, ""}), kAt),
              ElementsAre("12:31:07  joined     w1  pid 7 on vm"));
  EXPECT_THAT(story_.tell(DaemonEvent(daemon::ExecutorEvent{Kind::kExcluded, who, "silent for 3 s"}), kAt),
              ElementsAre("12:31:07  excluded   w1  pid 7 on vm  silent for 3 s"));
}

TEST_F(StoryTest, APathCannotMoveTheCursor) {
  const auto lines = story_.tell(DaemonEvent(daemon::RejectedEvent{"a\033[2J\n.so", "x"}), kAt);
  EXPECT_THAT(lines, ElementsAre("12:31:07  rejected   a?[2J .so  x"));
}

TEST_F(StoryTest, AnExecutorTellsACallAgainOnlyWhenItDiffers) {
  ExecutorStory story(Palette(false), "w1");
  EXPECT_EQ(story.tell(Call{"scorer", "score", 3, 20, {}}, kAt),
            "12:31:07  called     scorer:score = 20  epoch 3");
  EXPECT_EQ(story.tell(Call{"scorer", "score", 3, 20, {}}, kAt), "");
  EXPECT_NE(story.tell(Call{"scorer", "score", 3, 21, {}}, kAt), "");
  EXPECT_NE(story.tell(Call{"scorer", "score", 4, 21, {}}, kAt), "");
}

TEST_F(StoryTest, AnExecutorTellsWhatHappensToIt) {
  ExecutorStory story(Palette(false), "w1");
  ClientEvent event;
  event.kind = ClientEvent::Kind::kApplied;
  event.epoch = 3;
  event.modules = {"base", "scorer"};
  event.elapsed_us = 412;
  EXPECT_EQ(story.tell(event, kAt), "12:31:07  applied    epoch 3  base, scorer  0.41 ms");
  event.message = "The daemon's history is a new one.";
  EXPECT_EQ(story.tell(event, kAt),
            "12:31:07  applied    epoch 3  base, scorer  0.41 ms\n"
            "12:31:07  notice     The daemon's history is a new one.");
  event.kind = ClientEvent::Kind::kStale;
  EXPECT_EQ(story.tell(event, kAt), "12:31:07  stale      The daemon's history is a new one.");
  event.kind = ClientEvent::Kind::kApplied;
  EXPECT_EQ(story.tell(event, kAt), "12:31:07  applied    epoch 3  base, scorer  0.41 ms") << "told already";
  event.kind = ClientEvent::Kind::kFailed;
  event.module = "scorer";
  event.message = "undefined symbol: _Z1fi";
  EXPECT_EQ(story.tell(event, kAt), "12:31:07  failed     epoch 3  scorer: undefined symbol: f(int)");
}

}  // namespace
}  // namespace moddev::tools
