// Every trap of reloading native code that is known to us, with a real library that is caught in it when
// loaded by dlopen() alone. client/LOADING.md tells the same in words.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "client/src/native_images.h"
#include "client/src/native_loader.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using testing::eventually;
using testing::Executor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Repository;
using testing::Workshop;

class Traps : public ::testing::Test {
 protected:
  std::vector<ModuleFailure> advance() { return executor_.advance(repository_); }
  /// Where the image of a module of the newest epoch is.
  std::string path_of(const std::string& module) {
    const auto found = executor_.views().current()->modules().find(module);
    return dynamic_cast<const NativeModule&>(*found->second).path();
  }
  static bool is_mapped(const std::string& path) {
    void* handle = ::dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr) ::dlclose(handle);
    return handle != nullptr;
  }
  bool is_forgotten(const std::string& path) {
    executor_.collect();
    return !MappedImages::of_process().contains(path);
  }

  Workshop workshop_;
  Executor executor_{workshop_.directory() / "images"};
  Repository repository_;
};

std::string answer(int number) {
  return "extern \"C\" long answer() { return " + std::to_string(number) + "; }\n";
}

TEST_F(Traps, AnEqualSonameDoesNotHandOutTheOldVersion) {
  for (const std::string soname : {"libscorer.so", "l", "a-soname-that-is-longer-than-any-tag.so.1.2.3"}) {
    SCOPED_TRACE(soname);
    repository_.native("scorer", workshop_.library("scorer", answer(1), {"-Wl,-soname," + soname}));
    ASSERT_THAT(advance(), IsEmpty());
    const Pin old = executor_.pin();
    repository_.native("scorer", workshop_.library("scorer", answer(2), {"-Wl,-soname," + soname}));
    ASSERT_THAT(advance(), IsEmpty());
    EXPECT_EQ(executor_.call("scorer"), 2);
    EXPECT_EQ((*old.function<long()>("scorer", "answer"))(), 1);
  }
}

std::string dependency(int number) {
  return "extern \"C\" long value() { return " + std::to_string(number) + "; }\n";
}
const std::string kDependent =
    "extern \"C\" long value();\nextern \"C\" long answer() { return 10 * value(); }\n";

/// However the dependency is named, and whichever linker wrote both: a dependent belongs to its epoch.
class DependencyTrap : public Traps, public ::testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(DependencyTrap, ADependentIsBoundToTheDependencyOfItsEpoch) {
  std::vector<std::string> flags = GetParam();
  std::vector<std::string> top_flags{"-ldep"};
  for (const std::string& flag : flags) {
    if (flag.find("soname") == std::string::npos && flag.find("version") == std::string::npos)
      top_flags.push_back(flag);
  }
  testing::write_file(workshop_.directory() / "versions", as_bytes("MODDEV_1 { global: value; local: *; };"));
  for (std::string& flag : flags) {
    if (flag == "versions") flag = "-Wl,--version-script=" + (workshop_.directory() / "versions").string();
  }
  repository_.native("dep", workshop_.library("dep", dependency(1), flags));
  repository_.native("top", workshop_.library("top", kDependent, top_flags), {"dep"});
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 10);
  const Pin old = executor_.pin();

  repository_.native("dep", workshop_.library("dep", dependency(2), flags));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 20);
  EXPECT_EQ((*old.function<long()>("top", "answer"))(), 10);
}

INSTANTIATE_TEST_SUITE_P(
    Linkers, DependencyTrap,
    ::testing::Values(
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-soname,libdep.so"},
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-soname,libdep.so.3.2"},
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-soname,d"},
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-soname,libdep.so", "versions"},
        std::vector<std::string>{"-fuse-ld=gold", "-Wl,-soname,libdep.so"},
        std::vector<std::string>{"-fuse-ld=lld", "-Wl,-soname,libdep.so", "versions"},
        std::vector<std::string>{"-fuse-ld=mold", "-Wl,-soname,libdep.so"},
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-z,now,-z,relro", "-s", "-Wl,-soname,libdep.so"},
        std::vector<std::string>{"-fuse-ld=bfd", "-Wl,-z,noseparate-code", "-Wl,-soname,libdep.so"}));

TEST_F(Traps, ADependencyWithoutASonameIsKnownByItsFilesName) {
  repository_.native("dep", workshop_.library("dep", dependency(1)));
  // The linker writes what it was given: a path with '/' would be kept, so it is run where the file is.
  repository_.native("top", workshop_.library("top", kDependent, {"-ldep"}), {"dep"});
  ASSERT_THAT(advance(), IsEmpty());
  repository_.native("dep", workshop_.library("dep", dependency(2)));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 20);
}

TEST_F(Traps, ADiamondHasOneInstanceOfItsBase) {
  const auto build_base = [&](int start) {
    repository_.native("base", workshop_.library("base",
                                                 "static long count = " + std::to_string(start) +
                                                     ";\nextern \"C\" long next() { return ++count; }\n",
                                                 {"-Wl,-soname,libbase.so"}));
  };
  build_base(100);
  for (const std::string side : {"left", "right"}) {
    repository_.native(
        side,
        workshop_.library(side,
                          "extern \"C\" long next();\nextern \"C\" long " + side + "() { return next(); }\n",
                          {"-lbase", "-Wl,-soname,lib" + side + ".so"}),
        {"base"});
  }
  repository_.native(
      "top",
      workshop_.library("top",
                        "extern \"C\" { long left(); long right();\n"
                        "long answer() { return left() * 1000 + right(); } }\n",
                        {"-lleft", "-lright", "-Wl,-rpath-link," + workshop_.directory().string()}),
      {"left", "right"});
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 101'102);
  build_base(200);
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 201'202);
  EXPECT_EQ(executor_.call("base", "next"), 203);
}

TEST_F(Traps, ModulesThatNeedEachOtherAreReloadedTogether) {
  const std::string a = "extern \"C\" { long b_value(); long a_value() { return 1; }\n";
  const auto build = [&](int number) {
    workshop_.library("a", a + "}", {"-Wl,-soname,liba.so"});
    repository_.native(
        "b",
        workshop_.library("b",
                          "extern \"C\" { long a_value(); long b_value() { return " + std::to_string(number) +
                              "; }\nlong answer() { return a_value() + b_value(); } }",
                          {"-la", "-Wl,-soname,libb.so"}),
        {"a"});
    repository_.native("a",
                       workshop_.library("a", a + "long answer() { return 1000 * b_value(); } }",
                                         {"-lb", "-Wl,-soname,liba.so", "-Wl,--allow-shlib-undefined"}),
                       {"b"});
  };
  build(7);
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("a"), 7000);
  EXPECT_EQ(executor_.call("b"), 8);
  const std::string former = path_of("a");
  build(9);
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("a"), 9000);
  EXPECT_EQ(executor_.call("b"), 10);
  EXPECT_TRUE(executor_.drain());
  EXPECT_TRUE(eventually([&] { return is_forgotten(former); }));
  EXPECT_FALSE(is_mapped(former));
}

/// With GCC's default, all libraries of a process share the static of an inline function: the new version
/// would go on with the old one's, which could never be unmapped.
const std::string kUnique =
    "inline long& counter() { static long count = 0; return count; }\n"
    "template <typename T> struct Box { static long value; };\n"
    "template <typename T> long Box<T>::value = 0;\n";

TEST_F(Traps, StaticsOfInlineFunctionsAreNotThoseOfTheOldVersion) {
  const auto build = [&](int number) {
    repository_.native("unique",
                       workshop_.library("unique",
                                         kUnique + "extern \"C\" long answer() { return " +
                                             std::to_string(number) + " + ++counter() + ++Box<int>::value; }",
                                         {"-fgnu-unique"}));
  };
  build(100);
  ASSERT_THAT(advance(), IsEmpty());
  const std::string former = path_of("unique");
  EXPECT_EQ(executor_.call("unique"), 102);
  EXPECT_EQ(executor_.call("unique"), 104);
  build(200);
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("unique"), 202);
  EXPECT_TRUE(executor_.drain());
  EXPECT_TRUE(eventually([&] { return is_forgotten(former); }));
  EXPECT_FALSE(is_mapped(former));
}

TEST_F(Traps, ModulesOfOneEpochGoOnSharingTheStaticsOfInlineFunctions) {
  repository_.native("dep",
                     workshop_.library("dep", kUnique + "extern \"C\" long value() { return ++counter(); }",
                                       {"-fgnu-unique", "-Wl,-soname,libdep.so"}));
  repository_.native(
      "top",
      workshop_.library("top",
                        kUnique + "extern \"C\" long value();\nextern \"C\" long answer() { return value() * "
                                  "10 + ++counter(); }",
                        {"-fgnu-unique", "-ldep"}),
      {"dep"});
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 12);
  EXPECT_EQ(executor_.call("top"), 34);
}

TEST_F(Traps, EachVersionCatchesItsExceptionsWithItsOwnLayout) {
  // One name, two layouts: what is caught by name must be what was thrown.
  const auto source = [](const std::string& members, int code) {
    return "struct Problem { " + members +
           " long code; };\nstatic void fail() { Problem problem{}; problem.code = " + std::to_string(code) +
           "; throw problem; }\n"
           "extern \"C\" long answer() { try { fail(); } catch (const Problem& problem) { return "
           "problem.code; } "
           "return 0; }\n";
  };
  repository_.native("thrower", workshop_.library("thrower", source("", 5)));
  ASSERT_THAT(advance(), IsEmpty());
  const Pin old = executor_.pin();
  repository_.native("thrower", workshop_.library("thrower", source("char filling[100];", 6)));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ((*old.function<long()>("thrower", "answer"))(), 5);
  EXPECT_EQ(executor_.call("thrower"), 6);
}

TEST_F(Traps, AThreadThatHasAThreadLocalObjectOfAnOldVersionKeepsItMapped) {
  const std::string source =
      "extern \"C\" { long destroyed_in_host; long* destroyed = &destroyed_in_host; }\n"
      "struct Object { long value = 0; ~Object() { ++*destroyed; } };\n"
      "static thread_local Object object;\n"
      "extern \"C\" long answer() { return ++object.value + ";
  repository_.native("local", workshop_.library("local", source + "100; }"));
  ASSERT_THAT(advance(), IsEmpty());
  const std::string former = path_of("local");
  EXPECT_GT(executor_.views().current()->find("local")->retired_bytes(), 0U);

  static long destroyed = 0;
  destroyed = 0;
  std::mutex mutex;
  std::condition_variable changed;
  bool used = false;
  bool end = false;
  std::thread worker([&] {
    {
      const Pin pin = executor_.pin();
      *static_cast<long**>(*pin.symbol("local", "destroyed")) = &destroyed;
      (*pin.function<long()>("local", "answer"))();
    }
    std::unique_lock lock(mutex);
    used = true;
    changed.notify_all();
    changed.wait(lock, [&] { return end; });
  });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return used; });
  }
  repository_.native("local", workshop_.library("local", source + "200; }"));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_TRUE(executor_.drain());
  EXPECT_EQ(executor_.call("local"), 201);
  {
    const std::lock_guard lock(mutex);
    end = true;
  }
  changed.notify_all();
  worker.join();
  EXPECT_EQ(destroyed, 1);

  // glibc unmaps it when the next library is closed after the thread's end.
  repository_.native("local", workshop_.library("local", source + "300; }"));
  ASSERT_THAT(advance(), IsEmpty());
  repository_.native("local", workshop_.library("local", source + "400; }"));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_TRUE(executor_.drain());
  EXPECT_TRUE(eventually([&] { return is_forgotten(former); }));
}

TEST_F(Traps, ALibraryThatForbidsUnloadingStaysAndIsCounted) {
  repository_.native("sticky", workshop_.library("sticky", answer(1), {"-Wl,-z,nodelete"}));
  ASSERT_THAT(advance(), IsEmpty());
  const std::string former = path_of("sticky");
  EXPECT_GE(executor_.views().current()->find("sticky")->retired_bytes(), 4096U);
  repository_.native("sticky", workshop_.library("sticky", answer(2), {"-Wl,-z,nodelete"}));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_TRUE(executor_.drain());
  EXPECT_EQ(executor_.call("sticky"), 2);
  EXPECT_TRUE(is_mapped(former));
}

TEST_F(Traps, CodeIsNotUnmappedUnderAThreadThatItStarted) {
  const auto source = [](int number) {
    return "#include <pthread.h>\n#include <unistd.h>\n"
           "static void* body(void* beats) { for (;;) { __atomic_add_fetch((long*)beats, 1, "
           "__ATOMIC_SEQ_CST); usleep(1000); } return 0; }\n"
           "extern \"C\" void start(long* beats) { pthread_t thread; pthread_create(&thread, 0, body, "
           "beats); pthread_detach(thread); }\n" +
           answer(number);
  };
  static long beats = 0;
  repository_.native("threads", workshop_.library("threads", source(1)));
  ASSERT_THAT(advance(), IsEmpty());
  {
    const Pin pin = executor_.pin();
    (*pin.function<void(long*)>("threads", "start"))(&beats);
    EXPECT_GT(executor_.views().current()->find("threads")->retired_bytes(), 0U);
  }
  repository_.native("threads", workshop_.library("threads", source(2)));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_TRUE(executor_.drain());
  const long before = __atomic_load_n(&beats, __ATOMIC_SEQ_CST);
  EXPECT_TRUE(eventually([&] { return __atomic_load_n(&beats, __ATOMIC_SEQ_CST) > before + 2; }));
}

TEST_F(Traps, AnOldVersionThatBecameGlobalCannotCaptureCallsOfTheNewOne) {
  const auto source = [](int number) {
    return "extern \"C\" long inner() { return " + std::to_string(number) +
           "; }\nextern \"C\" long answer() { return inner(); }\n";
  };
  repository_.native("scorer", workshop_.library("scorer", source(1)));
  ASSERT_THAT(advance(), IsEmpty());
  void* global = ::dlopen(path_of("scorer").c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  ASSERT_NE(global, nullptr);
  // -O1 inlines nothing through the PLT, so answer() of version 2 would call inner() of version 1.
  repository_.native("scorer", workshop_.library("scorer", source(2), {"-fsemantic-interposition"}));
  const auto failures = advance();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, HasSubstr("symbol inner would be that of version 1 of module 'scorer'"));
  EXPECT_EQ(executor_.call("scorer"), 1);
  // moddev_add_module() sets this: then there is nothing to capture.
  repository_.native("scorer", workshop_.library("scorer", source(3), {"-Wl,-Bsymbolic-functions"}));
  EXPECT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("scorer"), 3);
  ::dlclose(global);
}

TEST_F(Traps, TheSameBytesAgainAreANewInstanceWhileTheOldOneIsHeld) {
  const std::string counting = "static long count = 0;\nextern \"C\" long answer() { return ++count; }\n";
  const SharedBytes one = workshop_.library("counter", counting);
  const SharedBytes two = workshop_.library("counter", counting + "int other;");
  repository_.native("counter", one);
  ASSERT_THAT(advance(), IsEmpty());
  const Pin old = executor_.pin();
  EXPECT_EQ(executor_.call("counter"), 1);
  repository_.native("counter", two);
  ASSERT_THAT(advance(), IsEmpty());
  repository_.native("counter", one);
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(executor_.call("counter"), 1);
  EXPECT_EQ((*old.function<long()>("counter", "answer"))(), 2);
}

TEST_F(Traps, StaticDestructorsRunWhenTheLastPinIsGone) {
  const std::string source =
      "extern \"C\" { long unset; long* ends = &unset; }\n"
      "struct Global { ~Global() { ++*ends; } };\nstatic Global global;\n";
  static long ends = 0;
  ends = 0;
  repository_.native("scorer", workshop_.library("scorer", source + answer(1)));
  ASSERT_THAT(advance(), IsEmpty());
  Pin pin = executor_.pin();
  *static_cast<long**>(*pin.symbol("scorer", "ends")) = &ends;
  const std::string former = path_of("scorer");
  repository_.native("scorer", workshop_.library("scorer", source + answer(2)));
  ASSERT_THAT(advance(), IsEmpty());
  EXPECT_EQ(ends, 0);
  pin.release();
  EXPECT_TRUE(executor_.drain());
  EXPECT_TRUE(eventually([&] { return is_forgotten(former); }));
  EXPECT_EQ(ends, 1);
  EXPECT_FALSE(std::filesystem::exists(former));
}

TEST_F(Traps, AMissingLibraryIsNamed) {
  workshop_.library("gone", dependency(1), {"-Wl,-soname,libgone.so.4"});
  repository_.native("top", workshop_.library("top", kDependent, {"-lgone"}));
  const auto failures = advance();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].error, "libgone.so.4: cannot open shared object file: No such file or directory");
}

// The refusal named the module that was not touched, and nothing else.
TEST_F(Traps, WhoNoLongerProvidesASymbolIsNamed) {
  const std::string base = "extern \"C\" int old_one() { return 1; }\n";
  const std::string rest = "extern \"C\" int other() { return 2; }\n";
  const std::string top = "extern \"C\" int old_one();\nextern \"C\" long answer() { return old_one(); }\n";
  repository_.native("base", workshop_.library("base", base + rest, {"-Wl,-soname,libbase.so"}));
  repository_.native("top", workshop_.library("top", top, {"-lbase", "-Wl,-soname,libtop.so"}), {"base"});
  ASSERT_THAT(advance(), IsEmpty());
  repository_.native("base", workshop_.library("base", rest, {"-Wl,-soname,libbase.so"}));
  const auto failures = advance();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].module, "top");
  EXPECT_EQ(failures[0].error, "undefined symbol: old_one; base 1 provided it, base 2 does not");
  EXPECT_EQ(executor_.call("top"), 1);
}

TEST_F(Traps, WhatDependsOnAFailedModuleIsNotBlamed) {
  repository_.native("dep", workshop_.library("dep",
                                              dependency(1) + "void nowhere();\nextern \"C\" void "
                                                              "f() { nowhere(); }",
                                              {"-Wl,-soname,libdep.so"}));
  repository_.native("top", workshop_.library("top", kDependent, {"-ldep", "-Wl,--allow-shlib-undefined"}),
                     {"dep"});
  const auto failures = advance();
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].module, "dep");
  EXPECT_EQ(failures[0].error, "undefined symbol: _Z7nowherev (nowhere())");
}

TEST_F(Traps, ATruncatedLibraryIsRefusedBeforeItIsMapped) {
  const SharedBytes whole = workshop_.library("scorer", answer(1));
  for (const std::size_t part : {std::size_t{100}, whole->size() / 4, whole->size() / 2}) {
    SCOPED_TRACE(part);
    repository_.native("scorer",
                       share(Bytes(whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(part))));
    EXPECT_EQ(advance().size(), 1U);
  }
}

}  // namespace
}  // namespace moddev
