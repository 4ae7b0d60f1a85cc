// `moddev build -- COMMAND...`: the command as if it had been started alone, its changes as one or as none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/tools/program.h"

namespace moddev::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A yard with modules to put into place, one after the other.
class Build : public ::testing::Test {
 protected:
  static constexpr int kModules = 12;

  Build() {
    std::filesystem::create_directory(made_);
    for (int i = 0; i < kModules; ++i) {
      Yard::write_file(made_ + "/part" + std::to_string(i) + ".bin", "content " + std::to_string(i));
    }
  }
  /// A command that copies them, slower than a watcher would wait for the next one, and then does `end`.
  [[nodiscard]] std::string script(const std::string& end) const {
    return "for f in " + made_ + "/*; do cp $f " + yard_.build() + "/; sleep 0.02; done; " + end;
  }
  static std::vector<std::string> command(const std::string& text) {
    return {"build", "--", "/bin/sh", "-c", text};
  }

  Yard yard_;
  std::string made_ = yard_.path() + "/made";
};

TEST_F(Build, AllThatItChangesIsOneChangeset) {
  Process daemon = yard_.watch();
  const Ran built = yard_.run(command(script("echo built; echo words >&2")));
  EXPECT_EQ(built.exit_code, 0);
  EXPECT_EQ(built.out, "built\n") << "the output passes through";
  EXPECT_THAT(built.err,
              AllOf(HasSubstr("words\n"), HasSubstr("12 files went out together: epoch 1 is live")));
  EXPECT_EQ(daemon.event("published")["modules"].size(), static_cast<std::size_t>(kModules));
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["epoch"], 1);
}

TEST_F(Build, NothingOfAFailedOneIsPublished) {
  Process daemon = yard_.watch();
  const Ran built = yard_.run(command(script("exit 3")));
  EXPECT_EQ(built.exit_code, 3) << "the exit code passes through";
  EXPECT_THAT(built.err, HasSubstr("12 files that it changed stay unpublished"));
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["epoch"], 0);
  // The next one that succeeds brings both.
  const Ran again = yard_.run(command("echo new > " + yard_.build() + "/part0.bin"));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(daemon.event("published")["modules"].size(), static_cast<std::size_t>(kModules));
}

TEST_F(Build, RunsWithoutADaemonAndSaysSo) {
  const Ran built = yard_.run(command("echo built; exit 5"));
  EXPECT_EQ(built.exit_code, 5);
  EXPECT_EQ(built.out, "built\n");
  EXPECT_THAT(built.err, AllOf(HasSubstr("Nothing answers at "), HasSubstr("without a barrier")));
}

TEST_F(Build, ACommandThatIsNotThere) {
  const auto expect_told = [&](const Ran& ran) {
    EXPECT_EQ(ran.exit_code, 127);
    EXPECT_THAT(ran.err, HasSubstr("Cannot run 'no-such-command'"));
    EXPECT_THAT(ran.out, IsEmpty());
  };
  expect_told(yard_.run({"build", "--", "no-such-command"}));
  Process daemon = yard_.watch();
  expect_told(yard_.run({"build", "--", "no-such-command"}));
  yard_.write_module("scorer", 1);
  EXPECT_EQ(yard_.run({"refresh"}).exit_code, 0) << "no barrier is left behind";
}

TEST_F(Build, FlagsAfterTheDashesBelongToTheCommand) {
  const Ran built = yard_.run({"build", "--", "/bin/echo", "--endpoint", "-x", "--", "y"});
  EXPECT_EQ(built.out, "--endpoint -x -- y\n");
}

TEST_F(Build, ASignalEndsTheCommandAndIsTold) {
  Process daemon = yard_.watch();
  // What a program that the command has left behind writes after its end would be no part of it.
  Process build =
      yard_.start(command("cp " + made_ + "/part0.bin " + yard_.build() + "/; echo begun; exec sleep 1000"));
  build.line_that([](const std::string& line) { return line == "begun"; });
  build.signal(SIGTERM);
  EXPECT_EQ(build.wait(), 128 + SIGTERM);
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["epoch"], 0);
}

TEST_F(Build, TheDaemonMayBeKilledAndStartedAgainMeanwhile) {
  auto daemon = std::make_unique<Process>(yard_.watch());
  const std::string go = yard_.path() + "/go";
  Process build = yard_.start(
      command("echo begun; until [ -e " + go + " ]; do sleep 0.02; done; " + script("echo done")));
  build.line_that([](const std::string& line) { return line == "begun"; });
  daemon->signal(SIGKILL);
  daemon->wait();
  daemon = std::make_unique<Process>(yard_.watch());
  Yard::write_file(go, "");
  EXPECT_EQ(build.wait(), 0) << build.errors();
  EXPECT_EQ(yard_.run({"refresh"}).exit_code, 0);
  EXPECT_EQ(Json::parse(yard_.run({"status", "--json"}).out)["modules"].size(),
            static_cast<std::size_t>(kModules));
}

TEST_F(Build, ASuccessThatExecutorsRefuseIsAFailureWithTheReason) {
  yard_.write_module("scorer", 1);
  Process daemon = yard_.watch();
  Process executor = yard_.start({"executor", "--name", "w1", "--json"});
  executor.event("applied");
  Yard other;
  other.write_unloadable("scorer");
  const Ran refused = yard_.run(command("cp " + other.build() + "/libscorer.so " + yard_.build() + "/"));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("Epoch 2 was refused"), HasSubstr("epoch 1 stays live"),
                                 HasSubstr("w1: scorer: ")));
  EXPECT_EQ(
      yard_.run(command("cp " + other.build() + "/libscorer.so " + yard_.build() + "/; exit 3")).exit_code,
      3);
  // What is no library any more is not tried again, and is named.
  const Ran junk = yard_.run(command("echo junk > " + yard_.build() + "/libscorer.so"));
  EXPECT_EQ(junk.exit_code, 1);
  EXPECT_THAT(junk.err, AllOf(HasSubstr("libscorer.so is not published: it is not a shared library"),
                              Not(HasSubstr("was refused"))));
  const Ran refreshed = yard_.run({"refresh"});
  EXPECT_EQ(refreshed.exit_code, 1);
  EXPECT_THAT(refreshed.err,
              AllOf(HasSubstr("libscorer.so is not published"), Not(HasSubstr("was refused"))));
  // A build that has nothing to do with it succeeds.
  const Ran fine = yard_.run(command("echo fine > " + yard_.build() + "/table.json"));
  EXPECT_EQ(fine.exit_code, 0) << fine.err;
}

}  // namespace
}  // namespace moddev::e2e
