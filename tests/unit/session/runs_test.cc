// What a session tells its daemon of the runs of modules: all of it, in bounded pieces, and nothing twice
// without need.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "client/src/run_reports.h"
#include "tests/unit/session/session_world.h"

namespace moddev::test {
namespace {

class RunReportsTest : public SessionWorld {
 protected:
  void run_module(const std::string& name, int times = 1) {
    for (int i = 0; i < times; ++i) {
      const Pin pin = views.pin();
      ASSERT_TRUE(pin.bytes(name).ok());
    }
  }
  /// Every number that was told, the last of each version.
  [[nodiscard]] std::map<std::pair<std::string, Version>, std::uint64_t> told() const {
    std::map<std::pair<std::string, Version>, std::uint64_t> last;
    for (const Request& request : daemon.requests) {
      const auto* alive = std::get_if<AliveRequest>(&request.body);
      const auto* leave = std::get_if<LeaveRequest>(&request.body);
      if (alive == nullptr && leave == nullptr) continue;
      for (const RunReport& run : alive != nullptr ? alive->runs : leave->runs)
        last[{run.module, run.version}] = run.runs;
    }
    return last;
  }
  using Told = std::map<std::pair<std::string, Version>, std::uint64_t>;
};

TEST_F(RunReportsTest, NothingIsToldUntilSomethingRan) {
  join_at_epoch_one();
  run_with_heartbeats(seconds(2));
  { const Pin pin = views.pin(); }
  run_with_heartbeats(seconds(2));
  ASSERT_GE(daemon.alives.size(), 3U);
  EXPECT_EQ(told(), Told());
}

TEST_F(RunReportsTest, WhatHasChangedIsToldOnceAndThenNotAgain) {
  join_at_epoch_one();
  run_module("a", 3);
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 3}}));
  const AliveRequest first = daemon.alives.back();
  EXPECT_EQ(first.runs_repo, daemon.id.repo);
  ASSERT_EQ(first.runs.size(), 1U);
  EXPECT_GT(first.runs[0].total_ns, 0U);
  EXPECT_GE(first.runs[0].total_ns, first.runs[0].longest_ns);
  daemon.alives.clear();
  run_with_heartbeats(seconds(3));
  ASSERT_GE(daemon.alives.size(), 2U);
  for (const AliveRequest& alive : daemon.alives) EXPECT_TRUE(alive.runs.empty());
  run_module("a");
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 4}}));
}

TEST_F(RunReportsTest, ALostMessageLosesNothing) {
  join_at_epoch_one();
  run_module("a", 3);
  daemon.instead = [](const RequestBody& request) -> std::optional<std::optional<ReplyBody>> {
    if (std::holds_alternative<AliveRequest>(request)) return std::optional<ReplyBody>();
    return std::nullopt;
  };
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 3}}));
  daemon.instead = nullptr;
  daemon.requests.clear();
  run_with_heartbeats(seconds(1));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 3}}));
}

TEST_F(RunReportsTest, RunsOfAFormerVersionCountWhenItsPinIsDroppedLate) {
  join_at_epoch_one();
  Pin old = views.pin();
  ASSERT_TRUE(old.bytes("a").ok());
  daemon.publish(daemon.make_manifest(2, {{"a", "a2"}, {"same", "s"}}));
  run_with_heartbeats(seconds(1));
  run_module("a", 2);
  run_module("same", 2);
  daemon.publish(daemon.make_manifest(3, {{"a", "a3"}, {"same", "s"}}));
  run_with_heartbeats(seconds(1));
  run_module("same", 5);
  old.release();
  run_with_heartbeats(seconds(3));
  EXPECT_EQ(views.all().size(), 1U) << "the former views are drained";
  EXPECT_EQ(told(), (Told{{{"a", 1}, 1}, {{"a", 2}, 2}, {{"same", 2}, 7}}))
      << "a version that several epochs have is one";
}

TEST_F(RunReportsTest, AnotherRunOfTheDaemonIsToldAllAgain) {
  join_at_epoch_one();
  run_module("a", 3);
  run_with_heartbeats(seconds(2));
  daemon.requests.clear();
  daemon.restart();
  run_with_heartbeats(seconds(6));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 3}})) << "the former one may have died before it wrote them down";
}

TEST_F(RunReportsTest, AnotherHistoryIsNotToldOfTheFormerOnesVersions) {
  join_at_epoch_one();
  run_module("a", 3);
  daemon.requests.clear();
  daemon.restart_with_new_history();
  daemon.commit_silently(daemon.make_manifest(1, {{"a", "a1"}}));
  run_with_heartbeats(seconds(6));
  ASSERT_EQ(session().applied_repo(), daemon.id.repo);
  run_module("a", 2);
  run_with_heartbeats(seconds(2));
  EXPECT_EQ(told(), (Told{{{"a", 1}, 2}}));
}

TEST_F(RunReportsTest, WhatOneMessageCannotHoldComesWithTheNext) {
  ScriptDaemon::Contents contents;
  const std::size_t count = limits::kRunsPerMessage + 10;
  for (std::size_t i = 0; i < count; ++i) contents.emplace_back("m" + std::to_string(i), "x");
  daemon.commit_silently(daemon.make_manifest(1, contents));
  step();
  // All change all the time, and each has its turn nevertheless.
  std::set<std::string> names;
  for (int beat = 0; beat < 4; ++beat) {
    for (const auto& [name, content] : contents) run_module(name);
    run_with_heartbeats(seconds(1));
    for (const AliveRequest& alive : daemon.alives) {
      EXPECT_LE(alive.runs.size(), limits::kRunsPerMessage);
      for (const RunReport& run : alive.runs) names.insert(run.module);
    }
  }
  EXPECT_EQ(names.size(), count);
  run_with_heartbeats(seconds(3));
  const Told last = told();
  EXPECT_EQ(last.size(), count);
  for (const auto& [key, runs] : last) EXPECT_EQ(runs, 4U) << key.first;
}

TEST_F(RunReportsTest, TheGoodbyeTellsTheRest) {
  ScriptDaemon::Contents contents;
  const std::size_t count = 2 * limits::kRunsPerMessage + 10;
  for (std::size_t i = 0; i < count; ++i) contents.emplace_back("m" + std::to_string(i), "x");
  daemon.commit_silently(daemon.make_manifest(1, contents));
  step();
  daemon.requests.clear();
  for (const auto& [name, content] : contents) run_module(name);
  session().leave();
  step();
  EXPECT_TRUE(session().left());
  const Told last = told();
  EXPECT_EQ(last.size(), count);
  for (const auto& [key, runs] : last) EXPECT_EQ(runs, 1U) << key.first;
  ASSERT_FALSE(daemon.requests.empty());
  EXPECT_TRUE(std::holds_alternative<LeaveRequest>(daemon.requests.back().body))
      << "a stranger's do not count";
}

TEST_F(RunReportsTest, VersionsThatAreRememberedAreBoundedAndTheOldestTellable) {
  client::RunReports reports;
  std::vector<std::shared_ptr<const View>> views_now;
  const auto ran = [](Version version) {
    Manifest manifest;
    manifest.modules["m"] = {"m", ModuleKind::kBlob, version, {}, 1, "m", {}, 0};
    FakeModule::Symbols none;
    View::Modules modules{{"m", std::make_shared<FakeModule>(manifest.modules["m"], share("x"), none,
                                                             std::make_shared<std::atomic<std::size_t>>(0))}};
    return std::make_shared<const View>(std::move(manifest), std::move(modules));
  };
  ViewStore store;
  const std::size_t most = client_limits::kRunVersions + 50;
  std::set<Version> heard;
  for (Version version = 1; version <= most; ++version) {
    const auto view = ran(version);
    store.publish(view, now);
    (void)store.pin().bytes("m");
    for (const auto& past : store.collect()) reports.drained(*past);
    now += milliseconds(1);
    for (const RunReport& run : reports.due(store.all(), limits::kRunsPerMessage, now, wall_at(now)))
      heard.insert(run.version);
    reports.confirmed(now);
    ASSERT_LE(reports.size(), client_limits::kRunVersions);
  }
  EXPECT_EQ(heard.size(), most);
  EXPECT_LT(reports.size(), client_limits::kRunVersions) << "old ones made room";

  // Where nothing can be forgotten, because the daemon does not answer, what is new is not counted.
  client::RunReports unheard;
  for (Version version = 1; version <= most; ++version) {
    const auto view = ran(version);
    store.publish(view, now);
    (void)store.pin().bytes("m");
    for (const auto& past : store.collect()) unheard.drained(*past);
  }
  EXPECT_EQ(unheard.size(), client_limits::kRunVersions);
}

}  // namespace
}  // namespace moddev::test
