// The libraries of traps_test.cc without moddev: if these fail, the traps are gone, and the tests there prove
// nothing.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using testing::Workshop;

std::string answer(int number) {
  return "extern \"C\" long answer() { return " + std::to_string(number) + "; }\n";
}
std::string dependency(int number) {
  return "extern \"C\" long value() { return " + std::to_string(number) + "; }\n";
}
const std::string kDependent =
    "extern \"C\" long value();\nextern \"C\" long answer() { return 10 * value(); }\n";

class DlopenAlone : public ::testing::Test {
 protected:
  void* open(const std::string& name, const std::string& directory) {
    const auto copy = workshop_.directory() / directory / ("lib" + name + ".so");
    std::filesystem::create_directories(copy.parent_path());
    std::filesystem::copy_file(workshop_.library_path(name), copy);
    void* handle = ::dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(handle, nullptr) << ::dlerror();
    return handle;
  }
  static long call(void* handle) { return reinterpret_cast<long (*)()>(::dlsym(handle, "answer"))(); }
  Workshop workshop_;
};

TEST_F(DlopenAlone, HandsOutTheOldVersionForAnEqualPath) {
  workshop_.library("alone", answer(1));
  void* const one = open("alone", "here");
  workshop_.library("alone", answer(2));
  std::filesystem::remove(workshop_.directory() / "here" / "libalone.so");
  void* const two = open("alone", "here");
  EXPECT_EQ(call(one), 1);
  EXPECT_EQ(call(two), 1);
  ::dlclose(one);
  ::dlclose(two);
}

TEST_F(DlopenAlone, BindsANewLibraryToTheOldOneThatItNeeds) {
  const auto build = [&](int number) {
    workshop_.library("needed", dependency(number), {"-Wl,-soname,libneeded.so"});
    workshop_.library("needing", kDependent + "int made_for_" + std::to_string(number) + ";",
                      {"-lneeded", "-Wl,-rpath,$ORIGIN"});
  };
  build(1);
  std::vector<void*> handles{open("needed", "one"), open("needing", "one")};
  build(2);
  handles.push_back(open("needed", "two"));
  handles.push_back(open("needing", "two"));
  EXPECT_EQ(call(handles.back()), 10);
  for (void* handle : handles) ::dlclose(handle);
}

TEST_F(DlopenAlone, GoesOnWithTheStaticsOfTheOldVersion) {
  const std::string source = "inline long& only_once() { static long count = 0; return count; }\n";
  workshop_.library("once", source + "extern \"C\" long answer() { return ++only_once(); }",
                    {"-fgnu-unique"});
  void* const one = open("once", "one");
  EXPECT_EQ(call(one), 1);
  workshop_.library("once", source + "extern \"C\" long answer() { return 10 + ++only_once(); }",
                    {"-fgnu-unique"});
  void* const two = open("once", "two");
  EXPECT_EQ(call(two), 12);
  ::dlclose(two);
  ::dlclose(one);
}

TEST_F(DlopenAlone, DoesNotUnmapWhatHasAThreadLocalDestructorPending) {
  workshop_.library("local",
                    "struct Object { long value = 0; ~Object() { value = 0; } };\n"
                    "static thread_local Object object;\n"
                    "extern \"C\" long answer() { return ++object.value; }\n");
  void* const handle = open("local", "one");
  EXPECT_EQ(call(handle), 1);
  ::dlclose(handle);
  const auto path = workshop_.directory() / "one" / "liblocal.so";
  void* const again = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
  EXPECT_NE(again, nullptr);
  if (again != nullptr) ::dlclose(again);
}

TEST_F(DlopenAlone, LetsGlobalSymbolsOfTheOldVersionCaptureCallsOfTheNew) {
  const auto source = [](int number) {
    return "extern \"C\" long inner() { return " + std::to_string(number) +
           "; }\nextern \"C\" long answer() { return inner(); }\n";
  };
  workshop_.library("global", source(1), {"-fsemantic-interposition"});
  void* const one = open("global", "one");
  ::dlopen((workshop_.directory() / "one" / "libglobal.so").c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  workshop_.library("global", source(2), {"-fsemantic-interposition"});
  void* const two = open("global", "two");
  EXPECT_EQ(call(two), 1);
  ::dlclose(two);
  ::dlclose(one);
  ::dlclose(one);
}

}  // namespace
}  // namespace moddev
