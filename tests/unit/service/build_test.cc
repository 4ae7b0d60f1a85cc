// Build barriers from the client's request to the epoch: daemon and watcher as they are in production, over
// the fakes on virtual time, and once over a real disk and a real linker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "daemon/daemon.h"
#include "daemon/limits.h"
#include "tests/support/service/fake_transport.h"
#include "tests/support/watcher/fake_event_source.h"
#include "tests/support/watcher/fake_file_system.h"
#include "tests/support/watcher/real_world.h"
#include "watcher/limits.h"

namespace moddev::daemon {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kBarrierLimit = watcher::limits::kBuildBarrierLimit;

BuildRequest begin(const Uuid& build) {
  return {BuildAction::kBegin, build, false};
}
BuildRequest renew(const Uuid& build) {
  return {BuildAction::kRenew, build, false};
}
BuildRequest end(const Uuid& build, bool success) {
  return {BuildAction::kEnd, build, success};
}

/// What the daemon told the person, in order.
class Told {
 public:
  void take(std::vector<DaemonEvent> events) {
    for (DaemonEvent& event : events) {
      if (auto* published = std::get_if<PublishedEvent>(&event)) epochs.push_back(std::move(*published));
      if (auto* live = std::get_if<CommittedEvent>(&event)) committed.push_back(std::move(*live));
      if (auto* warning = std::get_if<WarningEvent>(&event)) warnings.push_back(warning->code);
    }
  }
  std::vector<PublishedEvent> epochs;
  std::vector<CommittedEvent> committed;
  std::vector<std::string> warnings;
};

class Build : public ::testing::Test {
 protected:
  void SetUp() override {
    start();
    run();
  }
  void start() {
    daemon.reset();
    watch.reset();
    events.reset();
    events = std::make_unique<watcher::testing::FakeEventSource>(files);
    watch = std::make_unique<watcher::Watcher>(watcher::WatcherOptions{}, files, *events, blobs);
    if (!journal) journal = std::move(Journal::open(":memory:", WallTime{}).value());
    daemon = std::make_unique<Daemon>(options, *watch, blobs, *journal, transport);
  }
  void run(Duration length = Duration::zero()) {
    const TimePoint until = now + length;
    for (int steps = 0;; ++steps) {
      ASSERT_LT(steps, 100'000) << "never comes to rest";
      const TimePoint due = daemon->step(now, WallTime(now.time_since_epoch()));
      told.take(daemon->take_events());
      while (auto input = link->receive()) {
        if (auto* reply = std::get_if<Reply>(&*input)) replies.push_back(std::move(*reply));
      }
      if (due <= now) continue;
      if (due > until) break;
      advance(due - now);
    }
    if (now < until) {
      advance(until - now);
      run();
    }
  }
  void advance(Duration length) {
    now += length;
    files.advance_time(length.count());
  }
  void send(RequestBody body) { link->send({++last_id, std::move(body)}); }
  /// The answer to `body`, if it came without time passing.
  std::optional<ReplyBody> ask(RequestBody body) {
    send(std::move(body));
    run();
    return answer();
  }
  std::optional<ReplyBody> answer() const {
    if (replies.empty() || replies.back().id != last_id) return std::nullopt;
    return replies.back().body;
  }
  BuildReply ask_build(BuildRequest request) {
    const auto reply = ask(request);
    EXPECT_TRUE(reply && std::holds_alternative<BuildReply>(*reply));
    return reply && std::holds_alternative<BuildReply>(*reply) ? std::get<BuildReply>(*reply) : BuildReply{};
  }

  TimePoint now{seconds(1000)};
  DaemonOptions options;
  watcher::testing::FakeFileSystem files;
  std::unique_ptr<watcher::testing::FakeEventSource> events;
  MemoryBlobStore blobs;
  testing::FakeTransport transport;
  std::unique_ptr<Link> link = transport.connect();
  std::unique_ptr<watcher::Watcher> watch;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Daemon> daemon;
  std::uint64_t last_id = 0;
  std::vector<Reply> replies;
  Told told;
  const Uuid build = Uuid::random();
  const Uuid other = Uuid::random();
};

TEST_F(Build, FiftyFilesUnderOneBarrierAreOneEpoch) {
  EXPECT_EQ(ask_build(begin(build)).lease_ms, milliseconds(kBarrierLimit).count());
  for (int i = 0; i < 50; ++i) {
    files.write("m" + std::to_string(i) + ".txt", "x");
    run(milliseconds(200));
    if (i % 10 == 0) {
      EXPECT_TRUE(ask_build(renew(build)).unbroken);
    }
  }
  EXPECT_THAT(told.epochs, IsEmpty());
  const BuildReply reply = ask_build(end(build, true));
  EXPECT_EQ(reply.files, 50U);
  EXPECT_TRUE(reply.unbroken);
  EXPECT_EQ(reply.committed_epoch, 1U) << "answered when it is live";
  ASSERT_THAT(told.epochs, SizeIs(1));
  EXPECT_THAT(told.epochs[0].changes, SizeIs(50));
}

TEST_F(Build, AFailedBuildIsNoEpochAndTheNextGoodOneHasAll) {
  (void)ask(begin(build));
  files.write("a.txt", "half");
  const BuildReply reply = ask_build(end(build, false));
  EXPECT_EQ(reply.files, 1U);
  EXPECT_EQ(reply.committed_epoch, 0U);
  run(seconds(300));
  EXPECT_THAT(told.epochs, IsEmpty()) << "no rescan publishes it";
  EXPECT_THAT(told.warnings, ElementsAre("build-failed"));
  (void)ask(begin(other));
  files.write("b.txt", "the other half");
  EXPECT_EQ(ask_build(end(other, true)).files, 2U);
  ASSERT_THAT(told.epochs, SizeIs(1));
  EXPECT_THAT(told.epochs[0].changes, SizeIs(2));
}

TEST_F(Build, ARefreshPublishesWhatAFailedBuildLeft) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  (void)ask(end(build, false));
  EXPECT_EQ(std::get<RefreshReply>(ask(RefreshRequest{}).value()), (RefreshReply{1, 1}));
  EXPECT_THAT(told.epochs, SizeIs(1));
}

TEST_F(Build, ARefreshDuringABuildWaitsAndDoesNotUndoItsFailure) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  EXPECT_FALSE(ask(RefreshRequest{}));
  const std::uint64_t refresh = last_id;
  (void)ask(end(build, false));
  run();
  EXPECT_TRUE(std::ranges::any_of(replies, [&](const Reply& r) { return r.id == refresh; }));
  EXPECT_THAT(told.epochs, IsEmpty());
}

TEST_F(Build, ABuildThatBeginsAfterARefreshKeepsItsFailureToItself) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  (void)ask(end(build, false));
  send(RefreshRequest{});
  send(begin(other));  // both are read in one step, before the refresh is through
  run();
  files.write("b.txt", "y");
  (void)ask(end(other, false));
  EXPECT_THAT(told.epochs, IsEmpty());
}

TEST_F(Build, BuildsThatOverlapSucceedTogetherOrNotAtAll) {
  (void)ask(begin(build));
  (void)ask(begin(other));
  files.write("a.txt", "x");
  EXPECT_EQ(ask_build(end(build, false)).files, 0U) << "the other one goes on";
  files.write("b.txt", "y");
  EXPECT_EQ(ask_build(end(other, true)).files, 2U);
  EXPECT_THAT(told.epochs, IsEmpty());
  (void)ask(begin(Uuid{}));
  EXPECT_EQ(ask_build(end(Uuid{}, true)).files, 2U);
  EXPECT_THAT(told.epochs, SizeIs(1));
}

TEST_F(Build, ADeadBarrierIsReleasedWithAWarning) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  run(kBarrierLimit - milliseconds(1));
  EXPECT_THAT(told.epochs, IsEmpty());
  run(milliseconds(1));
  EXPECT_THAT(told.epochs, SizeIs(1));
  EXPECT_THAT(told.warnings, ElementsAre("build-abandoned"));
}

TEST_F(Build, OneThatComesBackHoldsAgainAndIsToldOfTheGap) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  run(kBarrierLimit);
  ASSERT_THAT(told.epochs, SizeIs(1));
  EXPECT_FALSE(ask_build(renew(build)).unbroken);
  files.write("b.txt", "y");
  run(seconds(1));
  EXPECT_THAT(told.epochs, SizeIs(1));
  const BuildReply reply = ask_build(end(build, true));
  EXPECT_FALSE(reply.unbroken);
  EXPECT_EQ(reply.files, 1U);
  EXPECT_THAT(told.epochs, SizeIs(2));
}

TEST_F(Build, AnEndAfterTheReleaseStillSaysWhetherItFailed) {
  (void)ask(begin(build));
  run(kBarrierLimit);
  events->hold_back(true);
  files.write("a.txt", "x");
  send(end(build, false));
  (void)daemon->step(now, WallTime(now.time_since_epoch()));  // reads the request
  events->hold_back(false);
  run();
  EXPECT_FALSE(std::get<BuildReply>(answer().value()).unbroken);
  run(seconds(300));
  EXPECT_THAT(told.epochs, IsEmpty());
}

TEST_F(Build, ABarrierOutlivesTheDaemon) {
  (void)ask(begin(build));
  start();
  run();
  EXPECT_FALSE(ask_build(renew(build)).unbroken);
  files.write("a.txt", "x");
  run(seconds(1));
  EXPECT_THAT(told.epochs, IsEmpty());
  EXPECT_EQ(ask_build(end(build, true)).committed_epoch, 1U);
}

TEST_F(Build, RepetitionsChangeNothing) {
  (void)ask(begin(build));
  (void)ask(begin(build));
  files.write("a.txt", "x");
  EXPECT_EQ(ask_build(end(build, true)).files, 1U);
  EXPECT_EQ(ask_build(end(build, true)).files, 1U) << "the answer got lost";
  EXPECT_EQ(ask_build(end(build, false)).files, 1U) << "what is published stays so";
  EXPECT_EQ(std::get<ErrorReply>(ask(begin(build)).value()).code, ErrorCode::kConflict);
  files.write("b.txt", "y");
  run();
  EXPECT_THAT(told.epochs, SizeIs(2)) << "nothing is held any more";
}

TEST_F(Build, AStoppedDaemonHoldsNoBarrierAgainstItsOwner) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  run();
  advance(kBarrierLimit * 2);  // nobody steps
  run();
  EXPECT_THAT(told.epochs, IsEmpty());
  EXPECT_TRUE(ask_build(renew(build)).unbroken);
}

TEST_F(Build, AFailureBeforeTheFirstScanHidesNothingThatWasThere) {
  files.write("old.txt", "x");
  run();
  ASSERT_THAT(told.epochs, SizeIs(1));
  files.write("more.txt", "y");
  start();
  send(begin(build));
  send(end(build, false));
  run(seconds(1));
  EXPECT_EQ(journal->committed().modules.size(), 2U);
}

TEST_F(Build, TheTimeUntilLiveCountsFromTheEndOfTheBuild) {
  (void)ask(begin(build));
  files.write("a.txt", "x");
  run(seconds(5));
  (void)ask(end(build, true));
  ASSERT_THAT(told.committed, SizeIs(1));
  EXPECT_LT(told.committed[0].elapsed, seconds(1));
}

TEST_F(Build, BarriersAndWaitingEndsAreBounded) {
  for (std::size_t i = 0; i < watcher::limits::kBuildBarriers; ++i) (void)ask(begin(Uuid::random()));
  const auto refused = ask(begin(build));
  EXPECT_EQ(std::get<ErrorReply>(refused.value()).code, ErrorCode::kLimit);
  EXPECT_GT(std::get<ErrorReply>(refused.value()).retry_after_ms, 0);
  EXPECT_THAT(told.warnings, IsEmpty()) << "none of those that are held was released";
}

TEST_F(Build, AnEndThatCannotBeDecidedIsAnsweredInTime) {
  options.fleet.prepare_deadline = limits::kRefreshPatience * 2;
  start();
  run();
  (void)ask(begin(build));
  // An executor that never gets ready keeps the epoch undecided.
  ExecutorIdentity silent;
  silent.id = Uuid::random();
  silent.name = "silent";
  (void)ask(JoinRequest{silent, {}, 0});
  files.write("a.txt", "x");
  for (std::size_t i = 0; i < limits::kWaitingBuildEnds; ++i) send(end(build, true));
  run();
  EXPECT_FALSE(answer());
  EXPECT_EQ(std::get<ErrorReply>(ask(end(build, true)).value()).code, ErrorCode::kLimit);
  replies.clear();
  // It lives, but does not prepare; the lease is renewed by hand.
  for (int i = 0; i < 130 && replies.size() < limits::kWaitingBuildEnds; ++i) {
    link->send({1'000'000, AliveRequest{silent.id, ExecutorState::kPreparing, 0, {}, 0}});
    run(milliseconds(500));
    std::erase_if(replies, [](const Reply& r) { return r.id == 1'000'000; });
  }
  ASSERT_EQ(replies.size(), limits::kWaitingBuildEnds);
  EXPECT_EQ(std::get<ErrorReply>(replies.front().body).code, ErrorCode::kTimeout);
}

TEST_F(Build, EndedBuildsAreForgottenOldestFirst) {
  (void)ask(begin(build));
  (void)ask(end(build, true));
  for (std::size_t i = 0; i < limits::kEndedBuilds; ++i) {
    const Uuid one = Uuid::random();
    (void)ask(begin(one));
    (void)ask(end(one, true));
  }
  // It is not known any more: it ends anew, and says that it was not held.
  EXPECT_FALSE(ask_build(end(build, true)).unbroken);
}

/// The same on a real directory: inotify, leases, a real linker.
class RealBuild : public ::testing::Test {
 protected:
  RealBuild() {
    const std::string source = (world.directory.path() / "m.c").string();
    object = (world.directory.path() / "m.o").string();
    watcher::testing::write_file(source, "int answer(void) { return 42; }\n");
    EXPECT_EQ(watcher::testing::run_command("cc -fPIC -c -o " + object + " " + source), 0);
    journal = std::move(Journal::open(":memory:", world.clock.wall_now()).value());
    daemon = std::make_unique<Daemon>(DaemonOptions{}, *world.watcher, world.blobs, *journal, transport);
  }
  /// Drives the daemon until `id` is answered.
  std::optional<ReplyBody> ask(RequestBody body) {
    link->send({++last_id, std::move(body)});
    std::optional<ReplyBody> reply;
    drive([&] {
      while (auto input = link->receive()) {
        auto* got = std::get_if<Reply>(&*input);
        if (got != nullptr && got->id == last_id) reply = std::move(got->body);
      }
      return reply.has_value();
    });
    return reply;
  }
  void drive(const std::function<bool()>& done) {
    const TimePoint deadline = world.clock.now() + seconds(30);
    while (!done() && world.clock.now() < deadline) {
      const TimePoint due = daemon->step(world.clock.now(), world.clock.wall_now());
      told.take(daemon->take_events());
      const auto pause = std::chrono::duration_cast<milliseconds>(due - world.clock.now());
      pollfd events{world.watcher->descriptors().at(0), POLLIN, 0};
      (void)::poll(&events, 1, static_cast<int>(std::clamp<std::int64_t>(pause.count(), 0, 20)));
    }
  }
  /// Links module `number` while the daemon runs, as a build would.
  void link_library(int number, const std::string& linker) {
    const std::string output = world.path("libm" + std::to_string(number) + ".so").string();
    ASSERT_EQ(watcher::testing::run_command(linker + " -shared --build-id --defsym=number=" +
                                            std::to_string(number) + " -o " + output + " " + object),
              0);
    drive([polled = false]() mutable { return std::exchange(polled, true); });
  }

  watcher::testing::RealWorld world;
  std::string object;
  testing::FakeTransport transport;
  std::unique_ptr<Link> link = transport.connect();
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Daemon> daemon;
  std::uint64_t last_id = 0;
  Told told;
};

TEST_F(RealBuild, FiftyLibrariesArriveAsOneChangesetAndAFailingBuildAsNone) {
  const Uuid failing = Uuid::random();
  const Uuid good = Uuid::random();
  ASSERT_TRUE(ask(begin(failing)));
  for (int i = 0; i < 10; ++i) link_library(i, i % 2 == 0 ? "ld.bfd" : "ld.gold");
  auto reply = ask(end(failing, false));
  ASSERT_TRUE(reply && std::holds_alternative<BuildReply>(*reply));
  EXPECT_EQ(std::get<BuildReply>(*reply).files, 10U);
  EXPECT_THAT(told.epochs, IsEmpty());
  ASSERT_TRUE(ask(begin(good)));
  for (int i = 10; i < 60; ++i) link_library(i, i % 2 == 0 ? "ld.bfd" : "ld.gold");
  for (int i = 0; i < 10; ++i) fs::remove(world.path("libm" + std::to_string(i) + ".so"));
  reply = ask(end(good, true));
  ASSERT_TRUE(reply && std::holds_alternative<BuildReply>(*reply));
  EXPECT_EQ(std::get<BuildReply>(*reply).files, 50U);
  ASSERT_THAT(told.epochs, SizeIs(1));
  EXPECT_THAT(told.epochs[0].changes, SizeIs(50));
  EXPECT_EQ(journal->committed().epoch, 1U);
}

}  // namespace
}  // namespace moddev::daemon
