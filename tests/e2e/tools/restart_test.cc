// Executors started before `watch`, after it, and across kills and restarts of it end on the newest epoch and
// never see a version, an epoch or a result go back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::HasSubstr;

/// What an executor's lines say about going back.
void expect_never_back(const Process& executor) {
  std::uint64_t applied = 0;
  std::uint64_t epoch = 0;
  std::int64_t result = 0;
  std::int64_t at = 0;
  for (const std::string& line : executor.lines()) {
    const Json json = Json::parse(line);
    if (json["event"] == "applied") {
      EXPECT_GT(json["epoch"].get<std::uint64_t>(), applied) << line;
      // A call that was due in that moment may be told first.
      EXPECT_GE(json["epoch"].get<std::uint64_t>(), epoch) << line;
      applied = epoch = json["epoch"];
    }
    if (json["event"] != "called") continue;
    EXPECT_GE(json["epoch"].get<std::uint64_t>(), epoch) << line;
    EXPECT_GE(json["result"].get<std::int64_t>(), result) << line;
    EXPECT_GT(json["at_ns"].get<std::int64_t>(), at) << line;
    epoch = json["epoch"];
    result = json["result"];
    at = json["at_ns"];
  }
}

void wait_for_result(Process& executor, std::int64_t result) {
  executor.event("called", [&](const Json& json) { return json["result"] == result; });
}

TEST(Restart, VersionsNeverGoBackOverKills) {
  constexpr int kRounds = 4;
  Yard yard;
  const std::vector<std::string> executor = {"executor", "--call", "scorer:value", "--every", "20", "--json"};
  Process early = yard.start(executor);
  yard.write_module("scorer", 1);
  auto daemon = std::make_unique<Process>(yard.watch());
  wait_for_result(early, 1);
  Process late = yard.start(executor);
  wait_for_result(late, 1);
  const std::string repo = Json::parse(yard.run({"status", "--json"}).out)["repo"];
  std::uint64_t version = 1;
  for (int round = 2; round <= kRounds; ++round) {
    daemon->signal(SIGKILL);
    daemon->wait();
    // While nobody watches.
    if (round % 2 == 0) yard.write_module("scorer", round);
    daemon = std::make_unique<Process>(yard.watch());
    // And at the same time as it begins.
    if (round % 2 == 1) yard.write_module("scorer", round);
    wait_for_result(early, round);
    wait_for_result(late, round);
    const Json status = Json::parse(yard.run({"status", "--json"}).out);
    EXPECT_EQ(status["repo"], repo) << "the history is the same";
    EXPECT_EQ(status["modules"][0]["version"], ++version);
  }
  expect_never_back(early);
  expect_never_back(late);
}

TEST(Restart, AtOnceAfterAKillOrAStopFindsThePlaceFree) {
  Yard yard;
  yard.write_module("scorer", 1);
  auto daemon = std::make_unique<Process>(yard.watch());
  for (const int signal : {SIGKILL, SIGTERM, SIGKILL, SIGKILL, SIGTERM}) {
    daemon->signal(signal);
    auto next = std::make_unique<Process>(yard.watch());  // the former one may still be going
    daemon->wait();
    daemon = std::move(next);
  }
  EXPECT_EQ(yard.run({"status"}).exit_code, 0);
}

TEST(Restart, WithNothingChangedPublishesNothing) {
  Yard yard;
  yard.write_module("scorer", 1);
  {
    Process daemon = yard.watch();
    daemon.event("committed");
    daemon.signal(SIGKILL);
    daemon.wait();
  }
  Process daemon = yard.watch();
  ASSERT_EQ(yard.run({"refresh"}).exit_code, 0);
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), 0);
  for (const std::string& line : daemon.lines()) EXPECT_EQ(Json::parse(line)["event"], "listening") << line;
}

TEST(Restart, AStaleSocketIsNoDaemon) {
  Yard yard;
  {
    Process daemon = yard.watch();
    daemon.signal(SIGKILL);
    daemon.wait();
  }
  const Ran status = yard.run({"status"});
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_THAT(status.err, HasSubstr("Nothing answers at "));
  Process daemon = yard.watch();
  EXPECT_EQ(yard.run({"status"}).exit_code, 0);
}

// A file that was rejected, or could not be read, lost its module when the daemon was started again.
TEST(Restart, AFileThatIsRejectedKeepsItsModuleOverIt) {
  Yard yard;
  for (const char* name : {"text", "cut", "outside", "program", "twice", "removed"})
    yard.write_module(name, 1);
  auto daemon = std::make_unique<Process>(yard.watch());
  daemon->event("committed");
  const std::string dir = yard.build() + "/lib";
  const std::string bytes = Yard::read_file(dir + "cut.so");
  Yard::write_file(dir + "text.so", "text");
  Yard::write_file(dir + "cut.so", bytes.substr(0, bytes.size() / 2));
  Yard::write_file(yard.path() + "/elsewhere.so", bytes);
  std::filesystem::remove(dir + "outside.so");
  std::filesystem::create_symlink(yard.path() + "/elsewhere.so", dir + "outside.so");
  std::filesystem::copy_file("/bin/true", dir + "program.so",
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::create_directory(yard.build() + "/second");
  std::filesystem::copy_file(dir + "cut.so", yard.build() + "/second/libcut.so");
  Yard::write_file(yard.build() + "/second/libtwice.so", bytes);
  Yard::write_file(dir + "removed.so", "text");
  for (const int signal : {SIGTERM, SIGKILL}) {
    daemon->signal(signal);
    daemon->wait();
    daemon = std::make_unique<Process>(yard.watch());
    const Ran refreshed = yard.run({"refresh"});
    EXPECT_EQ(refreshed.exit_code, 1);
    for (const char* name : {"text", "cut", "outside", "program", "twice", "removed"})
      EXPECT_THAT(refreshed.err, HasSubstr("lib" + std::string(name) + ".so is not published: "));
    const Json status = Json::parse(yard.run({"status", "--json"}).out);
    EXPECT_EQ(status["modules"].size(), 6U);
    for (const Json& module : status["modules"]) EXPECT_EQ(module["version"], 1) << module;
  }
  // It goes although this run never published it; another one becomes acceptable.
  std::filesystem::remove(dir + "removed.so");
  const auto is_removal = [](const Json& json) {
    return json["modules"][0]["name"] == "removed" && json["modules"][0]["change"] == "removed";
  };
  EXPECT_EQ(daemon->event("published", is_removal)["modules"].size(), 1U);
  yard.write_module("text", 2);
  EXPECT_EQ(daemon->event("published")["modules"][0]["version"], 2);
}

}  // namespace
}  // namespace moddev::e2e
