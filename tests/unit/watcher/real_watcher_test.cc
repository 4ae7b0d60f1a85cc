// The watcher on a real directory, with inotify and with polling: writers of every kind.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/support/watcher/real_world.h"
#include "watcher/limits.h"

namespace moddev::watcher {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::RealWorld;
using testing::write_file;

class RealWatcher : public ::testing::TestWithParam<const char*> {
 protected:
  RealWatcher() : world(GetParam()) {}
  bool holds(const std::string& path, const std::string& content) {
    return world.run_until([&] {
      const auto found = world.listener.holds.find(path);
      return found != world.listener.holds.end() && found->second == content;
    });
  }
  bool holds_what_is_on_disk() {
    return world.run_until([&] { return world.listener.holds == testing::files_below(world.root); });
  }
  RealWorld world;
};
INSTANTIATE_TEST_SUITE_P(Backends, RealWatcher, ::testing::Values("inotify", "polling"),
                         [](const auto& backend) { return std::string(backend.param); });

TEST_P(RealWatcher, WrittenInPlaceRenamedAndRemoved) {
  write_file(world.path("a.txt"), "there before");
  ASSERT_TRUE(world.start());
  EXPECT_TRUE(holds("a.txt", "there before"));
  write_file(world.path("a.txt"), "in place");
  EXPECT_TRUE(holds("a.txt", "in place"));
  write_file(world.path(".mold-x"), "renamed into place");
  fs::rename(world.path(".mold-x"), world.path("a.txt"));
  EXPECT_TRUE(holds("a.txt", "renamed into place"));
  fs::remove(world.path("a.txt"));
  EXPECT_TRUE(world.run_until([&] { return world.listener.holds.empty(); }));
  EXPECT_TRUE(world.run_until([&] { return world.watcher->idle(); }));
  EXPECT_EQ(world.listener.empty_changes, 0);
}

TEST_P(RealWatcher, DirectoriesMadeWhileWatching) {
  ASSERT_TRUE(world.start());
  fs::create_directories(world.path("a/b/c"));
  write_file(world.path("a/b/c/f.txt"), "1");
  EXPECT_TRUE(holds("a/b/c/f.txt", "1"));
  write_file(world.path("a/b/c/f.txt"), "22");
  EXPECT_TRUE(holds("a/b/c/f.txt", "22"));
  fs::rename(world.path("a/b"), world.path("moved"));
  EXPECT_TRUE(holds_what_is_on_disk());
  fs::rename(world.path("moved"), world.directory.path() / "outside");
  EXPECT_TRUE(holds_what_is_on_disk());
  write_file(world.directory.path() / "outside/c/f.txt", "333");
  fs::rename(world.directory.path() / "outside", world.path("back"));
  EXPECT_TRUE(holds("back/c/f.txt", "333"));
}

TEST_P(RealWatcher, TheRootIsDeletedAndMadeAgain) {
  write_file(world.path("a.txt"), "1");
  ASSERT_TRUE(world.start());
  fs::remove_all(world.root);
  ASSERT_TRUE(world.run_until([&] { return world.listener.warned("root-gone"); }));
  fs::create_directory(world.root);
  write_file(world.path("b.txt"), "2");
  EXPECT_TRUE(holds_what_is_on_disk());
  write_file(world.path("b.txt"), "3");
  EXPECT_TRUE(holds("b.txt", "3"));
}

TEST_P(RealWatcher, AnOpenWriterIsWaitedFor) {
  ASSERT_TRUE(world.start());
  const int fd = ::open(world.path("a.txt").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::write(fd, "half", 4), 4);
  world.run(milliseconds(400));
  EXPECT_THAT(world.listener.history["a.txt"], IsEmpty());
  ASSERT_EQ(::write(fd, "whole", 5), 5);
  ::close(fd);
  EXPECT_TRUE(holds("a.txt", "halfwhole"));
  EXPECT_THAT(world.listener.history["a.txt"], ElementsAre("halfwhole"));
}

TEST_P(RealWatcher, AMappingKeepsAFileUnfinishedAfterItsDescriptorIsClosed) {
  ASSERT_TRUE(world.start());
  const int fd = ::open(world.path("a.txt").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_EQ(::ftruncate(fd, 8192), 0);
  void* mapping = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(mapping, MAP_FAILED);
  ::close(fd);
  std::fill_n(static_cast<char*>(mapping), 8192, 'x');
  world.run(milliseconds(400));
  std::fill_n(static_cast<char*>(mapping) + 4096, 4096, 'y');
  world.run(milliseconds(100));
  EXPECT_THAT(world.listener.history["a.txt"], IsEmpty());
  ::munmap(mapping, 8192);
  EXPECT_TRUE(holds("a.txt", std::string(4096, 'x') + std::string(4096, 'y')));
}

TEST_P(RealWatcher, AChildThatInheritedTheDescriptorKeepsAFileUnfinished) {
  ASSERT_TRUE(world.start());
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const int fd = ::open(world.path("a.txt").c_str(), O_WRONLY | O_CREAT, 0644);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    ::close(gate[1]);
    (void)!::read(gate[0], &byte, 1);
    (void)!::write(fd, "child", 5);
    ::_exit(0);
  }
  ASSERT_EQ(::write(fd, "parent", 6), 6);
  ::close(fd);
  world.run(milliseconds(300));
  EXPECT_THAT(world.listener.history["a.txt"], IsEmpty());
  ::close(gate[0]);
  ::close(gate[1]);
  EXPECT_TRUE(holds("a.txt", "parentchild"));
  ::waitpid(child, nullptr, 0);
}

TEST_P(RealWatcher, TruncateOfAPathIsNoticed) {
  write_file(world.path("a.txt"), "0123456789");
  ASSERT_TRUE(world.start());
  fs::resize_file(world.path("a.txt"), 4);
  EXPECT_TRUE(holds("a.txt", "0123"));
}

TEST_P(RealWatcher, ExchangeOfTwoFiles) {
  write_file(world.path("a.txt"), "A");
  write_file(world.path("b.txt"), "B");
  ASSERT_TRUE(world.start());
  ASSERT_EQ(::syscall(SYS_renameat2, AT_FDCWD, world.path("a.txt").c_str(), AT_FDCWD,
                      world.path("b.txt").c_str(), RENAME_EXCHANGE),
            0);
  EXPECT_TRUE(holds("a.txt", "B"));
  EXPECT_TRUE(holds("b.txt", "A"));
}

TEST_P(RealWatcher, SymlinksInsideAndRetargeted) {
  write_file(world.path("liba.txt.1"), "one");
  write_file(world.path("liba.txt.2"), "two");
  fs::create_symlink("liba.txt.1", world.path("liba.txt"));
  ASSERT_TRUE(world.start());
  EXPECT_TRUE(holds("liba.txt", "one"));
  fs::create_symlink("liba.txt.2", world.path(".mold-link"));
  fs::rename(world.path(".mold-link"), world.path("liba.txt"));
  EXPECT_TRUE(holds("liba.txt", "two"));
  write_file(world.path("liba.txt.2"), "three");
  EXPECT_TRUE(holds("liba.txt", "three"));
}

TEST_P(RealWatcher, ASyncTellsEverythingThatWasOnDisk) {
  ASSERT_TRUE(world.start());
  for (int i = 0; i < 20; ++i) {
    const std::string name = "f" + std::to_string(i % 3) + ".txt";
    write_file(world.path(name), std::string("round ") + std::to_string(i));
    ASSERT_TRUE(world.sync());
    EXPECT_EQ(world.listener.holds[name], "round " + std::to_string(i));
  }
  EXPECT_THAT(testing::files_below(world.root), ::testing::SizeIs(3));
}

TEST_P(RealWatcher, AHardLinkOutsideIsFoundByASync) {
  write_file(world.path("a.txt"), "one");
  ASSERT_TRUE(world.start());
  fs::create_hard_link(world.path("a.txt"), world.directory.path() / "behind.txt");
  write_file(world.directory.path() / "behind.txt", "two");
  ASSERT_TRUE(world.sync());
  EXPECT_EQ(world.listener.holds["a.txt"], "two");
}

TEST_P(RealWatcher, SpecialFilesDoNotStopTheWatcher) {
  ASSERT_EQ(::mkfifo(world.path("pipe.txt").c_str(), 0600), 0);
  fs::create_symlink("nowhere", world.path("dangling.txt"));
  fs::create_symlink("loop.txt", world.path("loop.txt"));
  write_file(world.path("a.txt"), "fine");
  ASSERT_TRUE(world.start());
  EXPECT_THAT(world.listener.holds, ElementsAre(Pair("a.txt", "fine")));
  ASSERT_EQ(::mkfifo(world.path("pipe2.txt").c_str(), 0600), 0);
  write_file(world.path("a.txt"), "still fine");
  EXPECT_TRUE(holds("a.txt", "still fine"));
}

TEST_P(RealWatcher, CopiesAndToolsThatRewriteInPlace) {
  ASSERT_TRUE(world.start());
  ASSERT_EQ(testing::run_command("cp /bin/ls '" + world.path("ls.bin").string() + "'"), 0);
  EXPECT_TRUE(holds_what_is_on_disk());
  ASSERT_EQ(testing::run_command("cd '" + world.root.string() +
                                 "' && dd if=/dev/urandom of=r.bin bs=64k count=20 status=none"),
            0);
  EXPECT_TRUE(holds_what_is_on_disk());
  ASSERT_EQ(testing::run_command("cd '" + world.root.string() +
                                 "' && install -m 755 r.bin i.bin && sed -i s/a/b/ i.bin"),
            0);
  EXPECT_TRUE(holds_what_is_on_disk());
  EXPECT_EQ(world.listener.empty_changes, 0);
}

TEST(RealWatcherLimits, OverflowOfTheKernelsQueueLosesNothing) {
  RealWorld world;
  ASSERT_TRUE(world.start());
  // More events than fs.inotify.max_queued_events (16,384), read by nobody meanwhile.
  for (int i = 0; i < 9'000; ++i) {
    const std::string name = std::to_string(i % 300) + ".txt";
    write_file(world.path(name), std::to_string(i));
    fs::rename(world.path(name), world.path("r" + name));
  }
  write_file(world.path("last.txt"), "after the overflow");
  EXPECT_TRUE(world.run_until([&] { return world.listener.holds == testing::files_below(world.root); }));
}

TEST(RealWatcherLimits, EventsThatAreLostAreMadeUpForByAnOverflowOrASync) {
  RealWorld world;
  ASSERT_TRUE(world.start());
  world.events->overflow_next = true;
  write_file(world.path("a.txt"), "1");
  EXPECT_TRUE(world.run_until([&] { return world.listener.holds.contains("a.txt"); }));
  world.events->lose = [](const WatchEvent& event) { return event.path.find("cookie") == std::string::npos; };
  write_file(world.path("b.txt"), "2");
  ASSERT_TRUE(world.sync());
  EXPECT_TRUE(world.listener.holds.contains("b.txt"));
}

}  // namespace
}  // namespace moddev::watcher
