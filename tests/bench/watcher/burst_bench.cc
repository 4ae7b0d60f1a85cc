// Many files at once: 1,000 small files written in a row, the same files switched to other contents and back
// as `git checkout` does it, and fifty libraries of 256 KiB. How long from the last close until all is out,
// in how many batches, beside reading and hashing the same files once.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "protocol/digest.h"
#include "tests/support/watcher/real_world.h"

namespace {

using namespace moddev;
using namespace moddev::watcher;
using SteadyClock = std::chrono::steady_clock;

double ms_since(SteadyClock::time_point start) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
}

/// Writes in another thread, as a build would, while the watcher works; replace: by rename.
void burst(watcher::testing::RealWorld& world, const char* what, int count, std::size_t bytes, int round,
           bool replace) {
  const std::size_t batches = world.listener.batches.size();
  const auto content = [&](int i) { return std::to_string(round * 100'000 + i) + std::string(bytes, 'x'); };
  SteadyClock::time_point last{};
  double writing = 0;
  std::thread writer([&] {
    const auto start = SteadyClock::now();
    for (int i = 0; i < count; ++i) {
      const auto path = world.path("f" + std::to_string(i) + ".bin");
      const auto temporary = world.path(".mold-burst");
      watcher::testing::write_file(replace ? temporary : path, content(i));
      if (replace) std::filesystem::rename(temporary, path);
    }
    writing = ms_since(start);
    last = SteadyClock::now();
  });
  const std::string last_name = "f" + std::to_string(count - 1) + ".bin";
  std::size_t changes = 0;
  (void)world.run_until([&] {
    changes = 0;
    for (std::size_t b = batches; b < world.listener.batches.size(); ++b)
      changes += world.listener.batches[b].changes.size();
    return changes >= static_cast<std::size_t>(count) && world.watcher->idle();
  });
  const double after = last == SteadyClock::time_point{} ? 0 : ms_since(last);
  writer.join();
  const auto start = SteadyClock::now();
  for (int i = 0; i < count; ++i) {
    const std::string bytes_read = watcher::testing::read_file(world.path("f" + std::to_string(i) + ".bin"));
    if (digest_of(as_bytes(bytes_read)).is_zero()) std::abort();
  }
  std::printf(
      "%-42s written in %7.1f ms, out %6.1f ms after the last, %zu batches; read+hash once %6.1f ms\n", what,
      writing, after, world.listener.batches.size() - batches, ms_since(start));
}

}  // namespace

int main() {
  watcher::testing::RealWorld world;
  if (!world.start()) return 1;
  burst(world, "1,000 new files of 1 KiB", 1'000, 1'024, 1, false);
  burst(world, "the same, other content, by rename", 1'000, 1'024, 2, true);
  burst(world, "and back, in place", 1'000, 1'024, 3, false);
  burst(world, "50 libraries of 256 KiB, by rename", 50, 256 * 1'024, 4, true);
  return 0;
}
