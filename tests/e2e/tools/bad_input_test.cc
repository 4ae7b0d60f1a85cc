// What people get wrong: each time one clear message on standard error, the right exit code, nothing lost and
// nobody down.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// One message: one line, with the program's name, and nothing on standard output.
void expect_told(const Ran& ran, int exit_code, const ::testing::Matcher<const std::string&>& message) {
  EXPECT_EQ(ran.exit_code, exit_code);
  EXPECT_THAT(ran.err, AllOf(StartsWith("moddev: "), message));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  EXPECT_THAT(ran.out, IsEmpty());
}

TEST(BadInput, ADirectoryThatIsMissing) {
  Yard yard;
  expect_told(yard.run({"watch", "nowhere"}), 1,
              AllOf(HasSubstr("/work/nowhere'"), HasSubstr("No such file or directory"),
                    HasSubstr("Name a directory")));
}

TEST(BadInput, ADirectoryThatIsAFile) {
  Yard yard;
  Yard::write_file(yard.path() + "/work/file", "x");
  expect_told(yard.run({"watch", "file"}), 1, HasSubstr("not a directory"));
}

TEST(BadInput, ADirectoryThatCannotBeRead) {
  Yard yard;
  yard.drop_power();
  ASSERT_EQ(::chmod(yard.build().c_str(), 0), 0);
  expect_told(yard.run({"watch", yard.build()}), 1, HasSubstr("Permission denied"));
  ::chmod(yard.build().c_str(), 0700);
}

TEST(BadInput, AHistoryThatCannotBeWritten) {
  Yard yard;
  expect_told(yard.run({"watch", yard.build()}, {"XDG_STATE_HOME=/proc/none"}), 1,
              AllOf(HasSubstr("/proc/none"), HasSubstr("XDG_STATE_HOME")));
}

TEST(BadInput, ASecondDaemonOnOneEndpointNamesTheFirst) {
  Yard yard;
  Process first = yard.watch();
  const std::string other = yard.path() + "/other";
  ::mkdir(other.c_str(), 0700);
  expect_told(yard.run({"watch", other}), 1,
              AllOf(HasSubstr("pid " + std::to_string(first.pid())), HasSubstr(yard.default_endpoint()),
                    HasSubstr("--bind")));
  EXPECT_EQ(yard.run({"status"}).exit_code, 0) << "the first goes on";
}

TEST(BadInput, ASecondDaemonOnOneDirectoryNamesTheFirst) {
  Yard yard;
  Process first = yard.watch();
  expect_told(yard.run({"watch", yard.build(), "--bind", "ipc://" + yard.path() + "/run/second.sock"}), 1,
              AllOf(HasSubstr("pid " + std::to_string(first.pid())), HasSubstr(yard.build())));
  EXPECT_EQ(yard.run({"status"}).exit_code, 0) << "the first goes on";
}

TEST(BadInput, NoDaemon) {
  Yard yard;
  const std::string nobody =
      "Nothing answers at " + yard.default_endpoint() + ". Start a daemon with `moddev watch DIR`.";
  expect_told(yard.run({"status"}), 1, HasSubstr(nobody));
  expect_told(yard.run({"status", "--json"}), 1, HasSubstr(nobody));
  expect_told(yard.run({"fetch", "scorer"}), 1, HasSubstr(nobody));
  expect_told(yard.run({"refresh"}), 1, HasSubstr(nobody));
  expect_told(yard.run({"wait", "--live", "--timeout", "0"}), 1, HasSubstr("Nothing answers at "));
}

TEST(BadInput, NoDaemonAtAnEndpointFromElsewhereSaysWhereItIsFrom) {
  Yard yard;
  const std::string endpoint = "ipc://" + yard.path() + "/run/elsewhere.sock";
  expect_told(yard.run({"status"}, {"MODDEV_ENDPOINT=" + endpoint}), 1,
              AllOf(HasSubstr(endpoint), HasSubstr("MODDEV_ENDPOINT")));
  Yard::write_file(yard.path() + "/moddev.toml", "endpoint = \"" + endpoint + "\"\n");
  expect_told(yard.run({"status"}), 1, AllOf(HasSubstr(endpoint), HasSubstr(yard.path() + "/moddev.toml")));
}

TEST(BadInput, AnUnknownFlagOrCommand) {
  Yard yard;
  expect_told(yard.run({"watch", yard.build(), "--jsn"}), 2,
              EndsWith("There is no flag '--jsn', did you mean '--json'? See `moddev watch --help`.\n"));
  expect_told(yard.run({"stauts"}), 2, EndsWith("did you mean 'status'? See `moddev --help`.\n"));
  expect_told(yard.run({"watch"}), 2, HasSubstr("DIR is required"));
  expect_told(yard.run({"watch", yard.build(), "--debounce", "soon"}), 2, HasSubstr("--debounce"));
  expect_told(yard.run({"executor", "--call", "scorer"}), 2, HasSubstr("MODULE:SYMBOL"));
  expect_told(yard.run({"wait"}), 2, HasSubstr("--live"));
  expect_told(yard.run({"wait", "--live", "--epoch", "3"}), 2, HasSubstr("--live"));
  expect_told(yard.run({"status", "--endpoint", "nonsense"}), 2, HasSubstr("'nonsense'"));
}

TEST(BadInput, AWayToSwitchThatThereIsNot) {
  Yard yard;
  expect_told(yard.run({"watch", yard.build(), "--sync", "most"}), 2,
              AllOf(HasSubstr("'most'"), HasSubstr("all, majority or none")));
}

TEST(BadInput, AnEndpointThatOthersCouldReach) {
  Yard yard;
  expect_told(yard.run({"watch", yard.build(), "--bind", "tcp://0.0.0.0:5"}), 1,
              AllOf(HasSubstr("moddev keygen"), HasSubstr("moddev trust add"), HasSubstr("127.0.0.1")));
}

TEST(BadInput, AConfigurationThatIsADirectory) {
  Yard yard;
  expect_told(yard.run({"watch", yard.build(), "--config", yard.path()}), 1,
              HasSubstr("Cannot read " + yard.path() + ": Is a directory"));
}

TEST(BadInput, AWrongKeyIsAnErrorForThoseThatOnlyAskToo) {
  Yard yard;
  Yard::write_file(yard.path() + "/moddev.toml", "endpont = \"ipc:///tmp/elsewhere.sock\"\n");
  expect_told(yard.run({"status"}), 2,
              AllOf(HasSubstr(yard.path() + "/moddev.toml:1: "), HasSubstr("did you mean 'endpoint'?")));
  expect_told(yard.run({"executor"}), 2, HasSubstr("did you mean 'endpoint'?"));
}

TEST(BadInput, AnOutputThatCannotBeWritten) {
  Yard yard;
  Process daemon = yard.watch();
  const std::vector<std::vector<std::string>> commands = {
      {"status"},   {"status", "--json"}, {"history"},   {"refresh"},        {"doctor", yard.build()},
      {"executor"}, {"--help"},           {"--version"}, {"watch", "--help"}};
  for (const std::vector<std::string>& command : commands) {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    ASSERT_GE(full, 0);
    Process process = yard.start(command, {}, full);
    ::close(full);
    EXPECT_EQ(process.wait(), 1) << command[0];
    EXPECT_THAT(process.errors(), HasSubstr("Cannot write to standard output: No space left on device."));
  }
}

TEST(BadInput, AWrongConfigurationNamesFileLineAndKey) {
  Yard yard;
  const std::string file = yard.path() + "/moddev.toml";
  Yard::write_file(file, "# ours\ndebouce = 5\n");
  expect_told(yard.run({"watch", yard.build()}), 2,
              AllOf(HasSubstr(file + ":2: "), HasSubstr("did you mean 'debounce'?")));
  Yard::write_file(file, "debounce = \"5\"\n");
  expect_told(yard.run({"watch", yard.build()}), 2, HasSubstr(file + ":1: "));
  Yard::write_file(file, "backend = \"fast\"\n");
  expect_told(yard.run({"watch", yard.build()}), 2, HasSubstr("'fast'"));
}

TEST(BadInput, AFileThatIsNoLibraryIsRejectedAndTheRestIsPublished) {
  Yard yard;
  Process daemon = yard.watch();
  Yard::write_file(yard.build() + "/libtext.so", "This is not a library.\n");
  EXPECT_EQ(daemon.event("rejected")["path"], "libtext.so");
  yard.write_module("scorer", 1);
  const Json published = daemon.event("published");
  ASSERT_EQ(published["modules"].size(), 1U);
  EXPECT_EQ(published["modules"][0]["name"], "scorer");
  EXPECT_EQ(yard.run({"status"}).exit_code, 0);
}

TEST(BadInput, TwoFilesOfOneNameAreBothShown) {
  Yard yard;
  ::mkdir((yard.build() + "/a").c_str(), 0700);
  yard.write_module("scorer", 1);
  Process daemon = yard.watch();
  daemon.event("committed");
  std::filesystem::copy(yard.build() + "/libscorer.so", yard.build() + "/a/other");
  yard.write_module("scorer2", 2);
  std::filesystem::rename(yard.build() + "/libscorer2.so", yard.build() + "/a/libscorer.so");
  const Json rejected = daemon.event(
      "rejected", [](const Json& json) { return json.dump().find("a/libscorer.so") != std::string::npos; });
  EXPECT_THAT(rejected["path"].get<std::string>() + rejected["reason"].get<std::string>(),
              AllOf(HasSubstr("libscorer.so"), HasSubstr("a/libscorer.so")));
  const Json status = Json::parse(yard.run({"status", "--json"}).out);
  for (const Json& module : status["modules"]) {
    if (module["name"] != "scorer") continue;
    EXPECT_EQ(module["version"], 1) << "the module stays as it was";
  }
}

}  // namespace
}  // namespace moddev::e2e
