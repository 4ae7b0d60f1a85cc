// The hooks of <moddev/module.h>, in libraries as a user writes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "client/src/module_hooks.h"
#include "client/src/native_images.h"
#include "client/src/native_loader.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::ElementsAre;
using testing::eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Hooks : public ::testing::Test {
 protected:
  /// Compiles, changes the module and loads the epoch.
  std::vector<ModuleFailure> load(const std::string& source, const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags{"-I" MODDEV_CLIENT_INCLUDE};
    flags.insert(flags.end(), more.begin(), more.end());
    repository_.native("hooked", workshop_.library("hooked", "#include <moddev/module.h>\n" + source, flags));
    return executor_.advance(repository_);
  }
  std::string path() {
    return dynamic_cast<const NativeModule&>(*executor_.views().current()->find("hooked")).path();
  }
  /// Lets the live version go, and waits until it is out of memory.
  bool leaves(const std::string& path) {
    executor_.collect();
    return eventually([&] {
      executor_.collect();
      return !MappedImages::of_process().contains(path);
    });
  }

  testing::Workshop workshop_;
  testing::Executor executor_{workshop_.directory() / "images"};
  testing::Repository repository_;
};

/// A counter that hands its count over.
std::string counter(int step, int version = 1) {
  return "static long count = 0;\n"
         "MODDEV_EXPORT long answer() { return count += " +
         std::to_string(step) +
         "; }\n"
         "MODDEV_ON_SAVE(out) { out->version = " +
         std::to_string(version) +
         "; out->write(out->context, &count, 4); out->write(out->context, (char*)&count + 4, 4); return 0; "
         "}\n"
         "MODDEV_ON_RESTORE(state) {\n"
         "  if (state->version != 1) return \"it only knows version 1 of the state\";\n"
         "  if (state->size != sizeof count) return \"wrong size\";\n"
         "  __builtin_memcpy(&count, state->data, state->size); return 0; }\n";
}

TEST_F(Hooks, StateGoesFromTheLiveVersionToTheNext) {
  ASSERT_THAT(load(counter(1)), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 1);
  EXPECT_EQ(executor_.call("hooked"), 2);
  ASSERT_THAT(load(counter(10)), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 12);
}

TEST_F(Hooks, AStateThatIsRefusedLeavesTheLastGoodVersion) {
  ASSERT_THAT(load(counter(1, 2)), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 1);
  const auto failures = load(counter(10));
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(
      failures[0].error,
      "the state of version 1 cannot be handed over to version 2: MODDEV_ON_RESTORE refused: it only knows "
      "version 1 of the state");
  EXPECT_EQ(executor_.call("hooked"), 2);
}

TEST_F(Hooks, AVersionWithoutHooksStartsAfresh) {
  ASSERT_THAT(load(counter(1)), IsEmpty());
  ASSERT_THAT(load("static long count; MODDEV_EXPORT long answer() { return count += 100; }"), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 100);
  ASSERT_THAT(load(counter(1)), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 1);
}

TEST_F(Hooks, AStartThatRefusesOrThrowsIsAFailedLoad) {
  auto failures = load("MODDEV_ON_START() { return \"no licence\"; }");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].error, "MODDEV_ON_START refused: no licence");
  failures = load("#include <stdexcept>\nMODDEV_ON_START() { throw std::runtime_error(\"no port\"); }");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].error, "MODDEV_ON_START refused: it threw no port");
  failures = load("MODDEV_ON_START() { throw 7; }");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, HasSubstr("not a std::exception"));
}

TEST_F(Hooks, AReasonWithoutEndIsCut) {
  const auto failures = load(
      "static char text[100000];\nMODDEV_ON_START() { __builtin_memset(text, 'x', sizeof text); return text; "
      "}");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_LT(failures[0].error.size(), kHookReasonBytes + 100);
}

TEST_F(Hooks, AStateBeyondTheLimitIsRefused) {
  ASSERT_THAT(load("static char block[1 << 20];\nMODDEV_ON_SAVE(out) { for (int i = 0; i < 300; ++i) "
                   "out->write(out->context, block, sizeof block); return 0; }"),
              IsEmpty());
  const auto failures = load("MODDEV_ON_RESTORE(state) { return state ? nullptr : \"none\"; }");
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, HasSubstr("MODDEV_ON_SAVE wrote more than 268435456 bytes"));
}

const std::string kWithThread =
    "#include <pthread.h>\n#include <unistd.h>\n"
    "static pthread_t thread; static int end;\n"
    "MODDEV_EXPORT long beats = 0;\n"
    "static void* body(void*) { while (!__atomic_load_n(&end, __ATOMIC_SEQ_CST)) { "
    "__atomic_add_fetch(&beats, 1, __ATOMIC_SEQ_CST); usleep(500); } return 0; }\n"
    "MODDEV_ON_START() { return pthread_create(&thread, 0, body, 0) == 0 ? 0 : \"no thread\"; }\n"
    "MODDEV_ON_STOP() { __atomic_store_n(&end, 1, __ATOMIC_SEQ_CST); pthread_join(thread, 0); }\n";

TEST_F(Hooks, AModuleThatStopsItsThreadsIsUnloaded) {
  ASSERT_THAT(load(kWithThread), IsEmpty());
  const std::string former = path();
  EXPECT_EQ(executor_.views().current()->find("hooked")->retired_bytes(), 0U);
  {
    const Pin pin = executor_.pin();
    auto* beats = static_cast<long*>(*pin.symbol("hooked", "beats"));
    EXPECT_TRUE(eventually([&] { return __atomic_load_n(beats, __ATOMIC_SEQ_CST) > 2; }));
  }
  ASSERT_THAT(load(kWithThread + "MODDEV_EXPORT long answer() { return 2; }"), IsEmpty());
  EXPECT_TRUE(leaves(former));
  EXPECT_EQ(executor_.call("hooked"), 2);
}

TEST_F(Hooks, WhatWasPreparedAndIsNotWantedIsStopped) {
  ASSERT_THAT(load(kWithThread), IsEmpty());
  repository_.native("hooked",
                     workshop_.library("hooked", "#include <moddev/module.h>\n" + kWithThread + "int other;",
                                       {"-I" MODDEV_CLIENT_INCLUDE}));
  LoadOutcome outcome = executor_.prepare(repository_.commit(), repository_.bytes());
  ASSERT_NE(outcome.view, nullptr);
  const std::string unwanted = dynamic_cast<const NativeModule&>(*outcome.view->find("hooked")).path();
  executor_.loader().retire(std::move(outcome.view));
  EXPECT_TRUE(leaves(unwanted));
}

TEST_F(Hooks, AStopThatTakesLongIsInNobodysWay) {
  ASSERT_THAT(
      load("static int* may_end; MODDEV_EXPORT void set(int* p) { may_end = p; }\n#include <unistd.h>\n"
           "MODDEV_ON_STOP() { while (!__atomic_load_n(may_end, __ATOMIC_SEQ_CST)) usleep(500); }"),
      IsEmpty());
  static int may_end;
  may_end = 0;
  (*executor_.pin().function<void(int*)>("hooked", "set"))(&may_end);
  const std::string former = path();
  for (int version = 2; version < 5; ++version) {
    ASSERT_THAT(load("MODDEV_EXPORT long answer() { return " + std::to_string(version) + "; }"), IsEmpty());
    EXPECT_EQ(executor_.call("hooked"), version);
  }
  EXPECT_TRUE(MappedImages::of_process().contains(former));
  // After two seconds the developer is told, for as long as it is so.
  const TimePoint now = SystemClock().now();
  EXPECT_THAT(executor_.loader().notes(now - std::chrono::minutes(1)), IsEmpty());
  EXPECT_THAT(
      executor_.loader().notes(now + kStopPatience),
      ElementsAre("The stop hook (MODDEV_ON_STOP) of version 1 of module 'hooked' has not returned within "
                  "2 s. That version stays in memory until it does."));
  __atomic_store_n(&may_end, 1, __ATOMIC_SEQ_CST);
  EXPECT_TRUE(leaves(former));
  EXPECT_TRUE(testing::eventually([&] { return executor_.loader().notes(now + kStopPatience).empty(); }));
}

TEST_F(Hooks, AModuleInCCanHaveThem) {
  repository_.native(
      "hooked", workshop_.library(
                    "hooked",
                    "#include <moddev/module.h>\nstatic long count;\n"
                    "MODDEV_ON_START() { count = 5; return NULL; }\n"
                    "MODDEV_ON_STOP() { count = 0; }\n"
                    "MODDEV_ON_SAVE(out) { out->write(out->context, &count, sizeof count); return NULL; }\n"
                    "MODDEV_ON_RESTORE(state) { return state->size == sizeof count ? NULL : \"size\"; }\n"
                    "MODDEV_EXPORT long answer(void) { return count; }\n",
                    {"-xc", "-std=c11", "-Wall", "-Werror", "-I" MODDEV_CLIENT_INCLUDE}));
  ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  EXPECT_EQ(executor_.call("hooked"), 5);
}

}  // namespace
}  // namespace moddev
