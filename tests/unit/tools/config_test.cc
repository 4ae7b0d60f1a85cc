#include "tools/moddev/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace moddev::tools {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(std::string_view text) {
  const auto result = parse_configuration(text, "/p/moddev.toml");
  EXPECT_FALSE(result.ok()) << text;
  if (result) return "";
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  return result.error().message;
}

TEST(Configuration, TakesEveryKey) {
  const auto read = parse_configuration(R"(
    endpoint = "ipc:///run/a.sock"
    bind = ["ipc:///run/a.sock", "tcp://127.0.0.1:5555"]
    debounce = 20
    ignore = ["*.tmp.so", "/old/"]
    follow_outside = true
    backend = "polling"
    sync = "majority"
    canary = ["2", "worker-1"]
    canary_time = 0.5
    [dependencies]
    scorer = ["base", "util"]
    "pkg.mod" = ["scorer"]
    [retention]
    epochs = 200
    megabytes = 512
  )",
                                        "moddev.toml");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->endpoint, "ipc:///run/a.sock");
  EXPECT_THAT(*read->bind, ElementsAre("ipc:///run/a.sock", "tcp://127.0.0.1:5555"));
  EXPECT_EQ(read->debounce, std::chrono::milliseconds(20));
  EXPECT_THAT(*read->ignore, ElementsAre("*.tmp.so", "/old/"));
  EXPECT_EQ(read->follow_outside, true);
  EXPECT_EQ(read->backend, "polling");
  EXPECT_EQ(read->sync, "majority");
  EXPECT_THAT(*read->canary, ElementsAre("2", "worker-1"));
  EXPECT_EQ(read->canary_time, std::chrono::milliseconds(500));
  EXPECT_THAT(read->dependencies.at("scorer"), ElementsAre("base", "util"));
  EXPECT_THAT(read->dependencies.at("pkg.mod"), ElementsAre("scorer"));
  EXPECT_EQ(read->retention.epochs, 200U);
  EXPECT_EQ(merge(*read, {}).retention.megabytes, 512U);
}

TEST(Configuration, AnEmptyFileSaysNothing) {
  const auto read = parse_configuration("# nothing\n", "moddev.toml");
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(read->endpoint || read->bind || read->debounce || read->ignore || read->follow_outside ||
               read->backend);
  EXPECT_TRUE(read->dependencies.empty());
}

TEST(Configuration, WhatIsKeptIsANumber) {
  EXPECT_THAT(refusal("retention = 5"), HasSubstr("must be a table"));
  EXPECT_THAT(refusal("[retention]\nepochs = 0"),
              HasSubstr("moddev.toml:2: `epochs` must be a number from 1"));
  EXPECT_THAT(refusal("[retention]\nmegabytes = \"8 GB\""), HasSubstr("`megabytes` must be a number from 1"));
  EXPECT_THAT(refusal("[retention]\nmegabytes = 1000000001"), HasSubstr("must be at most 1000000000"));
  EXPECT_THAT(refusal("[retention]\nepoch = 5"), HasSubstr("did you mean 'epochs'"));
}

TEST(Configuration, OneTextIsAListOfOne) {
  const auto read = parse_configuration("bind = \"ipc:///a\"", "moddev.toml");
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(*read->bind, ElementsAre("ipc:///a"));
}

TEST(Configuration, CanariesMayBeANumberOrOneName) {
  EXPECT_THAT(*parse_configuration("canary = 2", "moddev.toml")->canary, ElementsAre("2"));
  EXPECT_THAT(*parse_configuration("canary = \"w1\"", "moddev.toml")->canary, ElementsAre("w1"));
  EXPECT_THAT(refusal("canary = 0"), HasSubstr("`canary`"));
}

TEST(Configuration, KeysMayBeWrittenLikeTheirFlags) {
  const auto read = parse_configuration("follow-outside = true", "moddev.toml");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->follow_outside, true);
}

TEST(Configuration, AnUnknownKeyIsAnErrorWithLineAndNearestName) {
  EXPECT_THAT(
      refusal("endpoint = \"ipc:///a\"\ndebouce = 3\n"),
      AllOf(HasSubstr("/p/moddev.toml:2: "), HasSubstr("'debouce'"), HasSubstr("did you mean 'debounce'?")));
  EXPECT_THAT(refusal("colour = 1"),
              AllOf(HasSubstr("/p/moddev.toml:1: unknown key 'colour'. Known keys: access, backend, bind")));
}

// One for nobody was taken, and everybody kept what is theirs without a rule.
TEST(Configuration, ARuleForNobodyOrNothingIsAnError) {
  EXPECT_THAT(refusal("\n[[access]]\nwho = []\nmay = [\"status\"]"),
              AllOf(HasSubstr(":2: "), HasSubstr("an empty list")));
  EXPECT_THAT(refusal("[[access]]\nwho = [\"ci\"]\nmay = [\"status\"]\nmodules = []"),
              HasSubstr("an empty list"));
  EXPECT_TRUE(parse_configuration("[[access]]\nwho = [\"ci\"]\nmay = []", "moddev.toml").ok());
}

TEST(Configuration, AWrongTypeIsAnErrorWithItsLine) {
  EXPECT_THAT(refusal("\n\ndebounce = \"20\""), AllOf(HasSubstr(":3: "), HasSubstr("milliseconds")));
  EXPECT_THAT(refusal("debounce = -1"), HasSubstr("from 0 to 60000"));
  EXPECT_THAT(refusal("debounce = 60001"), HasSubstr("from 0 to 60000"));
  EXPECT_THAT(refusal("endpoint = 5"), HasSubstr("`endpoint` must be a text"));
  EXPECT_THAT(refusal("bind = [1]"), HasSubstr("`bind` must be a list of texts"));
  EXPECT_THAT(refusal("ignore = 1"), HasSubstr("`ignore` must be a list of texts"));
  EXPECT_THAT(refusal("follow_outside = \"yes\""), HasSubstr("true or false"));
  EXPECT_THAT(refusal("dependencies = 1"), HasSubstr("[dependencies]"));
  EXPECT_THAT(refusal("[dependencies]\nscorer = \"base\""),
              AllOf(HasSubstr(":2: "), HasSubstr("dependencies.scorer")));
  EXPECT_THAT(refusal("[dependencies]\n\"../x\" = [\"base\"]"), HasSubstr(":2: "));
}

TEST(Configuration, WhatIsNoTomlIsAnErrorWithItsLine) {
  EXPECT_THAT(refusal("endpoint = \"ipc:///a\"\ndebounce ="),
              AllOf(HasSubstr(":2: "), HasSubstr("not a TOML file")));
}

TEST(Configuration, AMissingFileIsAnError) {
  const Error missing = read_configuration("/nowhere/moddev.toml", ::geteuid()).error();
  EXPECT_EQ(missing.code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.message, AllOf(HasSubstr("/nowhere/moddev.toml"), HasSubstr("No such file")));
}

TEST(Configuration, ADirectoryIsNoFile) {
  EXPECT_THAT(read_configuration("/tmp", ::geteuid()).error().message,
              HasSubstr("Cannot read /tmp: Is a directory"));
}

TEST(Merge, FlagsWin) {
  const Configuration file =
      parse_configuration("debounce = 5\nbackend = \"polling\"\n[dependencies]\na = [\"b\"]\nc = [\"d\"]\n",
                          "t")
          .value();
  const Configuration flags = parse_configuration("debounce = 0\n[dependencies]\na = [\"x\"]\n", "t").value();
  const Configuration both = merge(file, flags);
  EXPECT_EQ(both.debounce, std::chrono::milliseconds(0));
  EXPECT_EQ(both.backend, "polling");
  EXPECT_THAT(both.dependencies.at("a"), ElementsAre("x"));
  EXPECT_THAT(both.dependencies.at("c"), ElementsAre("d"));
}

TEST(DependencyFlag, NamesAModuleAndWhatItNeeds) {
  Configuration said;
  ASSERT_TRUE(add_dependency("scorer=base,util", said).ok());
  ASSERT_TRUE(add_dependency("scorer=more", said).ok());
  EXPECT_THAT(said.dependencies.at("scorer"), ElementsAre("base", "util", "more"));
  for (const char* wrong : {"scorer", "=base", "scorer=", "scorer=base,", "../x=base"}) {
    EXPECT_FALSE(add_dependency(wrong, said).ok()) << wrong;
  }
}

}  // namespace
}  // namespace moddev::tools
