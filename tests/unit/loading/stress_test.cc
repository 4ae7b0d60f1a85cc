// Many reloads while threads call, and many reloads at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "client/src/native_images.h"
#include "tests/support/loading/executor.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using testing::eventually;
using testing::Executor;
using ::testing::IsEmpty;
using testing::Repository;
using testing::Workshop;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSlow = 20;
#else
constexpr int kSlow = 1;
#endif

/// A library whose number() can be chosen without compiling it again.
class Template {
 public:
  Template(Workshop& workshop, const std::string& name, const std::string& rest,
           const std::vector<std::string>& flags = {})
      : bytes_(*workshop.library(name,
                                 "extern \"C\" { extern const volatile long constant;\n"
                                 "const volatile long constant = 0x1122334455667788; }\n" +
                                     rest,
                                 flags)) {
    const std::int64_t mark = 0x1122334455667788;
    const auto pattern = std::as_bytes(std::span(&mark, 1));
    const auto found = std::search(bytes_.begin(), bytes_.end(), pattern.begin(), pattern.end());
    MODDEV_ASSERT(found != bytes_.end(), "the library has its constant");
    at_ = static_cast<std::size_t>(found - bytes_.begin());
  }
  [[nodiscard]] SharedBytes with(std::int64_t number) const {
    Bytes bytes = bytes_;
    std::memcpy(bytes.data() + at_, &number, sizeof number);
    return share(std::move(bytes));
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

TEST(Reloading, ThreadsThatCallThroughoutNeverSeeTwoEpochsInOnePin) {
  constexpr int kReloads = 1000 / kSlow;
  constexpr int kThreads = 4;
  Workshop workshop;
  Executor executor(workshop.directory() / "images");
  Repository repository;
  const Template dep(workshop, "dep", "extern \"C\" long value() { return constant; }",
                     {"-Wl,-soname,libdep.so"});
  const Template left(workshop, "left",
                      "extern \"C\" long value();\nextern \"C\" long answer() { return value(); }",
                      {"-ldep"});
  const Template right(
      workshop, "right",
      "extern \"C\" long value();\nextern \"C\" long answer() { return value() + constant; }", {"-ldep"});
  repository.native("dep", dep.with(1));
  repository.native("left", left.with(0), {"dep"});
  repository.native("right", right.with(1000), {"dep"});
  ASSERT_THAT(executor.advance(repository), IsEmpty());

  std::atomic<bool> end{false};
  std::atomic<long> calls{0};
  std::atomic<long> mixed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      std::uint64_t newest = 0;
      while (!end.load()) {
        const Pin pin = executor.pin();
        const auto l = pin.function<long()>("left", "answer");
        const auto r = pin.function<long()>("right", "answer");
        const auto d = pin.function<long()>("dep", "value");
        if (!l || !r || !d) {
          ++mixed;
          continue;
        }
        const long value = (*l)();
        if ((*r)() % 1000 != value % 1000 || (*d)() != value || pin.epoch() < newest) ++mixed;
        newest = pin.epoch();
        ++calls;
      }
    });
  }
  for (int i = 2; i < kReloads; ++i) {
    // In changing order: the dependency alone, a dependent alone, all at once.
    if (i % 3 != 1) repository.native("dep", dep.with(i % 997));
    if (i % 3 != 2) repository.native("right", right.with(1000 * (i % 13)), {"dep"});
    if (i % 3 == 0) repository.native("left", left.with(i), {"dep"});
    ASSERT_THAT(executor.advance(repository), IsEmpty());
    if (i % 64 == 0) executor.empty_cache();
  }
  EXPECT_TRUE(eventually([&] { return calls.load() > 1000 / kSlow; }));
  end = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(mixed.load(), 0);
  EXPECT_TRUE(executor.drain());
  EXPECT_EQ(executor.call("left"), executor.call("dep", "value"));
}

struct Footprint {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;
  std::size_t resident_kib = 0;
  std::size_t images = 0;
};

Footprint footprint(const std::filesystem::path& images) {
  Footprint now;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++now.descriptors;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(images)) ++now.images;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) ++now.mappings;
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  now.resident_kib = resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
  return now;
}

TEST(Reloading, TenThousandReloadsLeaveNothingBehind) {
  constexpr int kReloads = 10'000 / kSlow;
  constexpr int kWarmUp = kReloads / 5;
  Workshop workshop;
  const auto images = workshop.directory() / "images";
  Executor executor(images);
  Repository repository;
  const Template library(workshop, "scorer",
                         "inline long& count() { static long c; return c; }\n"
                         "extern \"C\" long answer() { return constant + ++count(); }",
                         {"-fgnu-unique", "-Wl,-soname,libscorer.so"});
  Footprint before;
  for (int i = 0; i < kReloads; ++i) {
    const SharedBytes bytes = library.with(i);
    repository.native("scorer", bytes);
    // Through the cache: bytes that come with a plan wait in memory until there is time to keep them.
    ASSERT_TRUE(executor.cache().put(digest_of(*bytes), *bytes).ok());
    LoadOutcome outcome = executor.prepare(repository.commit(), {});
    ASSERT_THAT(outcome.failures, IsEmpty());
    executor.publish(std::move(outcome.view));
    ASSERT_EQ(executor.call("scorer"), i + 1);
    executor.collect();
    if (i % 64 == 0) {
      repository = Repository(repository.manifest());
      executor.empty_cache();
    }
    if (i == kWarmUp) before = footprint(images);
  }
  EXPECT_TRUE(executor.drain());
  EXPECT_TRUE(eventually([&] { return footprint(images).images <= 2; }));  // the newest, and the locks
  const Footprint after = footprint(images);
  EXPECT_LE(after.descriptors, before.descriptors);
  EXPECT_LE(after.mappings, before.mappings + 16);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LE(after.resident_kib, before.resident_kib + 4096);
#endif
}

}  // namespace
}  // namespace moddev
