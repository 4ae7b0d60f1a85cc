#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/src/loader_thread.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::ElementsAre;
using testing::Executor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Repository;
using testing::Workshop;

std::string answer(int number) {
  return "extern \"C\" long answer() { return " + std::to_string(number) + "; }\n";
}

TEST(Loader, ANewVersionIsCalledAndAPinKeepsTheOldOne) {
  Workshop workshop;
  Executor executor(workshop.directory() / "images");
  Repository repository;
  repository.native("scorer", workshop.library("scorer", answer(1)));
  ASSERT_THAT(executor.advance(repository), IsEmpty());
  Pin old = executor.pin();
  EXPECT_EQ(executor.call("scorer"), 1);

  repository.native("scorer", workshop.library("scorer", answer(2)));
  ASSERT_THAT(executor.advance(repository), IsEmpty());
  EXPECT_EQ(executor.call("scorer"), 2);
  EXPECT_EQ((*old.function<long()>("scorer", "answer"))(), 1);
  EXPECT_EQ(executor.collect(), 0U);
  old.release();
  EXPECT_TRUE(executor.drain());
}

TEST(Loader, AllFailuresOfAnEpochAreToldTogetherAndTheLastGoodOneGoesOn) {
  Workshop workshop;
  Executor executor(workshop.directory() / "images");
  Repository repository;
  repository.native("good", workshop.library("good", answer(1)));
  ASSERT_THAT(executor.advance(repository), IsEmpty());

  repository.native("good", workshop.library("good", answer(2)));
  repository.native("broken", workshop.library("broken",
                                               "namespace foo { long bar(int); }\n"
                                               "extern \"C\" long answer() { return foo::bar(3); }"));
  repository.native("text", share("not a library"));
  const auto failures = executor.advance(repository);
  ASSERT_EQ(failures.size(), 2U);
  EXPECT_EQ(failures[0].module, "text");
  EXPECT_EQ(failures[1].module, "broken");
  EXPECT_EQ(failures[1].error, "undefined symbol: _ZN3foo3barEi (foo::bar(int))");
  EXPECT_EQ(executor.call("good"), 1);
}

TEST(Loader, BlobsAreBytesAndHaveNoSymbols) {
  Workshop workshop;
  Executor executor(workshop.directory() / "images");
  Repository repository;
  repository.blob("weights.bin", share("abc"));
  ASSERT_THAT(executor.advance(repository), IsEmpty());
  const Pin pin = executor.pin();
  EXPECT_EQ(as_text(*pin.bytes("weights.bin")), "abc");
  const auto symbol = pin.symbol("weights.bin", "x");
  ASSERT_FALSE(symbol.ok());
  EXPECT_EQ(symbol.error().code, ErrorCode::kRefused);
}

TEST(Loader, ANativeModulesBytesAreThoseThatWerePublished) {
  Workshop workshop;
  Executor executor(workshop.directory() / "images");
  Repository repository;
  const SharedBytes library = workshop.library("scorer", answer(1), {"-Wl,-soname,libscorer.so"});
  repository.native("scorer", library);
  ASSERT_THAT(executor.advance(repository), IsEmpty());
  const Pin pin = executor.pin();
  const auto bytes = pin.bytes("scorer");
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  EXPECT_TRUE(std::equal(bytes->begin(), bytes->end(), library->begin(), library->end()));
}

}  // namespace
}  // namespace moddev
