// Static initialisers that throw, crash, end the process or hang, in real libraries: they do so in a child
// process, and this one goes on and says why.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "client/src/trials.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using testing::eventually;
using testing::Executor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Repository;
using ::testing::StartsWith;
using testing::Workshop;

/// fork() calls of this process. The handler runs in the keeper, which is in the same memory.
std::atomic<int> g_forks{0};
void count_fork() {
  ++g_forks;
}

std::string answer(int number) {
  return "extern \"C\" long answer() { return " + std::to_string(number) + "; }\n";
}

/// A library that runs `statements` while it is loaded.
std::string initialiser(const std::string& statements) {
  return "#include <cstdlib>\n#include <stdexcept>\n#include <unistd.h>\n#include <signal.h>\n"
         "static int initialised = []() -> int { " +
         statements + " return getpid() > 0; }();\n" + answer(7) +
         "extern \"C\" long was_initialised() { return initialised; }\n";
}

[[maybe_unused]] const int g_counting = ::pthread_atfork(count_fork, nullptr, nullptr);

class Trial : public ::testing::Test {
 protected:
  /// The failure of a version that follows a good one, which must go on.
  std::string failure_of(const std::string& source) {
    repository_.native("scorer", workshop_.library("scorer", answer(1)));
    EXPECT_THAT(executor_.advance(repository_), IsEmpty());
    repository_.native("scorer", workshop_.library("scorer", source));
    const auto failures = executor_.advance(repository_);
    EXPECT_EQ(executor_.call("scorer"), 1);
    if (failures.size() != 1) return std::to_string(failures.size()) + " failures";
    EXPECT_EQ(failures[0].module, "scorer");
    return failures[0].error;
  }

  Workshop workshop_;
  Executor executor_{workshop_.directory() / "images", {.enabled = true, .patience = milliseconds(1500)}};
  Repository repository_;
};

TEST_F(Trial, AnExceptionIsToldWithWhatItSays) {
  EXPECT_THAT(
      failure_of(initialiser("throw std::runtime_error(\"boom in init\");")),
      StartsWith("its static initialisers threw: boom in init (std::runtime_error). That was a trial in "
                 "a child process"));
  EXPECT_THAT(failure_of(initialiser("throw 5;")),
              StartsWith("its static initialisers threw: an object of type int."));
  EXPECT_THAT(failure_of(initialiser("throw \"text\";")),
              StartsWith("its static initialisers threw: an object of type char const*."));
}

TEST_F(Trial, ASignalIsToldWithItsName) {
  EXPECT_THAT(failure_of(initialiser("*(volatile int*)8 = 1;")),
              StartsWith("its static initialisers ended the process: signal 11 (SIGSEGV)."));
  EXPECT_THAT(failure_of(initialiser("abort();")),
              StartsWith("its static initialisers ended the process: signal 6 (SIGABRT)."));
}

TEST_F(Trial, AHandlerOfTheProgramDoesNotHideACrash) {
  struct sigaction ours {};
  struct sigaction before {};
  ours.sa_handler = [](int) { ::_exit(0); };
  ::sigaction(SIGSEGV, &ours, &before);
  const std::string told = failure_of(initialiser("*(volatile int*)8 = 1;"));
  ::sigaction(SIGSEGV, &before, nullptr);
  EXPECT_THAT(told, StartsWith("its static initialisers ended the process: signal 11 (SIGSEGV)."));
}

TEST_F(Trial, AnExitIsToldWithItsCode) {
  EXPECT_THAT(failure_of(initialiser("_exit(3);")),
              StartsWith("its static initialisers ended the process: exit code 3."));
  EXPECT_THAT(failure_of(initialiser("quick_exit(4);")),
              StartsWith("its static initialisers ended the process: they called exit()."));
}

TEST_F(Trial, AnInitialiserThatCallsExitDoesNotRunWhatTheProgramDoesAtItsEnd) {
  static auto* const ends = static_cast<std::atomic<int>*>(
      ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(static_cast<void*>(ends), MAP_FAILED);
  ASSERT_EQ(std::atexit([] { ++*ends; }), 0);
  EXPECT_THAT(failure_of(initialiser("exit(3);")),
              StartsWith("its static initialisers ended the process: they called exit()."));
  EXPECT_EQ(ends->load(), 0);
}

TEST_F(Trial, AHangIsEndedAfterThePatience) {
  EXPECT_THAT(failure_of(initialiser("for (;;) pause();")),
              StartsWith("its static initialisers did not end within 1.5 s."));
}

TEST_F(Trial, ACrashWhenUnloadedIsFoundBeforeItIsLoaded) {
  EXPECT_THAT(
      failure_of("struct Object { ~Object() { *(volatile int*)8 = 1; } };\nObject object;\n" + answer(2)),
      StartsWith("its static destructors ended the process: signal 11 (SIGSEGV)."));
}

TEST_F(Trial, GoodInitialisersRunOnceInThisProcessAndPassOnlyOneTrial) {
  const std::string counting =
      "#include <iostream>\n#include <string>\n#include <vector>\n"
      "static std::vector<std::string> names{\"a\", \"b\"};\nstatic long runs = [] { static long n; return "
      "++n; "
      "}();\nextern \"C\" long answer() { return 100 * runs + (long)names.size(); }\n";
  const SharedBytes library = workshop_.library("scorer", counting);
  const int before = g_forks;
  repository_.native("scorer", library);
  ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  EXPECT_EQ(executor_.call("scorer"), 102);
  EXPECT_EQ(g_forks, before + 1);

  repository_.native("scorer", workshop_.library("scorer", answer(1)));
  ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  repository_.native("scorer", library);
  ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  EXPECT_EQ(executor_.call("scorer"), 102);
  EXPECT_EQ(g_forks, before + 1);
}

TEST_F(Trial, WithoutInitialisersOfItsOwnALibraryIsNotTried) {
  const int before = g_forks;
  for (const std::string linker : {"bfd", "gold", "lld", "mold"}) {
    repository_.native("scorer", workshop_.library("scorer", answer(1), {"-fuse-ld=" + linker}));
    ASSERT_THAT(executor_.advance(repository_), IsEmpty());
    repository_.native(
        "scorer", workshop_.library("scorer", answer(1), {"-s", "-fcf-protection", "-fuse-ld=" + linker}));
    ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  }
  EXPECT_EQ(g_forks, before);
}

TEST_F(Trial, CodeIsFoundHoweverItGetsToRun) {
  const std::string crash = "extern \"C\" void crash() { *(volatile int*)8 = 1; }\n";
  const auto signal = StartsWith("its static initialisers ended the process: signal 11");
  EXPECT_THAT(
      failure_of("__attribute__((constructor)) static void f() { *(volatile int*)8 = 1; }\n" + answer(2)),
      signal);
  repository_.native("scorer", workshop_.library("scorer", crash + answer(2), {"-Wl,-init=crash"}));
  auto failures = executor_.advance(repository_);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, signal);
  // Nothing of the compiler's own: then the only entry is the author's.
  repository_.native(
      "scorer",
      workshop_.library(
          "scorer", "__attribute__((constructor)) static void f() { *(volatile int*)8 = 1; }\n" + answer(3),
          {"-nostartfiles"}));
  failures = executor_.advance(repository_);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, signal);
}

TEST_F(Trial, WhatFailedIsInQuarantineUntilItsBytesChange) {
  const std::string bad = initialiser("_exit(3);");
  const std::string first = failure_of(bad);
  const int forks = g_forks;
  const auto again = executor_.advance(repository_);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(again[0].error, first);
  EXPECT_EQ(g_forks, forks);
  repository_.native("scorer", workshop_.library("scorer", initialiser("")));
  EXPECT_THAT(executor_.advance(repository_), IsEmpty());
  EXPECT_EQ(executor_.call("scorer", "was_initialised"), 1);
}

TEST_F(Trial, WhatFailedBecauseOfADependencyIsTriedAgainWhenThatChanges) {
  const auto build = [&](int number) {
    repository_.native(
        "dep",
        workshop_.library("dep", "extern \"C\" int value() { return " + std::to_string(number) + "; }\n",
                          {"-Wl,-soname,libdep.so"}));
    repository_.native(
        "top",
        workshop_.library("top",
                          "#include <unistd.h>\nextern \"C\" int value();\nstatic int v = []{ if "
                          "(value() == 13) _exit(13); return value(); }();\n"
                          "extern \"C\" long answer() { return v; }\n",
                          {"-ldep"}),
        {"dep"});
  };
  build(13);
  const auto failures = executor_.advance(repository_);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_EQ(failures[0].module, "top");
  EXPECT_THAT(failures[0].error, HasSubstr("exit code 13"));
  build(14);
  ASSERT_THAT(executor_.advance(repository_), IsEmpty());
  EXPECT_EQ(executor_.call("top"), 14);
}

TEST_F(Trial, AllThatFailAreToldTogetherAndNobodyElseIsBlamed) {
  repository_.native(
      "bad", workshop_.library("bad", initialiser("_exit(1);") + "extern \"C\" int value() { return 1; }\n",
                               {"-Wl,-soname,libbad.so"}));
  repository_.native("good", workshop_.library("good", initialiser("")));
  repository_.native(
      "top",
      workshop_.library("top", "extern \"C\" int value();\nstatic int v = value();\n" + answer(2), {"-lbad"}),
      {"bad"});
  repository_.native("worse", workshop_.library("worse", initialiser("abort();")));
  const auto failures = executor_.advance(repository_);
  ASSERT_EQ(failures.size(), 2U);
  EXPECT_EQ(failures[0].module, "bad");
  EXPECT_THAT(failures[0].error, HasSubstr("exit code 1."));
  EXPECT_EQ(failures[1].module, "worse");
  EXPECT_THAT(failures[1].error, HasSubstr("SIGABRT"));
}

TEST_F(Trial, TheProgramSeesNoChildAndNoSignal) {
  static std::atomic<int> signals{0};
  struct sigaction ours {};
  struct sigaction before {};
  ours.sa_handler = [](int) { ++signals; };
  ::sigaction(SIGCHLD, &ours, &before);
  Repository repository;
  const SharedBytes good = workshop_.library("scorer", initialiser(""));
  signals = 0;  // the compiler's
  // It is busy looking for children all the while, as a shell or a supervisor is.
  std::atomic<bool> end{false};
  std::atomic<int> seen{0};
  std::thread waiting([&] {
    while (!end) {
      if (::waitpid(-1, nullptr, WNOHANG) > 0) ++seen;
      std::this_thread::yield();
    }
  });
  repository.native("scorer", good);
  const int forks = g_forks;
  EXPECT_THAT(executor_.advance(repository), IsEmpty());
  end = true;
  waiting.join();
  ::sigaction(SIGCHLD, &before, nullptr);
  EXPECT_GT(g_forks, forks);
  EXPECT_EQ(signals, 0);
  EXPECT_EQ(seen, 0);
}

TEST_F(Trial, AProgramThatIgnoresItsChildrenGetsTheSameAnswers) {
  struct sigaction ignore {};
  struct sigaction before {};
  const SharedBytes bad = workshop_.library("scorer", initialiser("_exit(3);"));
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, &before);
  repository_.native("scorer", bad);
  const auto failures = executor_.advance(repository_);
  ::sigaction(SIGCHLD, &before, nullptr);
  ASSERT_EQ(failures.size(), 1U);
  EXPECT_THAT(failures[0].error, HasSubstr("exit code 3."));
}

TEST_F(Trial, ThreadsThatAllocateAllTheWhileDoNotHangIt) {
  std::atomic<bool> end{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 3; ++i) {
    busy.emplace_back([&] {
      while (!end) {
        std::vector<std::string> all;
        for (std::size_t n = 0; n < 50; ++n) all.emplace_back(n * 40, 'x');
      }
    });
  }
  const SharedBytes library =
      workshop_.library("scorer",
                        "#include <map>\n#include <string>\nstatic std::map<int, std::string> all = [] { "
                        "std::map<int, std::string> m; for (int "
                        "i = 0; i < 500; ++i) m[i] = std::string(i * 10, 'y'); return m; }();\n" +
                            answer(3));
  const std::string path = workshop_.library_path("scorer");
  const std::atomic<bool> cancelled{false};
  const std::vector<TrialImage> images{{path}};
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(run_trial(images, milliseconds(20'000), cancelled).kind, TrialEnd::Kind::kPassed);
  }
  end = true;
  for (std::thread& thread : busy) thread.join();
}

TEST_F(Trial, AnotherThreadInTheMiddleOfLoadingIsNotInTheWay) {
  const std::string sign = workshop_.directory() / "go";
  const std::string begun = workshop_.directory() / "begun";
  workshop_.library("slow", "#include <fcntl.h>\n" + initialiser("close(open(\"" + begun +
                                                                 "\", O_CREAT, 0600)); while (access(\"" +
                                                                 sign + "\", F_OK) != 0) usleep(1000);"));
  workshop_.library("good", initialiser(""));
  std::thread other([&] {
    if (void* handle = ::dlopen(workshop_.library_path("slow").c_str(), RTLD_NOW)) ::dlclose(handle);
  });
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(begun); }));
  const std::atomic<bool> cancelled{false};
  const std::vector<TrialImage> images{{workshop_.library_path("good")}};
  EXPECT_EQ(run_trial(images, milliseconds(20'000), cancelled).kind, TrialEnd::Kind::kPassed);
  testing::write_file(sign, {});
  other.join();
}

TEST_F(Trial, ALockThatAnotherThreadHeldForAMomentIsNotTakenForAHang) {
  // Held when the first child is made, free when a further one is.
  const std::string held = workshop_.directory() / "held";
  workshop_.library("good", initialiser("if (access(\"" + held + "\", F_OK) == 0) { unlink(\"" + held +
                                        "\"); for (;;) pause(); }"));
  testing::write_file(held, {});
  const std::atomic<bool> cancelled{false};
  const std::vector<TrialImage> images{{workshop_.library_path("good")}};
  EXPECT_EQ(run_trial(images, milliseconds(20'000), cancelled).kind, TrialEnd::Kind::kPassed);
}

TEST_F(Trial, WhatIsPrintedIsPrintedOnce) {
  ::testing::internal::CaptureStdout();
  repository_.native(
      "scorer",
      workshop_.library(
          "scorer", "#include <cstdio>\nstatic int said = (std::puts(\"loaded\"), std::fflush(stdout));\n" +
                        answer(1)));
  const auto failures = executor_.advance(repository_);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "loaded\n");
  EXPECT_THAT(failures, IsEmpty());
}

TEST(TrialText, SaysWhatHappened) {
  TrialEnd end;
  EXPECT_EQ(explain_trial(end, milliseconds(5000)), "");
  end.kind = TrialEnd::Kind::kHung;
  EXPECT_THAT(explain_trial(end, milliseconds(5000)),
              StartsWith("its static initialisers did not end within 5 s."));
  end.kind = TrialEnd::Kind::kSignal;
  end.number = 40;
  EXPECT_THAT(explain_trial(end, milliseconds(5000)),
              StartsWith("its static initialisers ended the process: signal 40."));
}

TEST(TrialsKnown, TheOldestAreForgottenBeyondTheLimit) {
  Workshop workshop;
  workshop.library("bad", initialiser("_exit(3);"));
  Trials trials;
  const TrialImage missing{workshop.directory() / "absent.so"};
  const auto try_number = [&](std::size_t number, const TrialImage& image) {
    const std::vector<TrialCandidate> one{{digest_of(as_bytes(std::to_string(number))), image}};
    return trials.first_refusal(one).has_value();
  };
  EXPECT_TRUE(try_number(0, {workshop.library_path("bad")}));
  EXPECT_TRUE(try_number(0, missing));  // known
  std::vector<TrialCandidate> many;
  for (std::size_t i = 1; i <= kTrialsRemembered; ++i)
    many.push_back({digest_of(as_bytes(std::to_string(i))), missing});
  EXPECT_FALSE(trials.first_refusal(many).has_value());
  EXPECT_FALSE(try_number(0, missing));  // forgotten, and tried again
}

// ------------------------------------------------------------------------------------ code that does not
// return

TEST(LoaderEnd, ATrialThatHangsIsGivenUp) {
  Workshop workshop;
  auto executor = std::make_unique<Executor>(
      workshop.directory() / "images", TrialOptions{.enabled = true, .patience = milliseconds(3'600'000)});
  Repository repository;
  repository.native("scorer", workshop.library("scorer", initialiser("for (;;) pause();")));
  const int forks = g_forks;
  executor->loader().prepare({repository.commit(), nullptr, repository.bytes()});
  EXPECT_TRUE(eventually([&] { return g_forks > forks; }));
  executor.reset();
  EXPECT_EQ(loaders_left_behind(), 0U);
}

TEST(LoaderEnd, AnInitialiserThatHangsIsLeftBehindWithAllItNeeds) {
  Workshop workshop;
  const std::string sign = workshop.directory() / "go";
  const std::string begun = workshop.directory() / "begun";
  auto executor = std::make_unique<Executor>(workshop.directory() / "images", TrialOptions{.enabled = false});
  Repository repository;
  repository.native(
      "scorer", workshop.library(
                    "scorer", "#include <fcntl.h>\n" + initialiser("close(open(\"" + begun +
                                                                   "\", O_CREAT, 0600)); while (access(\"" +
                                                                   sign + "\", F_OK) != 0) usleep(1000);")));
  executor->loader().prepare({repository.commit(), nullptr, repository.bytes()});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(begun); }));
  const TimePoint now = SystemClock().now();
  EXPECT_THAT(executor->loader().notes(now - std::chrono::minutes(1)), IsEmpty());
  EXPECT_THAT(executor->loader().notes(now + kModulePatience),
              ElementsAre(StartsWith(
                  "An initialiser or a hook of version 1 of module 'scorer' has not returned within "
                  "2 s. Nothing newer can be loaded there until it does;")));
  executor.reset();  // and its cache
  EXPECT_EQ(loaders_left_behind(), 1U);
  testing::write_file(sign, {});
  EXPECT_TRUE(eventually([] { return loaders_left_behind() == 0; }));
}

TEST(LoaderEnd, ADestructorThatHangsIsLeftBehind) {
  Workshop workshop;
  const std::string sign = workshop.directory() / "go";
  auto executor = std::make_unique<Executor>(workshop.directory() / "images", TrialOptions{.enabled = false});
  Repository repository;
  repository.native(
      "scorer",
      workshop.library("scorer", "#include <unistd.h>\nstruct Object { ~Object() { while (access(\"" + sign +
                                     "\", F_OK) != 0) usleep(1000); } } object;\n" + answer(1)));
  ASSERT_THAT(executor->advance(repository), IsEmpty());
  executor.reset();
  EXPECT_EQ(loaders_left_behind(), 1U);
  testing::write_file(sign, {});
  EXPECT_TRUE(eventually([] { return loaders_left_behind() == 0; }));
}

}  // namespace
}  // namespace moddev
