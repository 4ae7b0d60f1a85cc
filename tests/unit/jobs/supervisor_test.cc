#include "tools/supervisor/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>

#include "tests/support/jobs/fake_processes.h"

namespace moddev::supervisor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = SupervisorEvent::Kind;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FleetPicture picture(Epoch epoch, const std::vector<std::pair<std::string, std::string>>& contents,
                     std::vector<std::int64_t> members = {}) {
  FleetPicture result;
  result.committed.epoch = epoch;
  for (const auto& [name, content] : contents) {
    ModuleEntry& entry = result.committed.modules[name];
    entry.name = name;
    entry.digest = digest_of(content);
  }
  result.member_pids = std::move(members);
  return result;
}

class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() { options.workers = 3; }

  Supervisor& supervisor() {
    if (!supervisor_) supervisor_ = std::make_unique<Supervisor>(options, processes);
    return *supervisor_;
  }
  TimePoint step() {
    const TimePoint next = supervisor().step(now);
    for (SupervisorEvent& event : supervisor().take_events()) events.push_back(std::move(event));
    return next;
  }
  /// Steps at once as long as something happens, and at every deadline within `span`.
  void run(Duration span) {
    const TimePoint end = now + span;
    for (;;) {
      TimePoint next{};
      do {
        next = step();
        if (watch) watch();
      } while (processes.has_events());
      if (next > end) break;
      now = std::max(next, now + Duration(1));
    }
    now = end;
  }
  /// All workers serve epoch 1, in which module "page" has the content "1".
  void serve() {
    supervisor().on_fleet(picture(1, {{"page", "1"}}));
    run(seconds(1));
    ASSERT_EQ(supervisor().serving(), options.workers);
    events.clear();
    processes.started.clear();
  }
  [[nodiscard]] std::vector<SupervisorEvent> of(Kind kind) const {
    std::vector<SupervisorEvent> found;
    std::copy_if(events.begin(), events.end(), std::back_inserter(found),
                 [&](const SupervisorEvent& event) { return event.kind == kind; });
    return found;
  }

  Options options;
  test::FakeProcesses processes;
  TimePoint now{seconds(1000)};
  std::vector<SupervisorEvent> events;
  std::function<void()> watch;

 private:
  std::unique_ptr<Supervisor> supervisor_;
};

TEST_F(SupervisorTest, StartsAllWorkersOnceTheEpochIsKnown) {
  step();
  EXPECT_THAT(processes.started, IsEmpty());
  supervisor().on_fleet(picture(7, {{"page", "1"}}));
  run(milliseconds(100));
  EXPECT_EQ(processes.started.size(), 3U);
  ASSERT_EQ(of(Kind::kStarted).size(), 3U);
  EXPECT_EQ(of(Kind::kStarted)[2].worker, 2U);
  EXPECT_EQ(of(Kind::kStarted)[2].epoch, 7U);
  EXPECT_EQ(of(Kind::kReady).size(), 3U);
  ASSERT_EQ(of(Kind::kServing).size(), 1U);
  EXPECT_EQ(of(Kind::kServing)[0].count, 3U);
}

TEST_F(SupervisorTest, StartsWithoutADaemonAfterItsPatience) {
  run(milliseconds(999));
  EXPECT_THAT(processes.started, IsEmpty());
  run(milliseconds(2));
  EXPECT_EQ(processes.started.size(), 3U);
  EXPECT_EQ(of(Kind::kStarted)[0].epoch, 0U);
}

TEST_F(SupervisorTest, TakesTheFirstEpochOfALateDaemonAsTheOneThatRuns) {
  run(seconds(2));
  events.clear();
  supervisor().on_fleet(picture(4, {{"page", "1"}}));
  run(seconds(1));
  EXPECT_THAT(events, IsEmpty());
  supervisor().on_fleet(picture(5, {{"page", "2"}}));
  run(seconds(1));
  EXPECT_EQ(of(Kind::kRolloutDone).size(), 1U);
}

TEST_F(SupervisorTest, ReadinessIsAskedAgainAndAgainAndNotAssumed) {
  processes.ready_when_asked = false;
  supervisor().on_fleet(picture(1, {}));
  run(milliseconds(500));
  EXPECT_EQ(supervisor().serving(), 0U);
  EXPECT_THAT(of(Kind::kReady), IsEmpty());
  EXPECT_GE(processes.living[1].asked, 8U);
  processes.ready(1);
  run(milliseconds(1));
  EXPECT_EQ(supervisor().serving(), 1U);
}

TEST_F(SupervisorTest, CyclesOneWorkerAfterTheOtherAndNeverServesWithFewer) {
  serve();
  watch = [this] { EXPECT_GE(processes.living_and_ready(), 3U); };
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(1));
  ASSERT_EQ(of(Kind::kRolloutStarted).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutStarted)[0].workers, ElementsAre(0, 1, 2));
  EXPECT_THAT(of(Kind::kRolloutStarted)[0].modules, ElementsAre("page"));
  EXPECT_THAT(processes.terminated, ElementsAre(1, 2, 3));
  EXPECT_EQ(processes.most_living, 4U);
  ASSERT_EQ(of(Kind::kRolloutDone).size(), 1U);
  EXPECT_EQ(of(Kind::kRolloutDone)[0].epoch, 2U);
  EXPECT_THAT(of(Kind::kRolloutDone)[0].workers, ElementsAre(0, 1, 2));
  for (const SupervisorEvent& stopped : of(Kind::kStopped)) EXPECT_TRUE(stopped.expected);
}

TEST_F(SupervisorTest, WaitsForWorkInFlightThenKills) {
  options.drain_patience = seconds(5);
  serve();
  processes.obedient = false;
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(milliseconds(4990));
  EXPECT_THAT(processes.terminated, ElementsAre(1));
  EXPECT_EQ(processes.started.size(), 1U);  // the next waits until the old one is gone
  EXPECT_TRUE(processes.living.contains(1));
  run(milliseconds(20));
  EXPECT_FALSE(processes.living.contains(1));
  EXPECT_EQ(of(Kind::kStopped)[0].exit.signal, 9);
  EXPECT_EQ(processes.started.size(), 2U);
}

TEST_F(SupervisorTest, NewWorkerThatIsNotReadyInTimeStopsTheRollout) {
  options.ready_patience = seconds(2);
  serve();
  processes.never_ready = {5};  // the second replacement
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(3));
  ASSERT_EQ(of(Kind::kRolloutStopped).size(), 1U);
  const SupervisorEvent stopped = of(Kind::kRolloutStopped)[0];
  EXPECT_EQ(stopped.epoch, 2U);
  EXPECT_EQ(stopped.worker, 1U);
  EXPECT_THAT(stopped.workers, ElementsAre(1, 2));
  EXPECT_THAT(stopped.message, HasSubstr("did not become ready within 2 s"));
  EXPECT_THAT(stopped.message, HasSubstr("READY=1 on NOTIFY_SOCKET"));
  EXPECT_THAT(stopped.message, HasSubstr("worker 1, 2"));
  EXPECT_EQ(supervisor().serving(), 3U);
  EXPECT_THAT(processes.terminated, ElementsAre(1));
  EXPECT_FALSE(processes.living.contains(5));
}

TEST_F(SupervisorTest, SameBytesAreNotTriedAgainOtherBytesAre) {
  options.ready_patience = seconds(2);
  serve();
  processes.never_ready = {4};
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(3));
  ASSERT_EQ(of(Kind::kRolloutStopped).size(), 1U);
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(3));
  EXPECT_EQ(processes.started.size(), 1U);
  supervisor().on_fleet(picture(3, {{"page", "3"}}));
  run(seconds(3));
  ASSERT_EQ(of(Kind::kRolloutDone).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutDone)[0].workers, ElementsAre(0, 1, 2));
}

TEST_F(SupervisorTest, GoingBackAfterAStoppedRolloutCyclesOnlyWhoHasTheNewCode) {
  options.ready_patience = seconds(2);
  serve();
  processes.never_ready = {5};
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(3));
  supervisor().on_fleet(picture(3, {{"page", "1"}}));
  run(seconds(3));
  ASSERT_EQ(of(Kind::kRolloutDone).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutDone)[0].workers, ElementsAre(0));
}

TEST_F(SupervisorTest, NewWorkerThatEndsBeforeItIsReadyStopsTheRollout) {
  serve();
  processes.never_ready = {4};
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(milliseconds(1));
  processes.exit(4, {1, 0});
  run(seconds(1));
  ASSERT_EQ(of(Kind::kRolloutStopped).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutStopped)[0].message, HasSubstr("exit code 1"));
  EXPECT_EQ(supervisor().serving(), 3U);
  EXPECT_THAT(processes.terminated, IsEmpty());
}

TEST_F(SupervisorTest, NewWorkerThatDiesWhileOthersAreCycledStopsTheRollout) {
  serve();
  processes.obedient = false;
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(milliseconds(1));
  processes.exit(1, {});  // the old one has drained; the second replacement begins
  processes.never_ready = {5};
  run(milliseconds(1));
  processes.exit(4, {0, 11});
  run(milliseconds(1));
  ASSERT_EQ(of(Kind::kRolloutStopped).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutStopped)[0].message, HasSubstr("signal 11"));
}

TEST_F(SupervisorTest, ReplacementThatCannotBeStartedStopsTheRollout) {
  serve();
  processes.spawn_error = Error{ErrorCode::kNotFound, "Cannot execute 'server': No such file", 2};
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(seconds(1));
  ASSERT_EQ(of(Kind::kRolloutStopped).size(), 1U);
  EXPECT_THAT(of(Kind::kRolloutStopped)[0].message, HasSubstr("Cannot execute 'server'"));
  EXPECT_THAT(of(Kind::kRolloutStopped)[0].workers, ElementsAre(0, 1, 2));
  EXPECT_EQ(supervisor().start_error(), nullptr);
}

TEST_F(SupervisorTest, ChangesDuringARolloutAreMergedIntoTheNext) {
  serve();
  processes.obedient = false;
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(milliseconds(1));
  ASSERT_THAT(processes.terminated, ElementsAre(1));  // worker 0 drains
  supervisor().on_fleet(picture(3, {{"page", "3"}}));
  supervisor().on_fleet(picture(4, {{"page", "4"}}));
  processes.obedient = true;
  processes.exit(1, {});
  run(seconds(1));
  ASSERT_EQ(of(Kind::kRolloutDone).size(), 2U);
  EXPECT_EQ(of(Kind::kRolloutDone)[0].epoch, 2U);
  EXPECT_EQ(of(Kind::kRolloutDone)[1].epoch, 4U);
  // Workers 1 and 2 were started when epoch 4 was on disk already.
  EXPECT_THAT(of(Kind::kRolloutDone)[1].workers, ElementsAre(0));
}

TEST_F(SupervisorTest, WorkersThatEmbedTheClientReloadInPlace) {
  serve();
  supervisor().on_fleet(picture(2, {{"page", "2"}}, {1001, 1003, 99}));
  run(seconds(1));
  ASSERT_EQ(of(Kind::kRolloutDone).size(), 1U);
  EXPECT_EQ(of(Kind::kRolloutStarted)[0].count, 2U);
  EXPECT_THAT(of(Kind::kRolloutDone)[0].workers, ElementsAre(1));
  EXPECT_THAT(processes.terminated, ElementsAre(2));
}

TEST_F(SupervisorTest, MemberOnceIsMemberAlways) {
  serve();
  supervisor().on_fleet(picture(1, {{"page", "1"}}, {1001, 1002, 1003}));
  supervisor().on_fleet(picture(2, {{"page", "2"}}, {}));  // excluded for a moment
  run(seconds(1));
  EXPECT_THAT(processes.terminated, IsEmpty());
}

TEST_F(SupervisorTest, RulesCycleAlsoWhoEmbedsTheClient) {
  options.rules.cycle = {"core*"};
  serve();
  supervisor().on_fleet(picture(2, {{"page", "1"}, {"core1", "1"}}, {1001, 1002, 1003}));
  run(seconds(1));
  EXPECT_THAT(processes.terminated, ElementsAre(1, 2, 3));
}

TEST_F(SupervisorTest, EqualPictureChangesNothing) {
  serve();
  supervisor().on_fleet(picture(1, {{"page", "1"}}));
  supervisor().on_fleet(picture(8, {{"page", "1"}}));
  run(seconds(5));
  EXPECT_THAT(events, IsEmpty());
}

TEST_F(SupervisorTest, WorkerThatEndsIsStartedAgainWithBackoff) {
  serve();
  processes.exit(2, {3, 0});
  run(milliseconds(1));
  ASSERT_EQ(of(Kind::kStopped).size(), 1U);
  EXPECT_FALSE(of(Kind::kStopped)[0].expected);
  EXPECT_THAT(of(Kind::kStopped)[0].message, HasSubstr("exit code 3"));
  EXPECT_EQ(of(Kind::kRestarting)[0].delay, limits::kBackoffFirst);
  EXPECT_EQ(supervisor().serving(), 2U);
  run(milliseconds(98));
  EXPECT_THAT(processes.started, IsEmpty());
  run(milliseconds(2));
  EXPECT_EQ(processes.started.size(), 1U);
  EXPECT_EQ(supervisor().serving(), 3U);
  EXPECT_EQ(of(Kind::kServing).size(), 1U);
}

// It was killed and started again for ever, and nobody said that there are other ways to ask.
TEST_F(SupervisorTest, WhoIsNeverReadyIsToldOfTheOtherWaysToAsk) {
  options.workers = 1;
  options.ready_patience = seconds(2);
  for (test::FakeProcesses::Id id = 1; id <= 10; ++id) processes.never_ready.insert(id);
  supervisor().on_fleet(picture(1, {{"page", "1"}}));
  run(seconds(30));
  ASSERT_FALSE(of(Kind::kDraining).empty());
  EXPECT_EQ(of(Kind::kDraining)[0].message.substr(of(Kind::kDraining)[0].message.find("did not")),
            "did not become ready within 2 s (asked: READY=1 on NOTIFY_SOCKET); it is killed. A server that "
            "does not say READY=1 needs --ready-tcp PORT or --ready-command SH.");
  ASSERT_EQ(of(Kind::kCrashLoop).size(), 1U);
  EXPECT_EQ(
      of(Kind::kCrashLoop)[0].message,
      "Worker 0 ended 5 times in a row without serving for 10 s. It is started again and again, at last "
      "every 10 s. The last time it was not ready within 2 s. A server that does not say READY=1 needs "
      "--ready-tcp PORT or --ready-command SH.");
}

TEST_F(SupervisorTest, WhoChoseAWayToAskIsToldOfNoOther) {
  options.workers = 1;
  options.ready_patience = seconds(2);
  options.readiness = "--ready-tcp *:80";
  options.readiness_advice.clear();
  processes.never_ready.insert(1);
  supervisor().on_fleet(picture(1, {{"page", "1"}}));
  run(seconds(3));
  ASSERT_FALSE(of(Kind::kDraining).empty());
  EXPECT_THAT(of(Kind::kDraining)[0].message, EndsWith("(asked: --ready-tcp *:80); it is killed."));
}

TEST_F(SupervisorTest, CrashLoopIsSaidOnceAndSlowsDown) {
  serve();
  std::size_t ends = 0;
  for (; ends < 12; ++ends) {
    processes.exit(processes.newest_of(1), {0, 6});
    run(limits::kBackoffLast);
    ASSERT_EQ(supervisor().serving(), 3U);
    now -= limits::kBackoffLast;  // it had served for a short time only
  }
  ASSERT_EQ(of(Kind::kCrashLoop).size(), 1U);
  EXPECT_EQ(of(Kind::kCrashLoop)[0].count, limits::kCrashLoop);
  EXPECT_EQ(of(Kind::kRestarting).back().delay, limits::kBackoffLast);
}

TEST_F(SupervisorTest, ServingForAWhileForgivesFormerEnds) {
  serve();
  for (int i = 0; i < 3; ++i) {
    run(limits::kStableAfter);
    processes.exit(processes.newest_of(1), {0, 6});
    run(seconds(1));
  }
  for (const SupervisorEvent& restart : of(Kind::kRestarting)) {
    EXPECT_EQ(restart.delay, limits::kBackoffFirst);
  }
}

TEST_F(SupervisorTest, CommandThatCannotBeExecutedEndsItAtOnce) {
  processes.spawn_error = Error{ErrorCode::kNotFound, "Cannot execute 'nothing'", 2};
  supervisor().on_fleet(picture(1, {}));
  step();
  ASSERT_NE(supervisor().start_error(), nullptr);
  EXPECT_THAT(supervisor().start_error()->message, HasSubstr("nothing"));
  EXPECT_EQ(step(), kNever);
}

TEST_F(SupervisorTest, WorkerThatSaysStoppingIsReplacedAndLeftToEnd) {
  serve();
  processes.stopping(2);
  run(seconds(1));
  EXPECT_THAT(processes.terminated, IsEmpty());
  EXPECT_EQ(supervisor().serving(), 3U);
  processes.exit(2, {});
  run(milliseconds(1));
  ASSERT_EQ(of(Kind::kStopped).size(), 1U);
  EXPECT_EQ(of(Kind::kStopped)[0].pid, 1002);
}

TEST_F(SupervisorTest, StopDrainsAll) {
  serve();
  processes.obedient = false;
  supervisor().stop();
  run(milliseconds(100));
  EXPECT_EQ(processes.terminated.size(), 3U);
  EXPECT_FALSE(supervisor().stopped());
  for (const auto id : {1, 2, 3}) processes.exit(static_cast<ProcessId>(id), {});
  run(milliseconds(100));
  EXPECT_TRUE(supervisor().stopped());
  EXPECT_THAT(processes.started, IsEmpty());
}

TEST_F(SupervisorTest, StopDuringARolloutDrainsOldAndNew) {
  serve();
  processes.never_ready = {4};
  supervisor().on_fleet(picture(2, {{"page", "2"}}));
  run(milliseconds(1));
  supervisor().stop();
  run(milliseconds(100));
  EXPECT_TRUE(supervisor().stopped());
  EXPECT_TRUE(processes.living.empty());
}

TEST_F(SupervisorTest, SecondStopKills) {
  serve();
  processes.obedient = false;
  supervisor().stop();
  step();
  supervisor().stop();
  step();
  step();
  EXPECT_TRUE(processes.living.empty());
  EXPECT_TRUE(supervisor().stopped());
}

TEST_F(SupervisorTest, StopBeforeTheStartStartsNothing) {
  step();
  supervisor().stop();
  step();
  EXPECT_TRUE(supervisor().stopped());
  EXPECT_THAT(processes.started, IsEmpty());
}

TEST_F(SupervisorTest, EventsThatNobodyTakesAreBounded) {
  serve();
  for (std::size_t i = 0; i < limits::kWaitingEvents; ++i) {
    supervisor().on_fleet(picture(i + 2, {{"page", std::to_string(i)}}));
    for (int n = 0; n < 8; ++n) {
      now += limits::kProbeInterval;
      supervisor().step(now);
    }
    if (processes.started.size() > limits::kWaitingEvents) break;
  }
  EXPECT_EQ(supervisor().take_events().size(), limits::kWaitingEvents);
}

/// Whatever happens in whatever order: workers end, changes come, some processes never get ready. Without
/// crashes the number of serving workers never falls, and in the end all serve the newest epoch.
TEST_F(SupervisorTest, AnyOrderOfEventsEndsWithAllServingTheNewest) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::minstd_rand random(seed);
    test::FakeProcesses fake;
    Options small;
    small.workers = 1 + seed % 4;
    small.ready_patience = seconds(2);
    small.drain_patience = seconds(1);
    Supervisor one(small, fake);
    TimePoint at{seconds(1)};
    Epoch epoch = 1;
    one.on_fleet(picture(1, {{"page", "0"}}));
    for (int i = 0; i < 150; ++i) {
      switch (random() % 8) {
        case 0:
          ++epoch;
          one.on_fleet(picture(epoch, {{"page", std::to_string(random() % 4)}}));
          break;
        case 1:
          fake.obedient = !fake.obedient;
          break;
        case 2:
          fake.ready_when_asked = random() % 3 != 0;
          break;
        case 3: {
          const auto victim = fake.newest_of(static_cast<unsigned>(random()) % small.workers);
          if (victim != 0) fake.exit(victim, {0, 11});
          break;
        }
        case 4: {
          const auto tired = fake.newest_of(static_cast<unsigned>(random()) % small.workers);
          if (tired != 0) fake.stopping(tired);
          break;
        }
        default:
          at += milliseconds(random() % 700);
      }
      one.step(at);
      ASSERT_LE(fake.living.size(), 3 * small.workers + 2) << "seed " << seed;
    }
    fake.obedient = true;
    fake.ready_when_asked = true;
    for (const auto& [id, process] : std::map(fake.living)) {
      if (!process.signals.empty()) fake.exit(id, {});
    }
    one.on_fleet(picture(++epoch, {{"page", "last"}}));
    (void)one.take_events();
    std::vector<SupervisorEvent> last;
    for (int i = 0; i < 2000; ++i) {
      at = std::max(at + Duration(1), std::min<TimePoint>(one.step(at), at + milliseconds(100)));
      for (SupervisorEvent& event : one.take_events()) last.push_back(std::move(event));
    }
    EXPECT_EQ(one.serving(), small.workers) << "seed " << seed;
    EXPECT_EQ(fake.living.size(), small.workers) << "seed " << seed;
    one.stop();
    one.step(at);
    one.step(at);
    EXPECT_TRUE(one.stopped()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace moddev::supervisor
