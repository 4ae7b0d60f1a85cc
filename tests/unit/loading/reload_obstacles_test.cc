#include "client/src/reload_obstacles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = Obstacle::Kind;

std::vector<Kind> kinds_of(const std::vector<Obstacle>& obstacles) {
  std::vector<Kind> kinds;
  for (const Obstacle& obstacle : obstacles) kinds.push_back(obstacle.kind);
  return kinds;
}

ElfImage good() {
  ElfImage image;
  image.build_id = "00112233";
  return image;
}

TEST(ReloadObstacles, APlainLibraryHasNone) {
  EXPECT_THAT(reload_obstacles(good()), IsEmpty());
}

TEST(ReloadObstacles, EachIsToldWithSymbolReasonAndRemedy) {
  ElfImage image;
  image.nodelete = true;
  image.has_thread_local_destructors = true;
  image.has_text_relocations = true;
  image.undefined = {"malloc", "__cxa_thread_atexit",
                     "_ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE"};
  image.unique_symbols = {"_ZZ7counterE5count", "_ZN3BoxIiE5valueE"};
  const auto obstacles = reload_obstacles(image);
  EXPECT_THAT(kinds_of(obstacles),
              ElementsAre(Kind::kNoDelete, Kind::kThreads, Kind::kThreadLocalDestructors,
                          Kind::kUniqueSymbols, Kind::kTextRelocations, Kind::kNoBuildId));
  EXPECT_THAT(obstacles[1].explanation, HasSubstr("std::thread::_M_start_thread("));
  EXPECT_EQ(obstacles[2].symbol, "__cxa_thread_atexit");
  EXPECT_EQ(obstacles[3].symbol, "_ZZ7counterE5count");
  EXPECT_THAT(obstacles[3].explanation, HasSubstr("'counter::count' and 1 more are"));
  EXPECT_THAT(obstacles[3].remedy, HasSubstr("-fno-gnu-unique"));
  for (const Obstacle& obstacle : obstacles) {
    EXPECT_FALSE(obstacle.explanation.empty());
    EXPECT_FALSE(obstacle.remedy.empty());
    EXPECT_FALSE(to_string(obstacle.kind).empty());
  }
}

TEST(ReloadObstacles, AreFoundInRealLibraries) {
  testing::Workshop workshop;
  const auto bytes =
      workshop.library("unique",
                       "#include <thread>\ninline long& counter() { static long c; return c; }\n"
                       "struct Object { ~Object() { ++counter(); } long value; };\n"
                       "static thread_local Object object;\n"
                       "extern \"C\" long answer() { std::thread([] {}).join(); "
                       "return ++counter() + object.value; }\n",
                       {"-fgnu-unique"});
  const auto image = read_elf(*bytes);
  ASSERT_TRUE(image.ok()) << image.error().message;
  EXPECT_THAT(kinds_of(reload_obstacles(*image)),
              ElementsAre(Kind::kThreads, Kind::kThreadLocalDestructors, Kind::kUniqueSymbols));
}

}  // namespace
}  // namespace moddev
