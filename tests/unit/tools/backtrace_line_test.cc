// The forms of lines that a backtrace has, and what is none.
#include "tools/moddev/backtrace_line.h"

#include <gtest/gtest.h>

#include <string>

namespace moddev::tools {
namespace {

TEST(BacktraceLine, KnowsTheUsualForms) {
  EXPECT_EQ(read_backtrace_line("/run/x/libs.1a2b.so(+0x1139) [0x7f00de001139]"),
            (PlaceInFile{"/run/x/libs.1a2b.so", "", 0x1139, "", true}));
  EXPECT_EQ(read_backtrace_line("build/worker(score+0x9)[0x55]"),
            (PlaceInFile{"build/worker", "score", 0x9, "", true}));
  EXPECT_EQ(read_backtrace_line("    #1 0x7f00 in f (/run/x/libs.so+0x1139) (BuildId: 3f2a)"),
            (PlaceInFile{"/run/x/libs.so", "", 0x1139, "3f2a", false}));
  EXPECT_EQ(read_backtrace_line("at /run/x/libs.so+0xAb (score 7)"),
            (PlaceInFile{"/run/x/libs.so", "", 0xab, "", false}));
}

TEST(BacktraceLine, WhatIsNoPlaceIsNone) {
  for (const char* line :
       {"", "nothing", "a+0x1", "/run/x/libs.so", "/run/x/libs.so()", "/run/x/libs.so(+0x) [0x1]", "/x+0x",
        "+0x12", "f(+0x12)", "/x/l.so(score+12)", "(/x/l.so+0x11112222333344445)"}) {
    EXPECT_FALSE(read_backtrace_line(line)) << line;
  }
}

TEST(BacktraceLine, ALineThatIsTooLongIsLeftAlone) {
  const std::string frame = "/run/x/libs.so+0x12";
  EXPECT_TRUE(read_backtrace_line(std::string(kMostLineBytes - frame.size(), ' ') + frame));
  EXPECT_FALSE(read_backtrace_line(std::string(kMostLineBytes - frame.size() + 1, ' ') + frame));
}

TEST(BacktraceLine, AddressesAreHexadecimal) {
  EXPECT_EQ(read_address("10"), 16U);
  EXPECT_EQ(read_address("0xfF"), 255U);
  EXPECT_EQ(read_address("ffffffffffffffff"), ~std::uint64_t{0});
  for (const char* text : {"", "0x", "1g", "-1", " 1", "1ffffffffffffffff"})
    EXPECT_FALSE(read_address(text)) << text;
}

}  // namespace
}  // namespace moddev::tools
