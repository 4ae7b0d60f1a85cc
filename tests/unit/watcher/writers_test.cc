// Writers of every kind, each in a process of its own, several at once, at random speed: slow ones, ones that
// map the file, ones that make room first, ones whose child keeps the descriptor, and copies that are killed
// in the middle. Only whole libraries may be published, and in the end what is whole on disk must be.
// MODDEV_WRITERS makes it more of them.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/watcher/real_world.h"

namespace moddev::watcher {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::RealWorld;

enum class Manner : std::uint8_t { kSlow, kMapped, kPreallocated, kInherited, kKilled };
constexpr std::size_t kManners = 5;
constexpr std::size_t kAtOnce = 6;

/// In the child, which has only async-signal-safe calls: writes `bytes` with pauses of up to `pause_us`.
void write_slowly(int fd, const std::string& bytes, unsigned pieces, useconds_t pause_us) {
  const std::size_t piece = bytes.size() / pieces + 1;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const std::size_t length = std::min(piece, bytes.size() - at);
    if (::write(fd, bytes.data() + at, length) != static_cast<ssize_t>(length)) ::_exit(1);
    ::usleep(pause_us);
  }
}

[[noreturn]] void run_writer(Manner manner, const char* path, const std::string& bytes, unsigned pieces,
                             useconds_t pause_us) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC, 0755);
  if (fd < 0) ::_exit(1);
  switch (manner) {
    case Manner::kSlow:
    case Manner::kKilled:
      write_slowly(fd, bytes, pieces, pause_us);
      break;
    case Manner::kInherited:
      // The child writes the end; the parent is long gone.
      write_slowly(fd, bytes.substr(0, bytes.size() / 2), pieces, pause_us);
      if (::fork() == 0) {
        ::usleep(pause_us * 4);
        write_slowly(fd, bytes.substr(bytes.size() / 2), pieces, pause_us);
        ::_exit(0);
      }
      break;
    case Manner::kPreallocated:
      if (::posix_fallocate(fd, 0, static_cast<off_t>(bytes.size())) != 0) ::_exit(1);
      write_slowly(fd, bytes, pieces, pause_us);
      break;
    case Manner::kMapped: {
      if (::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) ::_exit(1);
      void* const mapping = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (mapping == MAP_FAILED) ::_exit(1);
      ::close(fd);
      const std::size_t piece = bytes.size() / pieces + 1;
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        std::memcpy(static_cast<char*>(mapping) + at, bytes.data() + at, std::min(piece, bytes.size() - at));
        ::usleep(pause_us);
      }
      break;
    }
  }
  ::_exit(0);
}

class Writers : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int variant = 0; variant < 4; ++variant) {
      const std::string base = (directory.path() / std::to_string(variant)).string();
      testing::write_file(base + ".c", "__asm__(\".section .rodata\\n.fill " +
                                           std::to_string(3000 + variant * 90'000) +
                                           ",1,7\\n.previous\\n\"); int f(void) { return " +
                                           std::to_string(variant) + "; }\n");
      ASSERT_EQ(
          testing::run_command("cc -shared -fPIC -g -Wl,--build-id -o '" + base + ".so' '" + base + ".c'"),
          0);
      libraries.push_back(testing::read_file(base + ".so"));
    }
  }
  std::size_t pick(std::size_t below) { return random() % below; }

  testing::TemporaryDirectory directory;
  std::vector<std::string> libraries;
  std::mt19937_64 random{7};
};

TEST_F(Writers, OfEveryKindAreWaitedForAndNeverCaughtInTheMiddle) {
  RealWorld world;
  ASSERT_TRUE(world.start());
  const int total = testing::count_from_environment("MODDEV_WRITERS", 30);
  struct Running {
    pid_t pid = -1;
    int ended = -1;  // a pipe that the writer and its children hold open: two at once would mix their bytes
    bool doomed = false;
    TimePoint kill_at{};
  };
  std::map<std::string, Running> running;  // by path: one writer a file at a time
  std::array<int, kManners> count{};
  int started = 0;
  int killed = 0;
  while (started < total || !running.empty()) {
    while (started < total && running.size() < kAtOnce) {
      const std::string path = "libw" + std::to_string(pick(8)) + ".so";
      if (running.contains(path)) continue;
      const auto manner = static_cast<Manner>(pick(kManners));
      const std::string& bytes = libraries[pick(libraries.size())];
      const auto pieces = static_cast<unsigned>(1 + pick(8));
      const auto pause_us = static_cast<useconds_t>(pick(60'000));
      const std::string full = world.path(path).string();
      int ended[2];
      ASSERT_EQ(::pipe2(ended, O_NONBLOCK), 0);
      const pid_t pid = ::fork();
      if (pid == 0) run_writer(manner, full.c_str(), bytes, pieces, pause_us);
      ASSERT_GT(pid, 0);
      ::close(ended[1]);
      const bool doomed = manner == Manner::kKilled;
      running[path] = {pid, ended[0], doomed,
                       world.clock.now() + milliseconds(pick(pieces * pause_us / 1000 + 5))};
      ++count[static_cast<std::size_t>(manner)];
      ++started;
    }
    world.run(milliseconds(3));
    for (auto one = running.begin(); one != running.end();) {
      if (one->second.doomed && world.clock.now() >= one->second.kill_at) ::kill(one->second.pid, SIGKILL);
      char nothing = 0;
      if (::read(one->second.ended, &nothing, 1) < 0) {  // somebody holds it open
        ++one;
        continue;
      }
      int status = 0;
      ASSERT_EQ(::waitpid(one->second.pid, &status, 0), one->second.pid);
      if (WIFSIGNALED(status)) ++killed;
      ::close(one->second.ended);
      one = running.erase(one);
    }
  }
  const std::set<std::string> whole(libraries.begin(), libraries.end());
  // What is whole at last must be told.
  const auto missing = [&] {
    std::string names;
    for (const auto& [path, content] : testing::files_below(world.root))
      if (whole.contains(content) && world.listener.holds[path] != content) names += " " + path;
    return names;
  };
  EXPECT_TRUE(world.run_until([&] { return missing().empty(); }, seconds(20)))
      << "without a rescan:" << missing();
  ASSERT_TRUE(world.sync());
  EXPECT_EQ(missing(), "");
  std::size_t published = 0;
  for (const auto& [path, contents] : world.listener.history) {
    for (const std::string& content : contents) {
      ++published;
      EXPECT_TRUE(whole.contains(content)) << path << ": " << content.size() << " bytes of no whole library";
    }
  }
  EXPECT_EQ(world.listener.empty_changes, 0);
  std::printf(
      "%d writers (%d slow, %d mapped, %d preallocated, %d inherited, %d to be killed: %d were), "
      "%zu published\n",
      started, count[0], count[1], count[2], count[3], count[4], killed, published);
}

}  // namespace
}  // namespace moddev::watcher
