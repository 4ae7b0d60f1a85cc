// From rename(2) or close(2) until the batch is out of step(), beside the raw primitives of the same run: one
// inotify round trip (rename, then read(2) of the event), and reading and hashing the file once. All in one
// thread: what is measured is our own work and the kernel's, not the scheduler's.
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "protocol/blob_store.h"
#include "protocol/digest.h"
#include "tests/support/watcher/real_world.h"
#include "watcher/inotify_source.h"
#include "watcher/posix_file_system.h"
#include "watcher/watcher.h"

namespace {

using namespace moddev;
using namespace moddev::watcher;
namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

double us_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::micro>(SteadyClock::now() - start).count();
}

struct Quantiles {
  double p50 = 0;
  double p99 = 0;
  double max = 0;
};

Quantiles quantiles(std::vector<double> values) {
  std::ranges::sort(values);
  return {values[values.size() / 2], values[values.size() * 99 / 100], values.back()};
}

/// Distinct content each time, prepared before the clock starts.
void prepare(const fs::path& path, std::string& content, int round) {
  const std::string mark = std::to_string(round) + "#";
  content.replace(0, mark.size(), mark);
  watcher::testing::write_file(path, content);
}

Quantiles raw_inotify(const fs::path& root, std::string content, int rounds) {
  const int fd = ::inotify_init1(IN_CLOEXEC);
  if (fd < 0 || ::inotify_add_watch(fd, root.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) std::abort();
  std::vector<double> times;
  std::vector<char> buffer(4096);
  for (int i = 0; i < rounds; ++i) {
    prepare(root.parent_path() / "next", content, i);
    const auto start = SteadyClock::now();
    fs::rename(root.parent_path() / "next", root / "libraw.bin");
    if (::read(fd, buffer.data(), buffer.size()) <= 0) std::abort();
    times.push_back(us_since(start));
  }
  ::close(fd);
  return quantiles(times);
}

Quantiles read_and_hash(const fs::path& root, std::string content, int rounds) {
  std::vector<double> times;
  std::vector<std::byte> buffer(std::min<std::size_t>(content.size(), 256 * 1024));
  for (int i = 0; i < rounds; ++i) {
    prepare(root.parent_path() / "next", content, i);
    const auto start = SteadyClock::now();
    const int fd = ::open((root.parent_path() / "next").c_str(), O_RDONLY | O_CLOEXEC);
    Hasher hasher;
    ssize_t n = 0;
    while ((n = ::read(fd, buffer.data(), buffer.size())) > 0)
      hasher.update(std::span(buffer).first(static_cast<std::size_t>(n)));
    ::close(fd);
    const Digest digest = hasher.finish();
    times.push_back(us_since(start));
    if (digest.is_zero()) std::abort();
  }
  return quantiles(times);
}

Quantiles watched(const fs::path& directory, std::string content, int rounds, bool in_place,
                  bool memory_store) {
  const fs::path root = directory / "root";
  auto files = PosixFileSystem::create(root.string());
  auto events = InotifySource::create((*files)->root());
  auto store = DirectoryBlobStore::open(directory / "blobs");
  MemoryBlobStore memory;
  BlobStore& blobs = memory_store ? static_cast<BlobStore&>(memory) : **store;
  Watcher watcher({}, **files, **events, blobs);
  SystemClock clock;
  const auto step_until_batch = [&] {
    for (;;) {
      (void)watcher.step(clock.now());
      if (!watcher.take_output().batches.empty()) return;
    }
  };
  step_until_batch();
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    SteadyClock::time_point start;
    if (in_place) {
      const std::string mark = std::to_string(i) + "@";
      content.replace(0, mark.size(), mark);
      const int fd = ::open((root / "libx.bin").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
      for (std::size_t at = 0; at < content.size();) {
        const ssize_t n = ::write(fd, content.data() + at, content.size() - at);
        if (n <= 0) std::abort();
        at += static_cast<std::size_t>(n);
      }
      (void)watcher.step(clock.now());  // as the loop would, for the events of writing
      start = SteadyClock::now();
      ::close(fd);
    } else {
      prepare(directory / "next", content, i);
      start = SteadyClock::now();
      fs::rename(directory / "next", root / "libx.bin");
    }
    step_until_batch();
    times.push_back(us_since(start));
    (void)watcher.step(clock.now());  // as the loop would once the batch is handed on
  }
  return quantiles(times);
}

void report(const char* what, const Quantiles& q, double base) {
  std::printf("  %-44s p50 %9.1f us  p99 %9.1f us  max %9.1f us  x%.2f\n", what, q.p50, q.p99, q.max,
              q.p50 / base);
}

}  // namespace

int main(int argc, char** argv) {
  const bool large = argc > 1 && std::string(argv[1]) == "--large";
  struct Case {
    std::size_t bytes;
    int rounds;
  };
  std::vector<Case> cases = {{4UL << 10, 500}, {64UL << 10, 500}, {1UL << 20, 50}};
  if (large) cases.insert(cases.end(), {{64UL << 20, 5}, {512UL << 20, 2}});
  for (const Case& c : cases) {
    const watcher::testing::TemporaryDirectory directory;
    const fs::path root = directory.path() / "root";
    fs::create_directory(root);
    const std::string content(c.bytes, 'm');
    std::printf("%zu KiB, %d rounds; factor: against reading and hashing once\n", c.bytes >> 10, c.rounds);
    const Quantiles floor = read_and_hash(root, content, c.rounds);
    report("raw inotify: rename -> event read", raw_inotify(root, content, c.rounds), floor.p50);
    report("read and hash the file once", floor, floor.p50);
    report("rename -> batch, store in memory", watched(directory.path(), content, c.rounds, false, true),
           floor.p50);
    report("rename -> batch, store on disk", watched(directory.path(), content, c.rounds, false, false),
           floor.p50);
    report("close -> batch, store on disk", watched(directory.path(), content, c.rounds, true, false),
           floor.p50);
  }
  return 0;
}
