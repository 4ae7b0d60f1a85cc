// A real directory mutated at random by another thread, at full speed and with writers that take their time,
// while the watcher watches. At the end what was published must equal the disk, every published content must
// have been finished at some moment, and nothing may have been published twice in a row.
//
// An hour of a busy developer, in a few seconds: one who builds every 30 s, with 40 files a build, and saves
// sources in between makes about 5,000 changes of files; with as many renames, links and removals that is
// 10,000 mutations. MODDEV_MUTATIONS=2500 makes so many of the four seeds together, for each backend.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <tuple>

#include "tests/support/watcher/real_world.h"

namespace moddev::watcher {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::RealWorld;

class Vandal {
 public:
  Vandal(fs::path root, std::uint64_t seed) : root_(std::move(root)), random_(seed) {}

  /// For so long, and on a slow machine until so many are done and `enough` is set, within kSlowest. When
  /// `count` is not 0: exactly so many.
  void run(Duration length, int count, const std::atomic<bool>& enough) {
    const auto begin = std::chrono::steady_clock::now();
    const auto wanted = [&] {
      if (count != 0) return mutations_ < count;
      const Duration passed = std::chrono::steady_clock::now() - begin;
      return passed < length || (passed < kSlowest && (mutations_ <= kFewest || !enough));
    };
    while (wanted()) {
      mutate();
      ++mutations_;
    }
  }
  static constexpr int kFewest = 100;
  [[nodiscard]] const std::set<std::string>& finished() const { return finished_; }
  [[nodiscard]] int mutations() const { return mutations_; }

 private:
  static constexpr Duration kSlowest = seconds(60);

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  void pause() {
    if (pick(3) == 0) ::usleep(static_cast<useconds_t>(pick(3000)));
  }
  std::string content() {
    if (pick(6) == 0 && !last_.empty()) return last_;
    last_ = std::to_string(counter_++) + std::string(pick(4) == 0 ? 20'000 + pick(300'000) : pick(200), 'x');
    return last_;
  }
  fs::path place() {
    static constexpr std::array<const char*, 4> kDirectories = {"", "a", "a/b", "c"};
    return root_ / kDirectories[pick(kDirectories.size())] / ("f" + std::to_string(pick(5)) + ".txt");
  }

  void mutate() {
    std::error_code ignored;
    const fs::path path = place();
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
        return write_in_pieces(path);
      case 3:
      case 4:
        return replace(path);
      case 5:
        return write_mapped(path);
      case 6:
        fs::remove(path, ignored);
        return;
      case 7:
        fs::rename(path, place(), ignored);
        return;
      case 8:
        fs::create_directories(path.parent_path(), ignored);
        return;
      case 9:
        if (pick(6) == 0)
          fs::remove_all(root_ / (pick(2) == 0 ? "a/b" : "c"), ignored);
        else if (pick(3) == 0)
          fs::rename(root_ / "a/b", root_ / "c", ignored);
        else if (pick(3) == 0)
          fs::rename(root_ / "c", root_.parent_path() / "out", ignored);
        else
          fs::rename(root_.parent_path() / "out", root_ / "c", ignored);
        return;
      case 10:
        ::syscall(SYS_renameat2, AT_FDCWD, path.c_str(), AT_FDCWD, place().c_str(), RENAME_EXCHANGE);
        return;
      default: {
        const fs::path link = place();
        if (pick(2) == 0) fs::remove(link, ignored);
        fs::create_symlink("f" + std::to_string(pick(5)) + ".txt", link, ignored);
      }
    }
  }

  void write_in_pieces(const fs::path& path) {
    const int fd = ::open(path.c_str(),
                          O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (pick(2) == 0 ? O_TRUNC : 0), 0644);
    if (fd < 0) return;
    const std::string bytes = content();
    const std::size_t half = bytes.size() / 2;
    pause();
    (void)!::write(fd, bytes.data(), half);
    pause();
    (void)!::write(fd, bytes.data() + half, bytes.size() - half);
    if (::ftruncate(fd, static_cast<off_t>(bytes.size())) == 0) finished_.insert(bytes);
    ::close(fd);
  }
  void replace(const fs::path& path) {
    const fs::path temporary = path.parent_path() / ".mold-tmp";
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return;
    const std::string bytes = content();
    (void)!::write(fd, bytes.data(), bytes.size());
    finished_.insert(bytes);
    const bool close_first = pick(2) == 0;  // lld renames before it closes
    if (close_first) ::close(fd);
    (void)::rename(temporary.c_str(), path.c_str());
    if (!close_first) ::close(fd);
  }
  void write_mapped(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return;
    const std::string bytes = content();
    if (::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) std::abort();
    void* mapping = ::mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const bool close_first = pick(2) == 0;
    if (close_first) ::close(fd);
    if (mapping == MAP_FAILED) std::abort();
    const std::size_t half = bytes.size() / 2;
    std::memcpy(mapping, bytes.data(), half);
    pause();
    std::memcpy(static_cast<char*>(mapping) + half, bytes.data() + half, bytes.size() - half);
    finished_.insert(bytes);
    ::munmap(mapping, bytes.size());
    if (!close_first) ::close(fd);
  }

  fs::path root_;
  std::mt19937_64 random_;
  std::set<std::string> finished_;
  std::string last_;
  int counter_ = 0;
  int mutations_ = 0;
};

std::string difference(RealWorld& world) {
  const auto disk = testing::files_below(world.root);
  std::string text;
  for (const auto& [path, content] : disk)
    if (!world.listener.holds.contains(path) || world.listener.holds[path] != content)
      text += path + " is on disk: " + content.substr(0, 20) +
              ", told: " + world.listener.holds[path].substr(0, 20) +
              (fs::is_symlink(world.path(path)) ? " (a symlink)\n" : "\n");
  for (const auto& [path, content] : world.listener.holds)
    if (!disk.contains(path)) text += path + " was told: " + content.substr(0, 20) + "\n";
  return text;
}

class DiskModel : public ::testing::TestWithParam<std::tuple<const char*, std::uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Seeds, DiskModel,
                         ::testing::Combine(::testing::Values("inotify", "polling"),
                                            ::testing::Values(1, 2, 3, 4)));

TEST_P(DiskModel, WhatIsPublishedEqualsTheDiskAndWasFinished) {
  const auto [backend, seed] = GetParam();
  RealWorld world(backend);
  ASSERT_TRUE(world.start());
  Vandal vandal(world.root, seed);
  const std::size_t fewest = world.watcher->backend() == "polling" ? 4U : 20U;
  const auto published = [&] {
    std::size_t all = 0;
    for (const auto& [path, contents] : world.listener.history) all += contents.size();
    return all;
  };
  std::atomic<bool> done = false;
  std::atomic<bool> enough = false;
  std::thread thread([&] {
    vandal.run(milliseconds(testing::count_from_environment("MODDEV_MUTATION_MS", 1500)),
               testing::count_from_environment("MODDEV_MUTATIONS", 0), enough);
    done = true;
  });
  while (!world.run_until([&] {
    if (!enough) enough = published() > fewest;
    return done.load();
  })) {
  }
  thread.join();
  const auto equal = [&] { return world.listener.holds == testing::files_below(world.root); };
  EXPECT_TRUE(world.run_until(equal, seconds(5))) << "without a rescan:\n" << difference(world);
  ASSERT_TRUE(world.sync());
  EXPECT_TRUE(equal());
  for (const auto& [path, contents] : world.listener.history) {
    for (const std::string& content : contents)
      // An empty file that stays so for half a second is finished, too.
      EXPECT_TRUE(content.empty() || vandal.finished().contains(content))
          << path << ": " << content.substr(0, 60);
  }
  EXPECT_EQ(world.listener.empty_changes, 0);
  EXPECT_GT(vandal.mutations(), Vandal::kFewest);
  EXPECT_GT(published(), fewest);
  std::printf("%s: %d mutations, %zu contents published\n", backend, vandal.mutations(), published());
  RecordProperty("mutations", vandal.mutations());
  RecordProperty("published", static_cast<int>(published()));
}

}  // namespace
}  // namespace moddev::watcher
