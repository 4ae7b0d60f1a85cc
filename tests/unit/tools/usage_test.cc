#include "tools/moddev/usage.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>

#include "tools/moddev/command.h"

namespace moddev::tools {
namespace {

/// What a person is told about this command line; empty when it is right.
std::string told(std::vector<std::string> arguments) {
  CLI::App program("moddev");
  Invocation chosen;
  add_watch(program, chosen);
  add_status(program, chosen);
  add_executor(program, chosen);
  add_wait(program, chosen);
  add_diff(program, chosen);
  add_rollback(program, chosen);
  add_supervise(program, chosen);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants it
  try {
    program.parse(arguments);
  } catch (const CLI::ParseError& problem) {
    return explain(program, problem);
  }
  return "";
}

TEST(Usage, ARightCommandLineIsRight) {
  EXPECT_EQ(
      told({"watch", "build", "--bind", "ipc:///a", "--bind", "ipc:///b", "--debounce", "20", "--json"}), "");
  EXPECT_EQ(told({"watch", "--bind", "ipc:///a", "build"}), "") << "the directory is not another endpoint";
  EXPECT_EQ(told({"status", "--watch"}), "");
}

TEST(Usage, AnUnknownFlagSuggestsTheNearest) {
  EXPECT_EQ(told({"watch", "build", "--jsn"}),
            "There is no flag '--jsn', did you mean '--json'? See `moddev watch --help`.");
  EXPECT_EQ(told({"watch", "build", "--debouce=5"}),
            "There is no flag '--debouce', did you mean '--debounce'? See `moddev watch --help`.");
  EXPECT_EQ(told({"watch", "build", "--debouce", "5"}),
            "There is no flag '--debouce', did you mean '--debounce'? See `moddev watch --help`.");
  EXPECT_EQ(told({"status", "--colour"}), "There is no flag '--colour'. See `moddev status --help`.");
}

TEST(Usage, AnUnknownCommandSuggestsTheNearest) {
  EXPECT_EQ(told({"wacth", "build"}),
            "There is no command 'wacth', did you mean 'watch'? See `moddev --help`.");
  EXPECT_EQ(told({"explode"}), "There is no command 'explode'. See `moddev --help`.");
}

TEST(Usage, OneArgumentTooManyOrTooFew) {
  EXPECT_EQ(told({"watch", "a", "b"}), "'b' is one argument too many. See `moddev watch --help`.");
  EXPECT_EQ(told({"watch"}), "DIR is required. See `moddev watch --help`.");
}

TEST(Usage, AWrongValueNamesItsFlag) {
  const std::string text = told({"watch", "a", "--debounce", "abc"});
  EXPECT_NE(text.find("--debounce"), std::string::npos) << text;
  EXPECT_NE(text.find("abc"), std::string::npos) << text;
  EXPECT_NE(told({"watch", "a", "--debounce", "-5"}), "");
}

/// No other number is taken for it, and nobody has to read the largest double in full.
TEST(Usage, ANumberThatDoesNotFitIsAnError) {
  EXPECT_EQ(told({"diff", "3", "0"}), "");
  EXPECT_EQ(told({"diff", "18446744073709551615"}), "");
  EXPECT_EQ(told({"diff", "-1"}), "FROM: '-1' is no whole number from 0 on. See `moddev diff --help`.");
  EXPECT_EQ(told({"diff", "1", "2x"}), "TO: '2x' is no whole number from 0 on. See `moddev diff --help`.");
  EXPECT_EQ(
      told({"rollback", "--to", "18446744073709551616"}),
      "--to: '18446744073709551616' is too large: the largest is 18446744073709551615. See `moddev rollback "
      "--help`.");
  EXPECT_EQ(told({"rollback", "--to", "0"}),
            "--to: '0' is too small: the smallest is 1. See `moddev rollback --help`.");
  EXPECT_EQ(told({"wait", "--epoch", "1e3"}),
            "--epoch: '1e3' is no whole number from 1 on. See `moddev wait --help`.");
  EXPECT_EQ(told({"watch", "a", "--debounce", "60001"}),
            "--debounce: '60001' is too large: the largest is 60000. See `moddev watch --help`.");
}

// It was told as "Value -1 not in range 0.000000 to 10000000.000000".
TEST(Usage, SecondsAreToldAsPeopleWriteThem) {
  EXPECT_EQ(told({"wait", "--live", "--timeout", "0.5"}), "");
  EXPECT_EQ(told({"wait", "--live", "--timeout", "1e3"}), "");
  EXPECT_EQ(told({"wait", "--live", "--timeout", "-1"}),
            "--timeout: '-1' is no number of seconds from 0 to 10000000. See `moddev wait --help`.");
  for (const char* none : {"x", "", "nan", "inf", "5s", "0x10"})
    EXPECT_NE(told({"wait", "--live", "--timeout", none}), "") << none;
  EXPECT_EQ(told({"watch", "a", "--canary-time", "0"}),
            "--canary-time: '0' is no number of seconds from 0.001 to 86400. See `moddev watch --help`.");
}

// What was to run was taken for the slip: "'--' is one argument too many".
TEST(Usage, AWrongValueBeforeACommandIsTheSlip) {
  EXPECT_EQ(
      told({"supervise", "--ready-timeout", "0", "--", "./server", "--port", "80"}),
      "--ready-timeout: '0' is no number of seconds from 0.001 to 86400. See `moddev supervise --help`.");
  EXPECT_EQ(told({"supervise", "--workers", "0", "--", "./server"}),
            "--workers: '0' is too small: the smallest is 1. See `moddev supervise --help`.");
}

}  // namespace
}  // namespace moddev::tools
