// Who ran what, how often and how long, as `moddev stats` tells it: with executors that leave, are killed and
// stay, and with daemons that end in order and are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <sstream>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t kNapNs = 20'000'000;

class Runs : public ::testing::Test {
 protected:
  /// scorer:value() takes at least kNapNs.
  void write_scorer(int value) {
    yard_.write_library("scorer", "#include <time.h>\nlong long value(void) {\n  struct timespec nap = {0, " +
                                      std::to_string(kNapNs) +
                                      "};\n  while (nanosleep(&nap, &nap) != 0) {}\n  return " +
                                      std::to_string(value) + ";\n}\n");
  }
  Process executor(const std::string& name, int every_ms) {
    return yard_.start({"executor", "--name", name, "--call", "scorer:value", "--every",
                        std::to_string(every_ms), "--json"});
  }
  static void wait_for_result(Process& executor, int result) {
    executor.event("called", [&](const Json& json) { return json["result"] == result; });
  }
  static std::uint64_t calls_of(const Process& executor) {
    std::uint64_t calls = 0;
    for (const std::string& line : executor.lines()) calls += Json::parse(line)["event"] == "called" ? 1 : 0;
    return calls;
  }
  /// What is told of the scorer, as soon as it is as wanted.
  Json stats_when(const std::function<bool(const Json&)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    Json scorer;
    do {
      std::istringstream lines(yard_.run({"stats", "scorer", "--json"}).out);
      for (std::string line; std::getline(lines, line);) scorer = Json::parse(line);
      if (scorer.is_object() && wanted(scorer)) return scorer;
    } while (std::chrono::steady_clock::now() < deadline);
    ADD_FAILURE() << "the statistics stay as " << scorer.dump();
    return scorer;
  }
  /// What is told of one executor; null when it is nothing.
  static Json of(const Json& scorer, const std::string& name) {
    for (const Json& executor : scorer["by_executor"])
      if (executor["name"] == name) return executor;
    return nullptr;
  }
  static bool has_runs(const Json& scorer, const std::string& name, std::uint64_t runs) {
    const Json executor = of(scorer, name);
    return executor.is_object() && executor["runs"] == runs;
  }

  Yard yard_;
};

TEST_F(Runs, OfExecutorsThatLeaveAndAreKilledOutliveTheDaemon) {
  write_scorer(1);
  auto daemon = std::make_unique<Process>(yard_.watch());
  auto killed = std::make_unique<Process>(executor("killed", 3'600'000));
  wait_for_result(*killed, 1);
  const pid_t killed_pid = killed->pid();
  {
    Process leaver = executor("leaver", 5);
    const pid_t leaver_pid = leaver.pid();
    for (int i = 0; i < 12; ++i) wait_for_result(leaver, 1);
    leaver.signal(SIGTERM);
    while (leaver.line()) {
    }
    EXPECT_EQ(leaver.wait(), 0);
    const std::uint64_t calls = calls_of(leaver);
    ASSERT_GE(calls, 12U);
    // Without waiting for a sign of life: the goodbye told the last ones.
    const Json scorer = stats_when([&](const Json& json) { return has_runs(json, "leaver", calls); });
    const Json told = of(scorer, "leaver");
    EXPECT_EQ(told["pid"], leaver_pid);
    EXPECT_GE(told["longest_ns"], kNapNs);
    EXPECT_GE(told["total_ns"], kNapNs * static_cast<std::int64_t>(calls));
    EXPECT_GE(told["total_ns"], told["longest_ns"]);
    EXPECT_THAT(told["last_at"].get<std::string>(), StartsWith("20"));
  }
  (void)stats_when([&](const Json& json) { return has_runs(json, "killed", 1); });
  write_scorer(2);
  wait_for_result(*killed, 2);
  const std::uint64_t calls = calls_of(*killed);
  const Json before = stats_when([&](const Json& json) { return has_runs(json, "killed", calls); });
  killed->signal(SIGKILL);
  killed->wait();
  ASSERT_EQ(before["by_version"].size(), 2U);
  EXPECT_EQ(before["by_version"][0]["version"], 2);
  EXPECT_EQ(before["by_version"][0]["executors"], 1);
  EXPECT_EQ(before["by_version"][1]["executors"], 2);
  EXPECT_EQ(before["runs"],
            before["by_version"][0]["runs"].get<int>() + before["by_version"][1]["runs"].get<int>());
  EXPECT_EQ(before["run_executors"], 2);
  EXPECT_GE(before["run_mean_ns"], kNapNs);
  EXPECT_EQ(before["last_run_by"]["name"], "killed");
  EXPECT_EQ(before["last_run_by"]["pid"], killed_pid);

  daemon->signal(SIGTERM);
  EXPECT_EQ(daemon->wait(), 0);
  daemon = std::make_unique<Process>(yard_.watch());
  const Json after = stats_when([](const Json& json) { return json["runs"] != 0; });
  for (const char* key : {"runs", "run_executors", "run_total_ns", "run_mean_ns", "run_longest_ns",
                          "last_run_at", "last_run_by", "by_executor", "by_version"})
    EXPECT_EQ(after[key], before[key]) << key;

  const Ran human = yard_.run({"stats", "scor"});
  EXPECT_EQ(human.exit_code, 0) << human.err;
  EXPECT_THAT(human.out, AllOf(StartsWith("module "), HasSubstr("last run"), HasSubstr(" by killed\n"),
                               HasSubstr("\nexecutor "), HasSubstr("\nleaver "), HasSubstr("\nkilled ")));
  EXPECT_THAT(yard_.run({"stats"}).out, ::testing::Not(HasSubstr("\nexecutor ")));
}

TEST_F(Runs, AreToldAgainToADaemonThatWasKilledBeforeItWroteThem) {
  write_scorer(1);
  auto daemon = std::make_unique<Process>(yard_.watch());
  Process stays = executor("stays", 3'600'000);
  wait_for_result(stays, 1);
  daemon->signal(SIGKILL);
  daemon->wait();
  daemon = std::make_unique<Process>(yard_.watch());
  // It calls when it begins, and when it hears that the epoch is live: one or both.
  const Json scorer = stats_when([&](const Json& json) {
    (void)stays.line(std::chrono::milliseconds(1));
    return has_runs(json, "stays", calls_of(stays));
  });
  EXPECT_EQ(scorer["run_executors"], 1);
}

}  // namespace
}  // namespace moddev::e2e
