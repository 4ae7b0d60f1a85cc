#include "protocol/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace moddev {
namespace {

const std::vector<std::string> kFlags = {"--bind", "--debounce", "--follow-outside", "--json", "--poll"};

TEST(EditDistance, CountsSlipsOfTheHand) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", "abc"), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("wacth", "watch"), 1U) << "two neighbours swapped are one slip";
  EXPECT_EQ(edit_distance("jsn", "json"), 1U);
  EXPECT_EQ(edit_distance("jsonn", "json"), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
}

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_EQ(nearest("--jsn", kFlags), "--json");
  EXPECT_EQ(nearest("--debouce", kFlags), "--debounce");
  EXPECT_EQ(nearest("--follow", kFlags), "--follow-outside") << "the beginning of a flag means it";
}

TEST(Nearest, DoesNotGuessWhatIsFar) {
  EXPECT_EQ(nearest("--colour", kFlags), std::nullopt);
  EXPECT_EQ(nearest("x", kFlags), std::nullopt);
  EXPECT_EQ(nearest("--json", {}), std::nullopt);
}

TEST(DidYouMean, IsTheEndOfASentenceOrNothing) {
  EXPECT_EQ(did_you_mean("--jsn", kFlags), ", did you mean '--json'?");
  EXPECT_EQ(did_you_mean("--colour", kFlags), "");
}

}  // namespace
}  // namespace moddev
