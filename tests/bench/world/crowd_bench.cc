// What a large fleet costs a daemon: `moddev watch` as it is, and hundreds of executors in one process. How
// long until all have an epoch, beside what bare ZeroMQ sockets need for a publication to as many, and for a
// publication, an answer from each and another publication, which is what an epoch is; what the daemon needs
// while nothing happens; and how long all need to come back at once after it was killed.
//   world_crowd_bench [--executors N] [--rounds N] [--idle SECONDS] [--watch PROGRAM]
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/world/board.h"
#include "tests/bench/world/children.h"
#include "tests/bench/world/crowd.h"

namespace moddev::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kPatience = seconds(60);
/// Of the content: travels inside the announcement.
constexpr std::size_t kModuleBytes = 4096;

struct Options {
  std::size_t executors = 500;
  int rounds = 40;
  int idle_s = 20;
  std::string watch = MODDEV_BENCH_WATCH;
};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "crowd_bench: %s\n", why.c_str());
  std::exit(1);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Used processor time so far, and memory that is its own.
struct Usage {
  double cpu_ms = 0;
  long private_kib = 0;
  long threads = 0;
};

Usage usage_of(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  Usage usage;
  std::ifstream stat(process + "/stat");
  std::string text{std::istreambuf_iterator<char>(stat), {}};
  // Fields are counted from behind the name, which can hold anything (proc(5)): utime and stime are the 14th
  // and 15th.
  std::istringstream fields(text.substr(std::min(text.rfind(')') + 1, text.size())));
  std::string field;
  for (int i = 3; i <= 20 && fields >> field; ++i) {
    if (i == 14 || i == 15)
      usage.cpu_ms +=
          1000.0 * std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    if (i == 20) usage.threads = std::strtol(field.c_str(), nullptr, 10);
  }
  std::ifstream rollup(process + "/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    if (line.starts_with("Private_"))
      usage.private_kib += std::strtol(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  return usage;
}

double at(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  const auto index = static_cast<std::size_t>(part * static_cast<double>(values.size()));
  return values.at(std::min(index, values.size() - 1));
}

double ms(std::int64_t ns) {
  return static_cast<double>(ns) / 1e6;
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)), work_("/tmp"), runtime_("/dev/shm") {
    ::mkdir((work_.path() + "/build").c_str(), 0700);
    for (const char* name : {"state", "cache"}) {
      const std::string path = work_.path() + "/" + name;
      ::mkdir(path.c_str(), 0700);
      ::setenv(name[0] == 's' ? "XDG_STATE_HOME" : "XDG_CACHE_HOME", path.c_str(), 1);
    }
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    endpoint_ = "ipc://" + runtime_.path() + "/d.sock";
  }

  void run() {
    std::printf("%zu executors in one process; %s\n", options_.executors,
                describe_machine(work_.path()).c_str());
    change();
    start_daemon();
    Crowd crowd(endpoint_, options_.executors);
    const std::int64_t begin = monotonic_ns();
    wait_until_all_are_there(crowd, "all join");
    std::printf("all join at once       half after %.0f ms, the last after %.0f ms\n",
                ms(crowd.joined_ns(crowd.size() / 2) - begin), ms(crowd.joined_ns(crowd.size() - 1) - begin));
    epochs(crowd);
    idle(crowd);
    return_of_the_crowd(crowd);
  }

 private:
  void start_daemon() {
    daemon_.reset();
    daemon_ =
        std::make_unique<Child>(std::vector<std::string>{options_.watch, "watch", work_.path() + "/build",
                                                         "--json", "--bind", endpoint_},
                                true);
  }

  /// Like lld and mold; the moment of the rename.
  std::int64_t change() {
    std::string bytes(kModuleBytes, 'x');
    bytes.replace(0, 8, std::to_string(10'000'000 + ++changes_).substr(0, 8));
    const std::string temporary = work_.path() + "/new";
    write_file(temporary, bytes);
    const std::int64_t begin = monotonic_ns();
    if (::rename(temporary.c_str(), (work_.path() + "/build/data.bin").c_str()) != 0)
      give_up("cannot rename");
    return begin;
  }

  void wait_until_all_are_there(Crowd& crowd, const char* what) const {
    const auto everybody = [&] {
      return crowd.connected() == crowd.size() && crowd.at_epoch(changes_) == crowd.size();
    };
    if (!crowd.run(kPatience, everybody))
      give_up(std::string(what) + ": only " + std::to_string(crowd.connected()) + " are connected, " +
              std::to_string(crowd.at_epoch(changes_)) + " are at epoch " + std::to_string(changes_));
  }

  void epochs(Crowd& crowd) {
    RawProcess raw(*this);
    std::vector<double> ours, skew, one, two, cpu;
    for (int i = 0; i < options_.rounds; ++i) {
      (void)crowd.run(milliseconds(100), [] { return false; });
      const double before = usage_of(daemon_->pid()).cpu_ms;
      const std::int64_t begin = change();
      wait_until_all_are_there(crowd, "an epoch");
      ours.push_back(ms(crowd.applied_ns(crowd.size() - 1) - begin));
      skew.push_back(ms(crowd.applied_ns(crowd.size() - 1) - crowd.applied_ns(0)));
      (void)crowd.run(milliseconds(100), [] { return false; });
      cpu.push_back(usage_of(daemon_->pid()).cpu_ms - before);
      RawCrowd::Round round;
      if (!raw.crowd->round(kModuleBytes, round)) give_up("the raw sockets do not answer");
      one.push_back(ms(round.first_ns));
      two.push_back(ms(round.second_ns));
    }
    std::printf("                            p50      p99      max  [ms], %d rounds, %zu bytes\n",
                options_.rounds, kModuleBytes);
    const auto row = [](const char* what, const std::vector<double>& values) {
      std::printf("%-22s %8.2f %8.2f %8.2f\n", what, at(values, 0.5), at(values, 0.99), at(values, 1.0));
    };
    row("change to last applied", ours);
    row("  first to last", skew);
    row("  daemon's processor", cpu);
    row("raw PUB to the last", one);
    row("raw PUB, answers, PUB", two);
    std::printf("ratios of p50: %.2f to raw PUB, %.2f to PUB, answers, PUB\n", at(ours, 0.5) / at(one, 0.5),
                at(ours, 0.5) / at(two, 0.5));
  }

  void idle(Crowd& crowd) {
    (void)crowd.run(seconds(5), [] { return false; });  // until it has tidied up
    (void)crowd.take_traffic();
    const Usage before = usage_of(daemon_->pid());
    (void)crowd.run(seconds(options_.idle_s), [] { return false; });
    const Usage after = usage_of(daemon_->pid());
    const Crowd::Traffic traffic = crowd.take_traffic();
    const auto a_second = [&](std::uint64_t n) { return static_cast<double>(n) / options_.idle_s; };
    if (crowd.connected() != crowd.size()) give_up("some were lost while nothing happened");
    std::printf("idle for %d s: %.2f %% of one processor, %.1f MiB of its own, %ld threads\n",
                options_.idle_s, (after.cpu_ms - before.cpu_ms) / (options_.idle_s * 10.0),
                static_cast<double>(after.private_kib) / 1024, after.threads);
    std::printf(
        "  %.0f requests/s with %.1f KB/s, replies %.1f KB/s, events %.1f KB/s; %.0f bytes/s an executor\n",
        a_second(traffic.requests), a_second(traffic.requests_bytes) / 1e3,
        a_second(traffic.replies_bytes) / 1e3, a_second(traffic.events_bytes) / 1e3,
        a_second(traffic.requests_bytes + traffic.replies_bytes + traffic.events_bytes) /
            static_cast<double>(crowd.size()));
  }

  void return_of_the_crowd(Crowd& crowd) {
    (void)crowd.take_traffic();
    daemon_.reset();  // kill -9
    (void)crowd.run(milliseconds(500), [] { return false; });
    const std::int64_t begin = monotonic_ns();
    start_daemon();
    // They believe that they are connected until they have heard the new incarnation, or for a lease.
    const auto all_back = [&] { return crowd.connected() == crowd.size() && crowd.joined_ns(0) > begin; };
    if (!crowd.run(kPatience, all_back)) give_up("not all came back");
    const Crowd::Traffic traffic = crowd.take_traffic();
    const Usage usage = usage_of(daemon_->pid());
    std::printf("killed and started again: half are back after %.0f ms, the last after %.0f ms\n",
                ms(crowd.joined_ns(crowd.size() / 2) - begin), ms(crowd.joined_ns(crowd.size() - 1) - begin));
    std::printf("  %.1f requests an executor meanwhile, %.0f ms of the daemon's processor\n",
                static_cast<double>(traffic.requests) / static_cast<double>(crowd.size()), usage.cpu_ms);
    const std::int64_t change_at = change();
    wait_until_all_are_there(crowd, "the epoch after it");
    std::printf("  the next change is applied by the last after %.1f ms\n",
                ms(crowd.applied_ns(crowd.size() - 1) - change_at));
  }

  struct RawProcess {
    explicit RawProcess(const Bench& bench)
        : endpoint("ipc://" + bench.runtime_.path() + "/raw"),
          child({"/proc/self/exe", "--raw", endpoint, std::to_string(bench.options_.executors)}),
          crowd(std::make_unique<RawCrowd>(endpoint, bench.options_.executors)) {
      if (!crowd->settle(kPatience)) give_up("the raw sockets do not find each other");
    }
    std::string endpoint;
    Child child;
    std::unique_ptr<RawCrowd> crowd;
  };

  Options options_;
  WorkDirectory work_;
  WorkDirectory runtime_;
  std::string endpoint_;
  std::unique_ptr<Child> daemon_;
  std::uint64_t changes_ = 0;
};

template <typename Number>
bool number_in(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0;
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view value = argv[i + 1];
    if (name == "--executors" && number_in(value, options.executors)) continue;
    if (name == "--rounds" && number_in(value, options.rounds)) continue;
    if (name == "--idle" && number_in(value, options.idle_s)) continue;
    if (name != "--watch") return std::nullopt;
    options.watch = value;
  }
  if (argc % 2 == 0) return std::nullopt;
  return options;
}

}  // namespace
}  // namespace moddev::bench

int main(int argc, char** argv) {
  using namespace moddev::bench;
  std::size_t sockets = 0;
  if (argc == 4 && std::string_view(argv[1]) == "--raw" && number_in(argv[3], sockets))
    return be_a_raw_daemon(argv[2], sockets);
  auto options = parse(argc, argv);
  if (!options) {
    std::fputs("usage: world_crowd_bench [--executors N] [--rounds N] [--idle SECONDS] [--watch PROGRAM]\n",
               stderr);
    return 2;
  }
  Bench(std::move(*options)).run();
  return 0;
}
