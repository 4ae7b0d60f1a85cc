// The commands against a real daemon and real executors: exit codes, human output, and the JSON keys that
// scripts depend on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <set>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

std::vector<std::string> keys(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

TEST(Program, HelpAndVersionGoToStandardOutput) {
  Yard yard;
  const Ran version = yard.run({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out, "moddev " MODDEV_VERSION "\n");
  EXPECT_THAT(version.err, IsEmpty());
  const Ran help = yard.run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* command : {"watch", "status", "executor", "fetch", "refresh", "wait", "build", "history",
                              "stats", "diff", "rollback", "supervise", "symbols", "cache", "doctor"}) {
    EXPECT_THAT(help.out, HasSubstr(std::string("\n  ") + command + " ")) << command;
    const Ran of_command = yard.run({command, "--help"});
    EXPECT_EQ(of_command.exit_code, 0);
    EXPECT_THAT(of_command.out, HasSubstr(std::string("Usage: moddev ") + command));
    EXPECT_EQ(of_command.out.find("FLOAT"), std::string::npos) << "for people: " << command;
  }
  const Ran nothing = yard.run({});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("Usage: moddev"));
}

TEST(WatchJson, HasTheKeysOfTheContract) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.start({"watch", yard.build(), "--json"});
  const Json listening = daemon.event("listening");
  EXPECT_THAT(keys(listening),
              ElementsAre("event", "endpoint", "repo", "incarnation", "pid", "directory", "backend"));
  EXPECT_EQ(listening["endpoint"], yard.default_endpoint());
  EXPECT_EQ(listening["pid"], daemon.pid());
  EXPECT_EQ(listening["directory"], yard.build());
  EXPECT_EQ(listening["backend"], "inotify");
  const Json published = daemon.event("published");
  EXPECT_THAT(keys(published), ElementsAre("event", "epoch", "modules", "executors"));
  EXPECT_THAT(keys(published["modules"][0]),
              ElementsAre("name", "kind", "version", "digest", "size", "change"));
  EXPECT_EQ(published["modules"][0]["kind"], "native");
  EXPECT_EQ(published["modules"][0]["change"], "added");
  EXPECT_THAT(published["modules"][0]["digest"].get<std::string>(), MatchesRegex("sha256:[0-9a-f]{64}"));
  const Json committed = daemon.event("committed");
  EXPECT_THAT(keys(committed), ElementsAre("event", "epoch", "applied", "excluded", "elapsed_ms"));

  Process executor = yard.start({"executor", "--json"});
  executor.event("applied");
  yard.write_unloadable("scorer");
  const Json aborted = daemon.event("aborted");
  EXPECT_THAT(keys(aborted), ElementsAre("event", "epoch", "failures"));
  EXPECT_THAT(keys(aborted["failures"][0]), ElementsAre("executor", "module", "error"));
  EXPECT_EQ(aborted["failures"][0]["module"], "scorer");
  EXPECT_THAT(aborted["failures"][0]["error"].get<std::string>(), HasSubstr("nowhere"));
  Yard::write_file(yard.build() + "/libtext.so", "no library");
  EXPECT_THAT(keys(daemon.event("rejected")), ElementsAre("event", "path", "reason"));

  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), 0);
  EXPECT_THAT(daemon.errors(), IsEmpty());
}

TEST(WatchJson, AllOfItsLinesAreObjects) {
  Yard yard;
  Process daemon = yard.watch({"--poll"});
  yard.write_module("scorer", 1);
  daemon.event("committed");
  daemon.signal(SIGINT);
  EXPECT_EQ(daemon.wait(), 0) << "Ctrl-C is a good end";
  for (const std::string& line : daemon.lines())
    EXPECT_TRUE(Json::parse(line, nullptr, false).is_object()) << line;
  EXPECT_EQ(Json::parse(daemon.lines().front())["backend"], "polling");
}

TEST(Watch, EveryBoundEndpointAnswers) {
  Yard yard;
  Process daemon = yard.start({"watch", yard.build(), "--json", "--bind",
                               "ipc://" + yard.path() + "/run/a.sock", "--bind", "tcp://127.0.0.1:*"});
  const Json first = daemon.event("listening");
  const Json second = daemon.event("listening");
  EXPECT_EQ(first["endpoint"], "ipc://" + yard.path() + "/run/a.sock");
  EXPECT_THAT(second["endpoint"].get<std::string>(), MatchesRegex("tcp://127.0.0.1:[0-9]+"));
  for (const Json& listening : {first, second}) {
    EXPECT_EQ(yard.run({"status", "--endpoint", listening["endpoint"]}).exit_code, 0);
  }
}

TEST(Watch, ReadsItsConfigurationAndFlagsWin) {
  Yard yard;
  const std::string socket = "ipc://" + yard.path() + "/run/from-file.sock";
  Yard::write_file(yard.path() + "/moddev.toml",
                   "bind = \"" + socket + "\"\nbackend = \"polling\"\nignore = [\"libold*\"]\n");
  yard.write_module("old", 1);
  yard.write_module("scorer", 1);
  Process daemon = yard.start({"watch", yard.build(), "--json", "--backend", "inotify"});
  const Json listening = daemon.event("listening");
  EXPECT_EQ(listening["endpoint"], socket);
  EXPECT_EQ(listening["backend"], "inotify");
  const Json published = daemon.event("published");
  ASSERT_EQ(published["modules"].size(), 1U) << published;
  EXPECT_EQ(published["modules"][0]["name"], "scorer");
}

TEST(Watch, ACanarySwitchesFirst) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch({"--canary", "w1", "--canary-time", "0.5"});
  const auto executor = [&](const std::string& name) {
    return yard.start({"executor", "--name", name, "--call", "scorer:value", "--every", "3600000", "--json"});
  };
  Process first = executor("w1");
  Process second = executor("w2");
  for (Process* one : {&first, &second}) EXPECT_EQ(one->event("called")["result"], 1);
  ASSERT_EQ(yard.run({"wait", "--live"}).exit_code, 0);
  yard.write_module("scorer", 2);
  // Joining after the first epoch can have brought a second call of the old version.
  const auto is_new = [](const Json& json) { return json["result"] == 2; };
  const std::int64_t canary_at = first.event("called", is_new)["at_ns"];
  const std::int64_t others_at = second.event("called", is_new)["at_ns"];
  EXPECT_GE(others_at - canary_at, 400'000'000);
}

TEST(Watch, ItsOwnFilesInsideTheDirectoryAreNoModules) {
  Yard yard;
  Process daemon = yard.start(
      {"watch", yard.path(), "--json", "--ignore", "stderr-*", "--ignore", "/work/", "--ignore", "/run/"});
  daemon.event("listening");
  yard.write_module("scorer", 1);
  const Json published = daemon.event("published", [](const Json& json) { return !json["modules"].empty(); });
  ASSERT_EQ(published["modules"].size(), 1U) << published;
  EXPECT_EQ(yard.run({"refresh"}).exit_code, 0);
  const Json status = Json::parse(yard.run({"status", "--json"}).out);
  EXPECT_EQ(status["modules"].size(), 1U)
      << status << "\nthe history and the cache lie inside the watched directory";
}

/// What a terminal shows, up to `wanted` and whatever came with it.
std::string read_until(int terminal, const std::string& wanted) {
  std::string text;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (text.find(wanted) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
    std::array<char, 1024> piece{};
    const ssize_t got = ::read(terminal, piece.data(), piece.size());
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

TEST(Watch, ReadsWellInATerminalAndColoursOnlyThere) {
  Yard yard;
  yard.write_module("scorer", 1);
  int terminal = -1;
  int child = -1;
  ASSERT_EQ(::openpty(&terminal, &child, nullptr, nullptr, nullptr), 0);
  {
    Process daemon = yard.start({"watch", yard.build()}, {}, child);
    const std::string text = read_until(terminal, "epoch 1");
    EXPECT_THAT(text, AllOf(HasSubstr("\033["), HasSubstr("listening"), HasSubstr(yard.default_endpoint()),
                            HasSubstr("scorer 1")));
    daemon.signal(SIGTERM);
    EXPECT_EQ(daemon.wait(), 0);
  }
  Process daemon = yard.start({"watch", yard.build()}, {"NO_COLOR=1"}, child);
  const std::string text = read_until(terminal, "default.sock");
  EXPECT_THAT(text, HasSubstr("listening"));
  EXPECT_EQ(text.find('\033'), std::string::npos) << text;
  ::close(child);
  ::close(terminal);
}

TEST(Watch, GoesOnWhenNobodyReadsItsOutputAnyMore) {
  Yard yard;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  Process daemon = yard.start({"watch", yard.build(), "--json"}, {}, ends[1]);
  ::close(ends[1]);
  std::array<char, 16> piece{};
  ASSERT_GT(::read(ends[0], piece.data(), piece.size()), 0);
  ::close(ends[0]);
  yard.write_module("scorer", 1);
  EXPECT_EQ(yard.run({"refresh"}).exit_code, 0);
  EXPECT_EQ(Json::parse(yard.run({"status", "--json"}).out)["modules"].size(), 1U);
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), 0);
}

TEST(Status, HasTheKeysOfTheContract) {
  Yard yard;
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  daemon.event("committed");
  Process executor = yard.start({"executor", "--name", "worker-1", "--json"});
  const Json joined = executor.event("joined");
  executor.event("applied");
  ASSERT_EQ(yard.run({"wait", "--live"}).exit_code, 0);
  const Ran ran = yard.run({"status", "--json"});
  EXPECT_EQ(ran.exit_code, 0);
  const Json status = Json::parse(ran.out);
  EXPECT_THAT(keys(status),
              ElementsAre("endpoint", "repo", "incarnation", "epoch", "committed_epoch", "directory",
                          "backend", "modules", "executors", "holds", "transfers", "refused_epoch"));
  ASSERT_EQ(status["modules"].size(), 1U);
  EXPECT_THAT(keys(status["modules"][0]),
              ElementsAre("name", "kind", "version", "digest", "size", "changed_at", "depends_on"));
  ASSERT_EQ(status["executors"].size(), 1U);
  const Json& one = status["executors"][0];
  EXPECT_THAT(keys(one), ElementsAre("id", "name", "host", "pid", "state", "epoch", "pins", "detail"));
  EXPECT_EQ(one["id"], joined["id"]);
  EXPECT_EQ(one["name"], "worker-1");
  EXPECT_EQ(one["pid"], executor.pid());
  EXPECT_EQ(one["state"], "live");
  EXPECT_EQ(one["epoch"], 1);

  const Ran human = yard.run({"status"});
  EXPECT_THAT(human.out,
              AllOf(StartsWith("epoch 1 live in 1 executor\n"), HasSubstr("scorer"), HasSubstr("worker-1")));
  EXPECT_EQ(human.out.find('\033'), std::string::npos) << "no colour in a pipe";
}

TEST(Status, WatchTellsEachChangeOnce) {
  Yard yard;
  Process daemon = yard.watch();
  Process status = yard.start({"status", "--watch", "--json"});
  const auto has_epoch = [](std::uint64_t epoch) {
    return [epoch](const std::string& line) { return Json::parse(line)["committed_epoch"] == epoch; };
  };
  status.line_that(has_epoch(0));
  yard.write_module("scorer", 1);
  status.line_that(has_epoch(1));
  status.signal(SIGINT);
  EXPECT_EQ(status.wait(), 0);
  const std::set<std::string> different(status.lines().begin(), status.lines().end());
  EXPECT_EQ(different.size(), status.lines().size());
}

TEST(Status, WatchLeavesALineBetweenTwoPicturesInAFile) {
  Yard yard;
  Process daemon = yard.watch();
  Process status = yard.start({"status", "--watch"});
  status.line_that([](const std::string& line) { return line.starts_with("nothing published yet"); });
  yard.write_module("scorer", 1);
  status.line_that([](const std::string& line) { return line.starts_with("epoch 1 live"); });
  ASSERT_GE(status.lines().size(), 2U);
  EXPECT_EQ(status.lines()[status.lines().size() - 2], "");
  EXPECT_NE(status.lines().front(), "");
}

// It scrolled, and the headline was gone: on 24 lines there is no room for 30 modules.
TEST(Status, WatchFitsIntoTheTerminal) {
  Yard yard;
  for (int i = 0; i < 30; ++i) Yard::write_file(yard.build() + "/page" + std::to_string(i), "text");
  Process daemon = yard.watch();
  daemon.event("committed");
  Process executor = yard.start({"executor", "--name", "worker-1", "--json"});
  executor.event("applied");
  int terminal = -1;
  int child = -1;
  const winsize size{12, 60, 0, 0};
  ASSERT_EQ(::openpty(&terminal, &child, nullptr, nullptr, &size), 0);
  Process status = yard.start({"status", "--watch"}, {"NO_COLOR=1"}, child);
  const std::string text = read_until(terminal, "worker-1");
  EXPECT_THAT(text, StartsWith("\033[H\033[Jepoch 1 live in 1 executor\r\n")) << "from the first line on";
  EXPECT_THAT(text, AllOf(HasSubstr(" more; `moddev status` shows all\r\n"), HasSubstr("worker-1")));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 12);
  status.signal(SIGINT);
  EXPECT_EQ(status.wait(), 0);
  ::close(child);
  ::close(terminal);
}

TEST(Executor, HasTheKeysOfTheContractAndCallsEachNewEpochAtOnce) {
  Yard yard;
  Process daemon = yard.watch();
  Process executor = yard.start({"executor", "--call", "scorer:value", "--every", "3600000", "--json"});
  EXPECT_THAT(keys(executor.event("joined")), ElementsAre("event", "id", "epoch"));
  yard.write_module("scorer", 41);
  EXPECT_THAT(keys(executor.event("applied")), ElementsAre("event", "epoch", "modules", "elapsed_us"));
  const Json called = executor.event("called");
  EXPECT_THAT(keys(called), ElementsAre("event", "module", "symbol", "epoch", "result", "at_ns"));
  EXPECT_EQ(called["result"], 41);
  EXPECT_EQ(called["epoch"], 1);
  yard.write_module("scorer", 42);
  EXPECT_EQ(executor.event("called")["result"], 42) << "although the next call is due in an hour";
  yard.write_unloadable("scorer");
  EXPECT_THAT(keys(executor.event("failed")), ElementsAre("event", "epoch", "module", "error"));
  daemon.signal(SIGKILL);
  EXPECT_THAT(keys(executor.event("stale")), ElementsAre("event", "reason"));
  executor.signal(SIGTERM);
  EXPECT_EQ(executor.wait(), 0);
}

TEST(Executor, EndsWhenNobodyReadsItsOutputAnyMore) {
  Yard yard;
  Process daemon = yard.watch();
  yard.write_module("scorer", 1);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  Process executor =
      yard.start({"executor", "--call", "scorer:value", "--every", "10", "--json"}, {}, ends[1]);
  ::close(ends[1]);
  std::array<char, 16> piece{};
  ASSERT_GT(::read(ends[0], piece.data(), piece.size()), 0);
  ::close(ends[0]);
  EXPECT_EQ(executor.wait(), 1);
  EXPECT_EQ(executor.errors(), "") << "like every filter before `head`";
}

TEST(Executor, WhatIsMissingIsSaidOnceAndIsNotTheEnd) {
  Yard yard;
  Process daemon = yard.watch();
  Process executor = yard.start({"executor", "--call", "scorer:value", "--every", "10", "--json"});
  yard.write_module("other", 1);
  executor.event("applied");
  yard.write_library("scorer", "int wrong(void) { return 1; }\n");
  executor.event("applied");
  yard.write_module("scorer", 7);
  EXPECT_EQ(executor.event("called")["result"], 7);
  const std::string told = executor.errors();
  EXPECT_THAT(told, AllOf(HasSubstr("Cannot call scorer:value in epoch 1"),
                          HasSubstr("Cannot call scorer:value in epoch 2")));
  EXPECT_LE(std::count(told.begin(), told.end(), '\n'), 3) << told;
}

TEST(Fetch, WritesVerifiedBytesOfAnyVersion) {
  Yard yard;
  yard.write_module("scorer", 1);
  const std::string first = Yard::read_file(yard.build() + "/libscorer.so");
  Process daemon = yard.watch();
  daemon.event("committed");
  yard.write_module("scorer", 2);
  daemon.event("committed");
  const std::string second = Yard::read_file(yard.build() + "/libscorer.so");

  const Ran fetched = yard.run({"fetch", "scor"});
  EXPECT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_THAT(fetched.out, AllOf(StartsWith("scorer 2  "), HasSubstr("sha256:"), EndsWith("libscorer.so\n")));
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/libscorer.so"), second);
  EXPECT_EQ(yard.run({"fetch", "scorer", "--version", "1", "-o", "old.so"}).exit_code, 0);
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/old.so"), first);
  EXPECT_EQ(yard.run({"fetch", "scorer"}).exit_code, 0) << "the same bytes again are no conflict";
  Yard::write_file(yard.path() + "/work/libscorer.so", "mine");
  const Ran careful = yard.run({"fetch", "scorer"});
  EXPECT_EQ(careful.exit_code, 1);
  EXPECT_THAT(careful.err, HasSubstr("libscorer.so is there already"));
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/libscorer.so"), "mine");
  EXPECT_EQ(yard.run({"fetch", "scorer", "-o", "libscorer.so"}).exit_code, 0)
      << "a named file may be replaced";
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/libscorer.so"), second);
}

TEST(Fetch, AnEpochIsHadAsItWas) {
  Yard yard;
  yard.write_module("scorer", 1);
  std::filesystem::create_directories(yard.build() + "/data");
  Yard::write_file(yard.build() + "/data/weights.bin", "first");
  Process daemon = yard.watch();
  ASSERT_EQ(yard.run({"refresh"}).exit_code, 0);
  const std::string epoch =
      std::to_string(Json::parse(yard.run({"status", "--json"}).out)["committed_epoch"].get<int>());
  const std::string first = Yard::read_file(yard.build() + "/libscorer.so");
  yard.write_module("scorer", 2);
  Yard::write_file(yard.build() + "/data/weights.bin", "second");
  ASSERT_EQ(yard.run({"refresh"}).exit_code, 0);

  const Ran all = yard.run({"fetch", "--epoch", epoch, "-o", "then"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(all.out, AllOf(HasSubstr("then/data/weights.bin\n"), HasSubstr("then/libscorer.so\n")));
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/then/libscorer.so"), first);
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/then/data/weights.bin"), "first");
  EXPECT_EQ(yard.run({"fetch", "weights", "--epoch", epoch, "-o", "one"}).exit_code, 0);
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/one"), "first");

  const Ran unknown = yard.run({"fetch", "--epoch", "99"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("epoch 99"));
  EXPECT_EQ(yard.run({"fetch"}).exit_code, 2);
  EXPECT_EQ(yard.run({"fetch", "scorer", "--epoch", "1", "--version", "1"}).exit_code, 2);
}

TEST(Fetch, ALargeModuleComesInPieces) {
  Yard yard;
  std::string large;
  for (std::uint32_t i = 0; large.size() < 3'500'000; ++i) large += std::to_string(i * 2'654'435'761U);
  Yard::write_file(yard.build() + "/weights.bin", large);
  Process daemon = yard.watch();
  daemon.event("committed");
  EXPECT_EQ(yard.run({"fetch", "weights", "-o", "copy"}).exit_code, 0);
  EXPECT_EQ(Yard::read_file(yard.path() + "/work/copy"), large);
}

TEST(Fetch, AnAmbiguousOrUnknownNameListsCandidates) {
  Yard yard;
  yard.write_module("scorer", 1);
  yard.write_module("score_base", 2);
  Process daemon = yard.watch();
  ASSERT_EQ(yard.run({"refresh"}).exit_code, 0);
  const Ran ambiguous = yard.run({"fetch", "score"});
  EXPECT_EQ(ambiguous.exit_code, 1);
  EXPECT_THAT(ambiguous.err, HasSubstr("score_base, scorer"));
  const Ran unknown = yard.run({"fetch", "socrer"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean 'scorer'?"));
  const Ran version = yard.run({"fetch", "scorer", "--version", "9"});
  EXPECT_EQ(version.exit_code, 1);
  EXPECT_THAT(version.err, HasSubstr("Version 9 of module 'scorer'"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(yard.path() + "/work"), {}), 2)
      << "nothing is left behind";
}

TEST(Refresh, ReturnsWhenWhatWasOnDiskIsLiveOrRefused) {
  Yard yard;
  Process daemon = yard.watch();
  yard.write_module("scorer", 1);
  const Ran refreshed = yard.run({"refresh"});
  EXPECT_EQ(refreshed.exit_code, 0) << refreshed.err;
  EXPECT_THAT(refreshed.out, HasSubstr("epoch 1 is live"));
  EXPECT_EQ(Json::parse(yard.run({"status", "--json"}).out)["modules"][0]["version"], 1);

  Process executor = yard.start({"executor", "--json"});
  executor.event("applied");
  yard.write_unloadable("scorer");
  const Ran refused = yard.run({"refresh"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("was refused"), HasSubstr("epoch 1 is live")));
}

TEST(Doctor, SaysWhatIsWeakAndWhatToDo) {
  Yard yard;
  yard.write_module("scorer", 1);
  const Ran good = yard.run({"doctor", yard.build()});
  EXPECT_EQ(good.exit_code, 0) << good.out;
  EXPECT_THAT(good.out, StartsWith("good "));
  const Ran json = yard.run({"doctor", yard.build(), "--json"});
  std::istringstream lines(json.out);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_THAT(keys(Json::parse(line)), ElementsAre("level", "code", "message", "advice"));
  }
  EXPECT_FALSE(std::filesystem::exists(yard.build() + "/.moddev-doctor"));
  const Ran missing = yard.run({"doctor", "nowhere"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.out, StartsWith("problem "));
}

}  // namespace
}  // namespace moddev::e2e
