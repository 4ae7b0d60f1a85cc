// gdb knows every loaded version, without set-up: it stops in the code of version 1 after version 5 is live,
// and in that of version 5; it shows their source lines and variables, and a core file of that moment does,
// too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::HasSubstr;
using testing::run_command;
using testing::Workshop;

constexpr int kVersions = 5;

class Debugger : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run_command({"gdb", "--version"}).exit_code, 0)
        << "gdb is not installed; tools/setup --with-tests does that";
    program_ = {MODDEV_DEBUGGEE, (workshop_.directory() / "images").string()};
    for (int version = 1; version <= kVersions; ++version) {
      const std::string number = std::to_string(version);
      workshop_.library("version" + number,
                        "static long inner(long x) {\n"
                        "  return x + " +
                            number + ";  // the line of version " + number +
                            "\n"
                            "}\n"
                            "extern \"C\" long answer() { return inner(40); }\n",
                        {"-g", "-O0", "-Wl,-soname,libscorer.so"});
      program_.push_back(workshop_.library_path("version" + number).string());
    }
  }
  /// What gdb says to `commands` at the program.
  std::string gdb(const std::vector<std::string>& commands) {
    std::vector<std::string> line{"gdb", "-nx", "-batch"};
    for (const std::string& command : commands) line.insert(line.end(), {"-ex", command});
    line.emplace_back("--args");
    line.insert(line.end(), program_.begin(), program_.end());
    return run_command(line).output;
  }
  [[nodiscard]] std::string line_of(int version) const {
    return workshop_.directory().string() + "/libversion" + std::to_string(version) + ".so.cc:2";
  }

  Workshop workshop_;
  std::vector<std::string> program_;
};

TEST_F(Debugger, StopsInARetiredAndInTheLiveVersionAndShowsTheirSource) {
  const std::string told =
      gdb({"set breakpoint pending on", "break all_versions_are_loaded", "run", "break libversion1.so.cc:2",
           "break libversion5.so.cc:2", "continue", "backtrace 3", "list 2,2", "print x", "continue",
           "backtrace 3", "list 2,2", "info symbol $pc", "continue"});
  if (told.find("ptrace: Operation not permitted") != std::string::npos) {
    GTEST_SKIP() << "processes may not be traced here";
  }
  EXPECT_THAT(told, HasSubstr("inner (x=40) at " + line_of(1)));
  EXPECT_THAT(told, HasSubstr("// the line of version 1"));
  EXPECT_THAT(told, HasSubstr("$1 = 40"));
  EXPECT_THAT(told, HasSubstr("inner (x=40) at " + line_of(5)));
  EXPECT_THAT(told, HasSubstr("// the line of version 5"));
  EXPECT_THAT(told, HasSubstr("images/libscorer."));  // the file that is mapped, by a name for people
  EXPECT_THAT(told, HasSubstr("exited normally"));
}

TEST_F(Debugger, ReadsACoreFileOfAProgramThatDied) {
  const std::string core = (workshop_.directory() / "core").string();
  const std::string told =
      gdb({"set breakpoint pending on", "break all_versions_are_loaded", "run", "break libversion1.so.cc:2",
           "continue", "generate-core-file " + core, "kill"});
  if (told.find("ptrace: Operation not permitted") != std::string::npos) {
    GTEST_SKIP() << "processes may not be traced here";
  }
  ASSERT_TRUE(std::filesystem::exists(core)) << told;
  // A process that was killed leaves its images: nobody has deleted them.
  const std::string later = run_command({"gdb", "-nx", "-batch", "-ex", "backtrace 3", "-ex", "list 2,2",
                                         "-ex", "info sharedlibrary scorer", MODDEV_DEBUGGEE, core})
                                .output;
  EXPECT_THAT(later, HasSubstr("inner (x=40) at " + line_of(1)));
  EXPECT_THAT(later, HasSubstr("// the line of version 1"));
  std::size_t versions = 0;
  for (std::size_t at = later.find("/images/libscorer."); at != std::string::npos;
       at = later.find("/images/libscorer.", at + 1)) {
    ++versions;
  }
  EXPECT_GE(versions, static_cast<std::size_t>(kVersions)) << later;
}

}  // namespace
}  // namespace moddev
