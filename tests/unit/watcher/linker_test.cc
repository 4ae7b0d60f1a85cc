// Real linkers, run to their end, killed, and stopped for a while at random moments: nothing but the bytes of
// a finished link may be published, and a finished one must be. A linker that is not installed is skipped.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <random>
#include <set>

#include "tests/support/watcher/real_world.h"

extern char** environ;

namespace moddev::watcher {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::RealWorld;
using testing::run_command;

constexpr int kObjects = 6;
constexpr int kVariants = 3;
/// How many links are killed before their end: MODDEV_LINKS makes it more.
const int kRounds = testing::count_from_environment("MODDEV_LINKS", 24);

class Linker : public ::testing::TestWithParam<const char*> {
 protected:
  Linker() : program_(std::string("/usr/bin/") + GetParam()) {}

  void SetUp() override {
    if (!fs::exists(program_)) GTEST_SKIP() << program_ << " is not installed";
    for (int variant = 0; variant < kVariants; ++variant) {
      for (int i = 0; i < kObjects; ++i) {
        const std::string base = (objects_.path() / object(variant, i)).string();
        testing::write_file(base + ".c", "__asm__(\".section .rodata\\n.fill 500000,1," +
                                             std::to_string(variant * 10 + i) + "\\n.previous\\n\"); int f" +
                                             std::to_string(i) + "(void) { return " +
                                             std::to_string(variant) + "; }\n");
        ASSERT_EQ(run_command("cc -fPIC -g -c -o '" + base + ".o' '" + base + ".c'"), 0);
      }
      const auto start = clock_.now();
      const pid_t pid = start_link(variant, objects_.path() / "reference.so");
      int status = 0;
      ASSERT_EQ(::waitpid(pid, &status, 0), pid);
      ASSERT_EQ(status, 0);
      link_time_ = clock_.now() - start;
      references_.insert(testing::read_file(objects_.path() / "reference.so"));
    }
    ASSERT_EQ(references_.size(), static_cast<std::size_t>(kVariants));
  }

  static std::string object(int variant, int i) {
    return "v" + std::to_string(variant) + "-" + std::to_string(i);
  }

  pid_t start_link(int variant, const fs::path& output) {
    std::vector<std::string> words = {program_,  "-shared", "--build-id=sha1", "-soname",
                                      "libx.so", "-o",      output.string()};
    for (int i = 0; i < kObjects; ++i)
      words.push_back((objects_.path() / object(variant, i)).string() + ".o");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_t pid = -1;
    EXPECT_EQ(::posix_spawn(&pid, program_.c_str(), nullptr, nullptr, arguments.data(), environ), 0);
    return pid;
  }

  bool wait_for(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, WNOHANG) == 0) world_.run(milliseconds(2));
    return status == 0;
  }

  void expect_only_finished_links() {
    for (const auto& [path, contents] : world_.listener.history) {
      if (path != "libx.so") ADD_FAILURE() << "published besides: " << path;
      for (const std::string& content : contents)
        EXPECT_TRUE(references_.contains(content)) << content.size() << " bytes that no linker finished";
    }
    EXPECT_EQ(world_.listener.empty_changes, 0);
  }

  bool ends_on(const std::string& content) {
    return world_.run_until([&] { return world_.listener.holds["libx.so"] == content; });
  }

  const std::string program_;
  SystemClock clock_;
  testing::TemporaryDirectory objects_;
  std::set<std::string> references_;
  Duration link_time_{};
  RealWorld world_;
  std::mt19937_64 random_{20261125};
};
INSTANTIATE_TEST_SUITE_P(Debian, Linker, ::testing::Values("ld.bfd", "ld.gold", "ld.lld", "mold"),
                         [](const auto& linker) {
                           std::string name = linker.param;
                           std::ranges::replace(name, '.', '_');
                           return name;
                         });

TEST_P(Linker, RunsToItsEnd) {
  ASSERT_TRUE(world_.start());
  for (int round = 0; round < 6; ++round) {
    ASSERT_TRUE(wait_for(start_link(round % kVariants, world_.path("libx.so"))));
    EXPECT_TRUE(ends_on(testing::read_file(world_.path("libx.so"))));
  }
  expect_only_finished_links();
  EXPECT_EQ(world_.listener.history["libx.so"].size(), 6U);
}

TEST_P(Linker, IsKilledAtRandomMoments) {
  ASSERT_TRUE(world_.start());
  // Moments are drawn from about twice as long as a link takes at present: half of them come in time, and
  // every part of a link is hit, also its last.
  Duration window = 2 * link_time_;
  int killed = 0;
  int started = 0;
  while (killed < kRounds) {
    ASSERT_LT(started, 10 * kRounds) << "too few links can be killed in time";
    const pid_t pid = start_link(started++ % kVariants, world_.path("libx.so"));
    world_.run(Duration(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(window.count()))));
    ::kill(pid, SIGKILL);
    const bool in_time = !wait_for(pid);
    if (in_time) ++killed;
    window = in_time ? window * 21 / 20 : std::max<Duration>(window * 20 / 21, milliseconds(1));
    // A person would see what became of it.
    if (started % 4 == 0) world_.run(milliseconds(700));
  }
  std::printf("%s: %d links, %d of them killed before their end, %zu published\n", GetParam(), started,
              killed, world_.listener.history["libx.so"].size());
  ASSERT_TRUE(wait_for(start_link(0, world_.path("libx.so"))));
  EXPECT_TRUE(ends_on(testing::read_file(world_.path("libx.so"))));
  expect_only_finished_links();
}

TEST_P(Linker, IsStoppedAndContinuedAtRandomMoments) {
  ASSERT_TRUE(world_.start());
  for (int round = 0; round < std::min(kRounds, 100) / 4; ++round) {
    const pid_t pid = start_link(round % kVariants, world_.path("libx.so"));
    world_.run(
        Duration(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(link_time_.count()))));
    ::kill(pid, SIGSTOP);
    world_.run(milliseconds(200));
    ::kill(pid, SIGCONT);
    ASSERT_TRUE(wait_for(pid));
    EXPECT_TRUE(ends_on(testing::read_file(world_.path("libx.so"))));
  }
  expect_only_finished_links();
}

TEST(Tools, StripAndPatchelfRewriteALibrary) {
  RealWorld world;
  const std::string library = world.path("libx.so").string();
  const std::string source = (world.directory.path() / "x.c").string();
  testing::write_file(source, "int f(void) { return 1; }\n");
  ASSERT_EQ(run_command("cc -shared -fPIC -g -Wl,--build-id -o '" + library + "' '" + source + "'"), 0);
  ASSERT_TRUE(world.start());
  const auto told = [&] { return world.listener.holds["libx.so"] == testing::read_file(library); };
  ASSERT_EQ(run_command("strip '" + library + "'"), 0);
  EXPECT_TRUE(world.run_until(told));
  if (fs::exists("/usr/bin/patchelf")) {
    ASSERT_EQ(run_command("patchelf --set-soname liby.so '" + library + "'"), 0);
    EXPECT_TRUE(world.run_until(told));
  }
  // A copy that is cut off is refused, whatever it was cut off from, and the last good stays.
  const std::string good = testing::read_file(library);
  for (const std::size_t size : {std::size_t{0}, std::size_t{30}, good.size() / 2, good.size() - 1}) {
    testing::write_file(library, good.substr(0, size));
    ASSERT_TRUE(world.run_until([&] { return !world.listener.rejections.empty(); })) << size;
    EXPECT_EQ(world.listener.holds["libx.so"], good);
    world.listener.rejections.clear();
    testing::write_file(library, good);
    EXPECT_TRUE(world.run_until([&] { return world.watcher->idle(); }));
  }
  for (const auto& [path, contents] : world.listener.history) EXPECT_EQ(path, "libx.so");
}

}  // namespace
}  // namespace moddev::watcher
