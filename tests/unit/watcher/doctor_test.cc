// What `moddev doctor` finds, with real directories and real compilers.
#include "watcher/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/watcher/real_world.h"

namespace moddev::watcher {
namespace {

using Level = Finding::Level;
using ::testing::HasSubstr;

const Finding* find(const std::vector<Finding>& findings, const std::string& code) {
  for (const Finding& finding : findings)
    if (finding.code == code) return &finding;
  return nullptr;
}

TEST(Doctor, AHealthyDirectoryIsGoodThroughout) {
  const testing::TemporaryDirectory directory;
  testing::write_file(directory.path() / "a.txt", "x");
  const auto findings = examine(directory.path().string(), {});
  for (const char* code : {"directory", "events", "watches", "instances", "space"}) {
    ASSERT_NE(find(findings, code), nullptr) << code;
    EXPECT_EQ(find(findings, code)->level, Level::kGood) << find(findings, code)->message;
  }
  ASSERT_NE(find(findings, "lease"), nullptr);
  EXPECT_EQ(testing::files_below(directory.path()).size(), 1U);  // the probe is gone
}

TEST(Doctor, ADirectoryThatIsNotThereIsTheOnlyFinding) {
  const auto findings = examine("/no/such/directory", {});
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].level, Level::kProblem);
  EXPECT_THAT(findings[0].message, HasSubstr("/no/such/directory"));
}

TEST(Doctor, TooFewWatchesComeWithTheCommand) {
  EXPECT_EQ(judge_watches(8192, 100).level, Level::kGood);
  const Finding few = judge_watches(8192, 8000);
  EXPECT_EQ(few.level, Level::kNote);
  EXPECT_THAT(few.advice, HasSubstr("sudo sysctl -w fs.inotify.max_user_watches="));
}

TEST(Doctor, SpaceIsJudged) {
  EXPECT_EQ(judge_space("/x", 10ULL << 30).level, Level::kGood);
  EXPECT_EQ(judge_space("/x", 500ULL << 20).level, Level::kNote);
  EXPECT_EQ(judge_space("/x", 1ULL << 20).level, Level::kProblem);
}

TEST(Doctor, BuildFlagsOfModulesAreLookedAt) {
  const testing::TemporaryDirectory directory;
  const std::string base = directory.path().string();
  testing::write_file(directory.path() / "x.cc",
                      "template <typename T> struct S { static inline int n = 0; };\n"
                      "int f() { return ++S<int>::n; }\n");
  ASSERT_EQ(testing::run_command(
                "cd '" + base +
                "' && c++ -std=c++17 -shared -fPIC -fgnu-unique -Wl,--build-id=none -o libbad.so x.cc"),
            0);
  ASSERT_EQ(testing::run_command(
                "cd '" + base +
                "' && c++ -std=c++17 -shared -fPIC -fno-gnu-unique -Wl,--build-id -o libgood.so x.cc"),
            0);
  testing::write_file(directory.path() / "libtorn.so",
                      testing::read_file(directory.path() / "libgood.so").substr(0, 5000));
  const auto findings = examine(base, {});
  ASSERT_NE(find(findings, "module-build-id"), nullptr);
  EXPECT_THAT(find(findings, "module-build-id")->message, HasSubstr("libbad.so"));
  ASSERT_NE(find(findings, "module-gnu-unique"), nullptr);
  EXPECT_THAT(find(findings, "module-gnu-unique")->advice, HasSubstr("-fno-gnu-unique"));
  ASSERT_NE(find(findings, "module-torn"), nullptr);
  EXPECT_THAT(find(findings, "module-torn")->message, HasSubstr("libtorn.so"));
  for (const Finding& finding : findings)
    EXPECT_THAT(finding.message, ::testing::Not(HasSubstr("libgood.so")));
}

}  // namespace
}  // namespace moddev::watcher
