#include "tools/moddev/screen.h"

#include <gtest/gtest.h>

namespace moddev::tools {
namespace {

TEST(Screen, ALineIsCutAtItsWidthAndColoursEndWithIt) {
  EXPECT_EQ(cut_to_width("abc", 3), "abc");
  EXPECT_EQ(cut_to_width("abcd", 3), "ab\u2026");
  EXPECT_EQ(cut_to_width("\u00e4\u00f6\u00fc", 3), "\u00e4\u00f6\u00fc");
  EXPECT_EQ(cut_to_width("\u00e4\u00f6\u00fcx", 3), "\u00e4\u00f6\u2026");
  EXPECT_EQ(cut_to_width("\033[32mab\033[0mcd", 3), "\033[32mab\033[0m\u2026");
  EXPECT_EQ(cut_to_width("\033[32mabcd\033[0m", 3), "\033[32mab\u2026\033[0m");
  EXPECT_EQ(cut_to_width("\033[32mabc\033[0m", 3), "\033[32mabc\033[0m");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(cut_to_width("a\033[3", 5), "a\033[3");
}

TEST(Screen, WhatFitsIsAsItIs) {
  EXPECT_EQ(fit("head\n", {"\na\n1\n", "\nb\n2\n"}, "", {8, 80}), "head\n\na\n1\n\nb\n2\n");
}

TEST(Screen, ALongPartLeavesRoomForAShortOne) {
  EXPECT_EQ(fit("head\n", {"\na\n1\n2\n3\n4\n", "\nb\n5\n"}, ": look", {8, 80}),
            "head\n\na\n  and 4 more: look\n\nb\n5\n");
  EXPECT_EQ(fit("head\n", {"\na\n1\n", "\nb\n2\n3\n4\n5\n"}, "", {8, 80}),
            "head\n\na\n1\n\nb\n  and 4 more\n");
}

TEST(Screen, TwoLongPartsShareIt) {
  EXPECT_EQ(fit("head\n", {"\na\n1\n2\n3\n4\n", "\nb\n5\n6\n7\n8\n"}, "", {10, 80}),
            "head\n\na\n1\n  and 3 more\n\nb\n5\n  and 3 more\n");
}

TEST(Screen, TheHeadGoesBeforeAllAndNothingIsTooSmall) {
  EXPECT_EQ(fit("1\n2\n3\n", {"\na\nb\n"}, "", {3, 80}), "1\n2\n");
  EXPECT_EQ(fit("1\n2\n", {"\na\nb\n"}, "", {3, 80}), "1\n2\n");
  EXPECT_EQ(fit("head\n", {"\na\nb\n", ""}, "", {0, 0}), "\n");
  EXPECT_EQ(fit("head\n", {}, "", {24, 80}), "head\n");
}

TEST(Screen, ItsLinesNeverReachTheLastRow) {
  for (std::size_t rows = 2; rows < 40; ++rows) {
    std::string long_part = "\ntitle\n";
    for (int i = 0; i < 100; ++i) long_part += "line\n";
    const std::string text = fit("head\n", {long_part, "\nother\n1\n2\n", long_part}, "", {rows, 80});
    EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), rows - 1) << rows;
  }
}

}  // namespace
}  // namespace moddev::tools
