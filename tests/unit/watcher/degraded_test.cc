// What becomes of the promises where the kernel gives less: no watches left, overlayfs, somebody else's
// files. Each in a child process that gives up what it takes (user and mount namespaces, its user id); where
// that is not permitted the test is skipped.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "tests/support/watcher/real_world.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

namespace fs = std::filesystem;
using testing::RealWorld;
using testing::write_file;

constexpr int kSkipped = 77;

/// Runs `scenario` in a child process; it returns "" when all is well, else what is not.
void in_child(const std::function<bool()>& give_up, const std::function<std::string()>& scenario) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!give_up()) ::_exit(kSkipped);
    const std::string wrong = scenario();
    if (!wrong.empty()) std::fprintf(stderr, "in the child: %s\n", wrong.c_str());
    ::_exit(wrong.empty() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == kSkipped) GTEST_SKIP() << "not permitted here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

bool write_to(const char* path, const std::string& text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return written;
}

const Warning* find(const std::vector<Warning>& warnings, const std::string& code) {
  for (const Warning& warning : warnings)
    if (warning.code == code) return &warning;
  return nullptr;
}

TEST(Degraded, WithoutWatchesItNamesTheLimitAndGoesOnByPolling) {
  in_child(
      [] { return ::unshare(CLONE_NEWUSER) == 0 && write_to("/proc/sys/user/max_inotify_watches", "3"); },
      []() -> std::string {
        RealWorld world;
        for (int i = 0; i < 6; ++i) fs::create_directory(world.path("d" + std::to_string(i)));
        if (!world.start()) return "it does not start";
        const Warning* warning = find(world.listener.warnings, "watch-limit");
        if (warning == nullptr) return "nobody is told";
        for (const char* part :
             {"4 of 7 directories", "fs.inotify.max_user_watches = ", "7 are needed", "sudo sysctl -w"})
          if (warning->message.find(part) == std::string::npos)
            return "not said: " + std::string(part) + " in " + warning->message;
        for (int i = 0; i < 6; ++i) write_file(world.path("d" + std::to_string(i) + "/f.txt"), "x");
        if (!world.run_until([&] { return world.listener.holds.size() == 6; })) return "changes are missed";
        return "";
      });
}

TEST(Degraded, WithoutInstancesItPollsAndSaysWhy) {
  in_child(
      [] { return ::unshare(CLONE_NEWUSER) == 0 && write_to("/proc/sys/user/max_inotify_instances", "0"); },
      []() -> std::string {
        const testing::TemporaryDirectory directory;
        auto files = PosixFileSystem::create(directory.path().string());
        auto wished = choose_backend("inotify", **files);
        if (wished.ok()) return "there is an instance";
        if (wished.error().message.find("fs.inotify.max_user_instances = ") == std::string::npos)
          return wished.error().message;
        auto chosen = choose_backend("auto", **files);
        if (!chosen.ok() || chosen->events->name() != "polling") return "no fallback";
        if (chosen->warnings.size() != 1 || chosen->warnings[0].code != "polling") return "nobody is told";
        return "";
      });
}

TEST(Degraded, OnOverlayfsAQuietTimeReplacesTheLease) {
  const testing::TemporaryDirectory base;
  in_child(
      [&] {
        if (::unshare(CLONE_NEWNS) != 0) return false;
        if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
        // On a tmpfs of its own, so that whatever is below does not matter.
        if (::mount("tmpfs", base.path().c_str(), "tmpfs", 0, nullptr) != 0) return false;
        for (const char* name : {"lower", "upper", "work", "merged"})
          fs::create_directory(base.path() / name);
        const std::string options = "lowerdir=" + (base.path() / "lower").string() +
                                    ",upperdir=" + (base.path() / "upper").string() +
                                    ",workdir=" + (base.path() / "work").string();
        return ::mount("overlay", (base.path() / "merged").c_str(), "overlay", 0, options.c_str()) == 0;
      },
      [&]() -> std::string {
        ::setenv("TMPDIR", (base.path() / "merged").c_str(), 1);
        RealWorld world("auto");
        if (world.watcher->backend() != "inotify") return "events are reliable there";
        if (!world.start()) return "it does not start";
        const TimePoint before = world.clock.now();
        write_file(world.path("a.txt"), "x");
        if (!world.run_until([&] { return world.listener.holds.contains("a.txt"); })) return "it is missed";
        if (world.clock.now() - before < limits::kFallbackQuiet) return "it does not wait";
        const Warning* warning = find(world.listener.warnings, "no-lease");
        if (warning == nullptr || warning->message.find("overlayfs") == std::string::npos)
          return "nobody is told";
        write_file(world.path("a.txt"), "y");
        if (!world.run_until([&] { return world.listener.holds["a.txt"] == "y"; }))
          return "the second is missed";
        return world.listener.warnings.size() == 1 ? "" : "told more than once";
      });
}

TEST(Degraded, SomebodyElsesFilesNeedAQuietTime) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  const testing::TemporaryDirectory base;
  ::chmod(base.path().c_str(), 0755);
  const fs::path root = base.path() / "roots";
  fs::create_directory(root);
  write_file(root / "a.txt", "root's");
  in_child(
      [] {
        return ::setgroups(0, nullptr) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
               ::setresuid(65534, 65534, 65534) == 0;
      },
      [&]() -> std::string {
        auto files = PosixFileSystem::create(root.string());
        if (!files.ok()) return files.error().message;
        auto backend = choose_backend("inotify", **files);
        MemoryBlobStore blobs;
        Watcher watcher({}, **files, *backend->events, blobs);
        testing::Listener listener(blobs);
        SystemClock clock;
        const TimePoint end = clock.now() + std::chrono::seconds(10);
        while (listener.batches.empty() && clock.now() < end) {
          const TimePoint due = watcher.step(clock.now());
          listener.take(watcher.take_output());
          ::usleep(static_cast<useconds_t>(std::clamp<std::int64_t>(to_us(due - clock.now()), 0, 10'000)));
        }
        if (listener.holds["a.txt"] != "root's") return "it is missed";
        const Warning* warning = find(listener.warnings, "no-lease");
        if (warning == nullptr) return "nobody is told";
        return warning->message.find("another user (uid 0)") != std::string::npos ? "" : warning->message;
      });
}

}  // namespace
}  // namespace moddev::watcher
