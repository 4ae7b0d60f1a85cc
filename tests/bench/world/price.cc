#include "tests/bench/world/price.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "tests/bench/world/board.h"
#include "tests/bench/world/children.h"
#include "tests/bench/world/module_file.h"

namespace moddev::bench {
namespace {

constexpr std::int64_t kPatienceMs = 20'000;
constexpr auto kPause = std::chrono::milliseconds(100);
constexpr std::size_t kBlobBytes = 64UL * 1024 * 1024;
constexpr int kFetches = 15;

/// How a fleet is protected. The tcp ones meet on the loopback device, with and without CURVE.
struct Kind {
  const char* name;
  bool tcp;
  bool curve;
  bool sign;
};
constexpr std::array<Kind, 5> kKinds{{{"ipc", false, false, false},
                                      {"ipc signed", false, false, true},
                                      {"tcp", true, false, false},
                                      {"tcp CURVE", true, true, false},
                                      {"tcp CURVE signed", true, true, true}}};
/// What is compared with what.
struct Price {
  const char* name;
  std::size_t dear;
  std::size_t cheap;
};
constexpr std::array<Price, 4> kPrices{
    {{"signatures", 1, 0}, {"CURVE", 3, 2}, {"signatures over CURVE", 4, 3}, {"both", 4, 2}}};

int free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(probe, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    give_up("there is no free port");
  ::close(probe);
  return ::ntohs(address.sin_port);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// What all threads of a process have run, waiting not counted (proc(5), /proc/PID/task/TID/schedstat).
double processor_ms(pid_t pid) {
  double total = 0;
  std::error_code ignored;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", ignored)) {
    std::ifstream file(task.path() / "schedstat");
    double ns = 0;
    if (file >> ns) total += ns / 1e6;
  }
  return total;
}

/// A daemon with executors in surroundings of their own.
class Fleet {
 public:
  Fleet(const Kind& kind, const PriceOptions& options)
      : options_(options), kind_(kind), work_(options.directory), runtime_(options.runtime) {
    for (const char* directory : {"/build", "/state", "/cache", "/config"})
      ::mkdir((work_.path() + directory).c_str(), 0700);
    board_ = Board::open(runtime_.path() + "/board");
    if (board_ == nullptr) give_up("cannot map the board");
    endpoint_ = kind.tcp ? "tcp://127.0.0.1:" + std::to_string(free_port())
                         : "ipc://" + runtime_.path() + "/moddev/default.sock";
    enter();
    make_keys();
  }

  /// Starts what is missing.
  void grow(std::size_t executors, std::int64_t number) {
    enter();
    board_->begin(number, static_cast<std::uint32_t>(executors));
    Module module(kSizes[0].library);
    put(work_.path() + "/build", "libbench.so", module.with_answer(number), Style::kRename);
    if (children_.empty()) start_daemon();
    for (; started_ < executors; ++started_) {
      children_.emplace_back(std::vector<std::string>{MODDEV_BENCH_EXECUTOR, runtime_.path() + "/board",
                                                      std::to_string(started_)});
    }
    if (!board_->wait(kPatienceMs)) give_up(std::string(kind_.name) + ": the executors do not get ready");
  }

  /// What the processors have done for the fleet so far, in milliseconds.
  [[nodiscard]] double worked() const {
    double total = 0;
    for (const Child& child : children_) total += processor_ms(child.pid());
    return total;
  }

  /// Milliseconds from the last step of the linker to the last executor that has called the new code.
  double edit(Module& module, std::int64_t number) {
    board_->begin(number, static_cast<std::uint32_t>(started_));
    const std::int64_t begin =
        put(work_.path() + "/build", "libbench.so", module.with_answer(number), Style::kRename);
    if (!board_->wait(kPatienceMs)) give_up(std::string(kind_.name) + ": not all executors answered");
    return static_cast<double>(board_->last_ns() - begin) / 1e6;
  }

  /// A daemon without executors, which would fetch the blob too.
  void serve_blob(const std::string& bytes) {
    ::close(write_open(work_.path() + "/build/big.bin", bytes));
    enter();
    start_daemon();
    const std::string asked =
        "'" + options_.program + "' status --json --endpoint " + endpoint_ + " 2>/dev/null | grep big.bin";
    const std::int64_t end = monotonic_ns() + kPatienceMs * 1'000'000;
    while (output_of(asked).empty()) {
      if (monotonic_ns() > end) give_up(std::string(kind_.name) + ": the blob is not published");
    }
  }

  /// Milliseconds of `moddev fetch` of the blob, from its start to its end.
  double fetch() {
    enter();
    const std::string target = runtime_.path() + "/fetched";
    const std::int64_t begin = monotonic_ns();
    const std::string done = output_of("'" + options_.program + "' fetch big.bin -o " + target +
                                       " --endpoint " + endpoint_ + " >/dev/null && echo done");
    const std::int64_t end = monotonic_ns();
    ::unlink(target.c_str());
    if (done.empty()) give_up(std::string(kind_.name) + ": the blob cannot be fetched");
    return static_cast<double>(end - begin) / 1e6;
  }

 private:
  /// What is started from here on lives in these surroundings.
  void enter() const {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    ::setenv("XDG_STATE_HOME", (work_.path() + "/state").c_str(), 1);
    ::setenv("XDG_CACHE_HOME", (work_.path() + "/cache").c_str(), 1);
    ::setenv("XDG_CONFIG_HOME", (work_.path() + "/config").c_str(), 1);
    ::setenv("MODDEV_ENDPOINT", endpoint_.c_str(), 1);
  }
  void start_daemon() {
    children_.emplace_back(std::vector<std::string>{options_.program, "watch", work_.path() + "/build",
                                                    "--bind", bind_endpoint()},
                           true);
  }
  /// CURVE begins where others can come, so that is what is bound.
  [[nodiscard]] std::string bind_endpoint() const {
    return kind_.curve ? "tcp://0.0.0.0" + endpoint_.substr(endpoint_.rfind(':')) : endpoint_;
  }
  void make_keys() const {
    if (!kind_.curve && !kind_.sign) return;
    const std::string program = "'" + options_.program + "'";
    const auto key = [&](const std::string& pattern) {
      const std::string found =
          output_of(program + " keygen --name bench --json | grep -o '" + pattern + "' | head -n 1");
      return found.substr(0, found.find('\n'));
    };
    const auto trust = [&](const std::string& who, const std::string& what) {
      if (output_of(program + " trust add " + who + " '" + what + "' && echo done").empty())
        give_up("cannot make keys with " + options_.program);
    };
    if (kind_.sign) trust("bench", key("ed25519:[0-9a-f]*"));
    if (!kind_.sign) (void)key("ed25519");
    if (kind_.curve) {
      trust("bench", work_.path() + "/config/moddev/transport.key");
      trust(endpoint_, work_.path() + "/config/moddev/transport.key");
    }
    if (!kind_.sign) ::unlink((work_.path() + "/config/moddev/signing.pem").c_str());
  }

  const PriceOptions& options_;
  const Kind& kind_;
  WorkDirectory work_;
  WorkDirectory runtime_;
  std::string endpoint_;
  Board* board_ = nullptr;
  std::size_t started_ = 0;
  std::vector<Child> children_;
};

using Rounds = std::array<std::vector<double>, kKinds.size()>;

/// In another order each time.
std::array<std::size_t, kKinds.size()> order(int round) {
  std::array<std::size_t, kKinds.size()> result{};
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = (i + static_cast<std::size_t>(round)) % result.size();
  if (round % 2 != 0) std::reverse(result.begin(), result.end());
  return result;
}

void print(const std::string& what, const Rounds& rounds) {
  std::printf("%-22s", what.c_str());
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    std::printf(" | %s %.3f", kKinds[i].name, median(rounds[i]));
  std::printf("\n%-22s", "");
  for (const Price& price : kPrices) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < rounds[price.dear].size(); ++i)
      ratios.push_back(rounds[price.dear][i] / rounds[price.cheap][i]);
    std::printf(" | %s x%.3f", price.name, median(ratios));
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

void compare_prices(const PriceOptions& options) {
  std::printf(
      "%s\n%d rounds, in each of which every fleet has a turn; medians in milliseconds, medians of the "
      "ratios within a round\n",
      describe_machine(options.directory).c_str(), options.rounds);
  std::vector<std::unique_ptr<Fleet>> fleets;
  for (const Kind& kind : kKinds) fleets.push_back(std::make_unique<Fleet>(kind, options));
  std::int64_t number = 0;
  std::vector<std::size_t> counts = options.executors;
  std::sort(counts.begin(), counts.end());
  for (const std::size_t count : counts) {
    for (const auto& fleet : fleets) fleet->grow(count, ++number);
    std::this_thread::sleep_for(std::chrono::seconds(2));  // joining has a tail
    for (const Size& size : kSizes) {
      Module module(size.library);
      Rounds rounds;
      Rounds work;
      for (int round = 0; round < options.rounds; ++round) {
        for (const std::size_t which : order(round)) {
          std::this_thread::sleep_for(kPause);
          const double before = fleets[which]->worked();
          rounds[which].push_back(fleets[which]->edit(module, ++number));
          std::this_thread::sleep_for(kPause);
          work[which].push_back(fleets[which]->worked() - before);
        }
      }
      print(std::to_string(count) + " executors, " + size.name, rounds);
      print("  processors' work", work);
    }
  }
  std::string blob(kBlobBytes, '\0');
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < blob.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::copy_n(reinterpret_cast<const char*>(&word), sizeof word,
                blob.begin() + static_cast<std::ptrdiff_t>(i));
  }
  fleets.clear();
  for (const Kind& kind : kKinds) fleets.push_back(std::make_unique<Fleet>(kind, options));
  for (const auto& fleet : fleets) fleet->serve_blob(blob);
  Rounds rounds;
  for (int round = 0; round < kFetches; ++round) {
    for (const std::size_t which : order(round)) rounds[which].push_back(fleets[which]->fetch());
  }
  print("fetch of 64 MiB", rounds);
}

}  // namespace moddev::bench
