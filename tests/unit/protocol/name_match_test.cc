#include "protocol/name_match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kNames = {"base", "pkg.score", "scorer", "scorer2"};

TEST(MatchName, AWholeNameWinsOverLongerOnes) {
  EXPECT_EQ(match_name("scorer", kNames).value(), "scorer");
}

TEST(MatchName, APartIsEnoughWhenItFitsOnlyOne) {
  EXPECT_EQ(match_name("bas", kNames).value(), "base");
  EXPECT_EQ(match_name("er2", kNames).value(), "scorer2") << "in the middle, when nothing begins so";
  EXPECT_EQ(match_name("pk", kNames).value(), "pkg.score");
}

TEST(MatchName, WhatBeginsWithItGoesBeforeWhatContainsIt) {
  EXPECT_EQ(match_name("sco", {"rescore", "scorer", "table.json"}).value(), "scorer");
}

TEST(MatchName, AnAmbiguousPartListsTheCandidates) {
  const auto match = match_name("core", kNames);
  ASSERT_FALSE(match.ok());
  EXPECT_EQ(match.error().code, ErrorCode::kConflict);
  EXPECT_THAT(match.error().message, HasSubstr("can mean pkg.score, scorer, scorer2. Give more"));
}

TEST(MatchName, AnUnknownNameNamesWhatIsNear) {
  EXPECT_EQ(match_name("bsae", kNames).error().message, "There is no module 'bsae', did you mean 'base'?");
  EXPECT_EQ(match_name("zzzz", kNames).error().message,
            "There is no module 'zzzz'. There are base, pkg.score, scorer, scorer2.");
  EXPECT_EQ(match_name("zzzz", {"base"}).error().message, "There is no module 'zzzz'. There is only base.");
  EXPECT_EQ(match_name("x", {}).error().code, ErrorCode::kNotFound);
  EXPECT_THAT(match_name("", kNames).error().code, ErrorCode::kNotFound);
}

TEST(MatchName, ALongListIsCut) {
  std::vector<std::string> many;
  for (int i = 0; i < 20; ++i) many.push_back("mod" + std::to_string(100 + i));
  EXPECT_THAT(match_name("mod", many).error().message, HasSubstr("mod107 and 12 more"));
}

}  // namespace
}  // namespace moddev
