// One read section, pin and unpin, with 1, 2 and 8 threads at once, beside the ways to do without: a copy of
// a shared_ptr behind a mutex, std::atomic<std::shared_ptr>, and liburcu's read lock (memb flavour). Then a
// run of a module: pin, one look-up and unpin, beside two looks at the clock, and a look-up under a pin that
// is held. CPU time of a thread per read section, the median of several rounds, so that more threads than
// cores do not count twice.
#include <sys/utsname.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#if defined(MODDEV_HAS_LIBURCU)
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-memb.h>
#endif

#include "client/src/view_store.h"

namespace {

using namespace moddev;

constexpr int kRounds = 5;
constexpr int kSections = 400'000;

double thread_cpu_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

/// `body(n)` runs n read sections. Returns nanoseconds of CPU time per section.
double measure(unsigned threads, const std::function<void(int)>& body) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<unsigned> waiting{threads};
    std::atomic<double> sum{0};
    std::vector<std::thread> all;
    for (unsigned t = 0; t < threads; ++t) {
      all.emplace_back([&] {
        body(kSections / 100);
        --waiting;
        while (waiting.load() != 0) std::this_thread::yield();
        const double begin = thread_cpu_ns();
        body(kSections);
        sum.fetch_add((thread_cpu_ns() - begin) / kSections);
      });
    }
    for (std::thread& thread : all) thread.join();
    rounds.push_back(sum.load() / threads);
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds[kRounds / 2];
}

std::shared_ptr<const View> view_of(Epoch epoch) {
  Manifest manifest;
  manifest.epoch = epoch;
  return std::make_shared<const View>(std::move(manifest), View::Modules{});
}

class Blob final : public LoadedModule {
 public:
  [[nodiscard]] Result<void*> symbol(std::string_view /*name*/) const override {
    return Error{ErrorCode::kNotFound, "none", 0};
  }
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override {
    return std::span<const std::byte>{bytes_};
  }

 private:
  std::vector<std::byte> bytes_{8};
};

/// With some modules, one of which is looked up.
std::shared_ptr<const View> view_with_modules() {
  Manifest manifest;
  manifest.epoch = 7;
  View::Modules modules;
  for (const char* name : {"clock", "planner", "scorer", "tables", "weights"}) {
    manifest.modules[name] = {name, ModuleKind::kBlob, 1, {}, 8, name, {}, 0};
    modules[name] = std::make_shared<Blob>();
  }
  return std::make_shared<const View>(std::move(manifest), std::move(modules));
}

std::atomic<std::uint64_t> g_sink{0};

void measure_runs() {
  ViewStore store;
  store.publish(view_with_modules(), TimePoint{});
  const auto runs = [&](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += store.pin().bytes("scorer")->size();
    g_sink += sum;
  };
  const auto look_ups = [&](int count) {
    std::uint64_t sum = 0;
    const Pin pin = store.pin();
    for (int i = 0; i < count; ++i) sum += pin.bytes("scorer")->size();
    g_sink += sum;
  };
  const auto clocks = [](int count) {
    SystemClock clock;
    std::int64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += (clock.now() - clock.now()).count();
    g_sink += static_cast<std::uint64_t>(-sum);
  };
  std::printf("%8s %8s %16s %12s\n", "threads", "run", "look-up, held", "two clocks");
  for (const unsigned threads : {1U, 2U, 8U}) {
    const double run = measure(threads, runs);
    const double look_up = measure(threads, look_ups);
    const double clock = measure(threads, clocks);
    std::printf("%8u %8.1f %16.1f %5.1f (%.1fx)\n", threads, run, look_up, clock, clock / run);
  }
}

}  // namespace

int main() {
  ViewStore store;
  store.publish(view_of(7), TimePoint{});
  const auto pins = [&](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += store.pin().epoch();
    g_sink += sum;
  };
  std::mutex mutex;
  std::shared_ptr<const View> plain = view_of(7);
  const auto copies = [&](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) {
      std::shared_ptr<const View> copy;
      {
        const std::lock_guard lock(mutex);
        copy = plain;
      }
      sum += copy->epoch();
    }
    g_sink += sum;
  };
  const auto unguarded_copies = [&](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) {
      const std::shared_ptr<const View> copy = plain;
      sum += copy->epoch();
    }
    g_sink += sum;
  };
  std::atomic<std::shared_ptr<const View>> atomic = view_of(7);
  const auto loads = [&](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += atomic.load(std::memory_order_acquire)->epoch();
    g_sink += sum;
  };

  utsname machine{};
  ::uname(&machine);
  std::printf("one read section, ns of CPU time; %s %s, %u processors\n", machine.sysname, machine.release,
              std::thread::hardware_concurrency());
  std::printf("%8s %8s %12s %12s %12s %12s\n", "threads", "pin", "shared_ptr", "with mutex", "atomic<sp>",
              "liburcu");
  for (const unsigned threads : {1U, 2U, 8U}) {
    const double pin = measure(threads, pins);
    const double bare = measure(threads, unguarded_copies);
    const double guarded = measure(threads, copies);
    const double loaded = measure(threads, loads);
    std::printf("%8u %8.1f %5.1f (%.1fx) %5.1f (%.1fx) %5.1f (%.1fx)", threads, pin, bare, bare / pin,
                guarded, guarded / pin, loaded, loaded / pin);
#if defined(MODDEV_HAS_LIBURCU)
    const View* current = store.current().get();
    const double urcu = measure(threads, [&](int count) {
      urcu_memb_register_thread();
      std::uint64_t sum = 0;
      for (int i = 0; i < count; ++i) {
        urcu_memb_read_lock();
        sum += rcu_dereference(current)->epoch();
        urcu_memb_read_unlock();
      }
      urcu_memb_unregister_thread();
      g_sink += sum;
    });
    std::printf(" %5.1f (%.1fx)", urcu, urcu / pin);
#endif
    std::printf("\n");
  }
  measure_runs();
  return g_sink.load() == 0 ? 1 : 0;
}
