// Starting to watch 10,000 directories with 100,000 files, beside a bare `find` over the same tree in the
// same run: time until the first batch is out, memory, and the processor time of a while without changes. Two
// trees: a build directory (object files, which are ignored) and one where every file is published.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "protocol/blob_store.h"
#include "tests/support/watcher/real_world.h"
#include "watcher/inotify_source.h"
#include "watcher/posix_file_system.h"
#include "watcher/watcher.h"

namespace {

using namespace moddev;
using namespace moddev::watcher;
namespace fs = std::filesystem;

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  long total = 0;
  long resident = 0;
  file >> total >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024.0 * 1024.0);
}

double processor_ms() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void make_tree(const fs::path& root, int directories, int files_each, const char* extension) {
  fs::create_directory(root);
  for (int d = 0; d < directories; ++d) {
    const fs::path directory = root / ("d" + std::to_string(d / 100)) / ("e" + std::to_string(d % 100));
    fs::create_directories(directory);
    for (int f = 0; f < files_each; ++f)
      watcher::testing::write_file(directory / ("f" + std::to_string(f) + extension),
                                   f % 10 == 0 ? "content " + std::to_string(d * 100 + f) : "the same");
  }
}

void measure(const fs::path& base, const char* extension, int directories, int files_each) {
  const fs::path root = base / (std::string("tree") + extension);
  make_tree(root, directories, files_each, extension);
  const std::string find = "find '" + root.string() + "' > /dev/null";
  (void)watcher::testing::run_command(find);  // warms the cache for both
  const double find_s = seconds_of([&] { (void)watcher::testing::run_command(find); });

  auto files = PosixFileSystem::create(root.string());
  auto events = InotifySource::create((*files)->root());
  auto store = DirectoryBlobStore::open(base / (std::string("blobs") + extension));
  SystemClock clock;
  const double before = resident_mib();
  Watcher watcher({}, **files, **events, **store);
  std::size_t published = 0;
  const double start_s = seconds_of([&] {
    for (bool done = false; !done;) {
      (void)watcher.step(clock.now());
      for (const Batch& batch : watcher.take_output().batches) {
        published += batch.changes.size();
        done = true;
      }
    }
  });
  const double memory = resident_mib() - before;
  // Idle for two seconds: as the event loop would, asleep until a deadline.
  const double cpu = processor_ms();
  const TimePoint end = clock.now() + std::chrono::seconds(2);
  while (clock.now() < end) {
    const TimePoint due = std::min(end, watcher.step(clock.now()));
    ::usleep(static_cast<useconds_t>(std::max<std::int64_t>(0, to_us(due - clock.now()))));
  }
  std::printf("%s: %d directories, %zu files published\n", extension, directories, published);
  std::printf("  find %.3f s   start %.3f s (x%.2f)   %zu watches   +%.1f MiB   idle %.2f ms of CPU in 2 s\n",
              find_s, start_s, start_s / find_s, (*events)->watches(), memory, processor_ms() - cpu);
}

}  // namespace

int main(int argc, char** argv) {
  const int directories = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const watcher::testing::TemporaryDirectory base;
  measure(base.path(), ".o", directories, 10);
  measure(base.path(), ".txt", directories, 10);
  return 0;
}
