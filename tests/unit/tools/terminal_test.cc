#include "tools/moddev/terminal.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace moddev::tools {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(HumanDuration, HasTwoDigitsThatMatter) {
  EXPECT_EQ(human_duration(microseconds(412)), "0.41 ms");
  EXPECT_EQ(human_duration(microseconds(4123)), "4.1 ms");
  EXPECT_EQ(human_duration(microseconds(9960)), "10 ms");
  EXPECT_EQ(human_duration(milliseconds(312)), "312 ms");
  EXPECT_EQ(human_duration(milliseconds(999)), "999 ms");
  EXPECT_EQ(human_duration(milliseconds(2540)), "2.5 s");
  EXPECT_EQ(human_duration(seconds(200)), "3 min 20 s");
  EXPECT_EQ(human_duration(seconds(60)), "1 min");
  EXPECT_EQ(human_duration(hours(2) + seconds(300)), "2 h 5 min");
  EXPECT_EQ(human_duration(hours(76)), "3 d 4 h");
  EXPECT_EQ(human_duration(milliseconds(-5)), "0.00 ms");
}

TEST(HumanAge, IsTheLargestUnit) {
  EXPECT_EQ(human_age(milliseconds(900)), "now");
  EXPECT_EQ(human_age(milliseconds(-900)), "now") << "another machine's clock may be ahead";
  EXPECT_EQ(human_age(seconds(42)), "42 s ago");
  EXPECT_EQ(human_age(seconds(200)), "3 min ago");
  EXPECT_EQ(human_age(hours(5)), "5 h ago");
  EXPECT_EQ(human_age(hours(49)), "2 d ago");
}

TEST(HumanSize, CountsInThousands) {
  EXPECT_EQ(human_size(0), "0 B");
  EXPECT_EQ(human_size(999), "999 B");
  EXPECT_EQ(human_size(16'400), "16.4 KB");
  EXPECT_EQ(human_size(999'960), "1.0 MB");
  EXPECT_EQ(human_size(2'900'000), "2.9 MB");
  EXPECT_EQ(human_size(2'147'483'647), "2.1 GB");
}

TEST(Counted, KnowsOneFromMany) {
  EXPECT_EQ(counted(0, "executor"), "0 executors");
  EXPECT_EQ(counted(1, "executor"), "1 executor");
  EXPECT_EQ(counted(12, "executor"), "12 executors");
}

TEST(Times, AreTheUsersOnScreenAndUtcInJson) {
  const WallTime at{Duration(1'764'073'867'123'456'789)};
  EXPECT_EQ(utc_time(at), "2025-11-25T12:31:07.123Z");
  EXPECT_EQ(utc_time(WallTime{}), "1970-01-01T00:00:00.000Z");
  ::setenv("TZ", "UTC-2", 1);
  ::tzset();
  EXPECT_EQ(clock_time(at), "14:31:07");
  ::unsetenv("TZ");
  ::tzset();
}

TEST(Printable, LetsNothingMoveTheCursor) {
  EXPECT_EQ(printable("a\033[2Jb"), "a?[2Jb");
  EXPECT_EQ(printable("two\nlines\n"), "two lines");
  EXPECT_EQ(printable("tab\tand\rreturn"), "tab and return");
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("grün"), "grün");
}

TEST(Demangled, SaysSymbolsAsTheyAreWritten) {
  EXPECT_EQ(demangled("undefined symbol: _ZN3foo3barEv"), "undefined symbol: foo::bar()");
  EXPECT_EQ(demangled("_ZN3foo3barEv and _Z1fi."), "foo::bar() and f(int).");
  EXPECT_EQ(demangled("undefined symbol: plain_c"), "undefined symbol: plain_c");
  EXPECT_EQ(demangled("undefined symbol: _Z1fi (f(int))"), "undefined symbol: f(int)");
  EXPECT_EQ(demangled("my_Zoo _Zwrong"), "my_Zoo _Zwrong");
  EXPECT_EQ(demangled(""), "");
}

TEST(Width, CountsCharactersNotBytes) {
  EXPECT_EQ(width_of("grün"), 4U);
  EXPECT_EQ(padded("grün", 6), "grün  ");
  EXPECT_EQ(padded("long", 2), "long");
}

TEST(Table, AlignsColumnsAndLeavesNoBlanksAtTheEnd) {
  Table table;
  table.add({{"scorer"}, {"12"}, {"needs base"}});
  table.add({{"b"}, {"3"}, {""}});
  EXPECT_EQ(table.render(Palette(false), "  "),
            "  scorer  12  needs base\n"
            "  b       3\n");
}

TEST(Table, ColourDoesNotCountAsWidth) {
  Table table;
  table.add({{"ab", Colour::kGood}, {"x"}});
  table.add({{"abc"}, {"y"}});
  EXPECT_EQ(table.render(Palette(true), ""), "\033[32mab \033[0m  x\nabc  y\n");
}

TEST(Palette, PaintsOnlyWhenColoured) {
  EXPECT_EQ(Palette(false).paint(Colour::kBad, "x"), "x");
  EXPECT_EQ(Palette(true).paint(Colour::kBad, "x"), "\033[31mx\033[0m");
  EXPECT_EQ(Palette(true).paint(Colour::kPlain, "x"), "x");
  EXPECT_EQ(Palette(true).paint(Colour::kBad, ""), "");
}

}  // namespace
}  // namespace moddev::tools
