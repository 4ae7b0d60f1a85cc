// edit_to_live: from the close (or the rename) of a rebuilt module to every executor having called the new
// code. Beside it, in the same run: what the kernel alone needs to tell a listener about the file, what
// ZeroMQ alone needs to bring its bytes to the last of as many subscribers, what Erlang needs for c:nl/1 with
// as many nodes, and what Dask needs for upload_file with as many workers. One process each; times are
// CLOCK_MONOTONIC, which all of them share. With --signed: what signatures and CURVE cost (price.h).
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/bench/world/board.h"
#include "tests/bench/world/children.h"
#include "tests/bench/world/module_file.h"
#include "tests/bench/world/peers.h"
#include "tests/bench/world/price.h"

namespace moddev::bench {
namespace {

constexpr std::int64_t kPatienceMs = 20'000;
/// A developer's builds are further apart than the work that is put off until after a switch; so are the
/// rounds.
constexpr auto kPause = std::chrono::milliseconds(200);

struct Options {
  int rounds = 40;
  std::vector<std::size_t> executors{1, 8, 32, 100};
  bool peers = true;
  bool signatures = false;
  std::string directory = "/tmp";
  /// In memory, as a session's XDG_RUNTIME_DIR is.
  std::string runtime = "/dev/shm";
  std::string watch = MODDEV_BENCH_WATCH;  // the moddev program
};

// ---------------------------------------------------------------------------------------------- the figures

struct Figures {
  std::vector<double> last_ms;  // until the last executor
  std::vector<double> skew_ms;  // from the first to the last

  static double at(std::vector<double> values, double part) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1) + 0.5)];
  }
  [[nodiscard]] double p50() const { return at(last_ms, 0.5); }
  [[nodiscard]] double p99() const { return at(last_ms, 0.99); }
  [[nodiscard]] double max() const { return at(last_ms, 1); }
};

/// `act` does what is measured for a round of this number, and returns when it began.
Figures measure(Board& board, std::size_t processes, int rounds, std::int64_t& number,
                const std::function<std::int64_t(std::int64_t)>& act) {
  Figures figures;
  for (int i = 0; i < rounds; ++i) {
    std::this_thread::sleep_for(kPause);
    board.begin(++number, static_cast<std::uint32_t>(processes));
    const std::int64_t begin = act(number);
    if (!board.wait(kPatienceMs)) {
      give_up("only " + std::to_string(board.arrived) + " of " + std::to_string(processes) +
              " processes answered in round " + std::to_string(number));
    }
    figures.last_ms.push_back(static_cast<double>(board.last_ns() - begin) / 1e6);
    figures.skew_ms.push_back(static_cast<double>(board.last_ns() - board.first_ns()) / 1e6);
  }
  return figures;
}

// ------------------------------------------------------------------------------------------------- the runs

class Bench {
 public:
  Bench(Options options, std::string self)
      : options_(std::move(options)),
        self_(std::move(self)),
        work_(options_.directory),
        runtime_(options_.runtime) {
    for (const char* directory : {"/build", "/state", "/cache", "/raw", "/config"})
      ::mkdir((work_.path() + directory).c_str(), 0700);
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    ::setenv("XDG_STATE_HOME", (work_.path() + "/state").c_str(), 1);
    ::setenv("XDG_CACHE_HOME", (work_.path() + "/cache").c_str(), 1);
    ::unsetenv("MODDEV_ENDPOINT");
    ::setenv("XDG_CONFIG_HOME", (work_.path() + "/config").c_str(), 1);
    board_ = Board::open(board_path());
    if (board_ == nullptr) give_up("cannot map " + board_path());
    std::printf("%s\n", describe_machine(work_.path()).c_str());
    std::printf("%d rounds each, %lld ms apart; milliseconds\n", options_.rounds,
                static_cast<long long>(kPause.count()));
  }

  void run() {
    print_head();
    for (const std::size_t count : options_.executors) run(count);
  }

 private:
  [[nodiscard]] std::string board_path() const { return runtime_.path() + "/board"; }

  struct Row {
    const Size* size;
    Style style;
    Figures ours;
  };

  std::vector<Row> measure_fleet(std::size_t count) {
    std::vector<Row> rows;
    std::vector<Child> children;
    start_fleet(count, children);
    for (const Size& size : kSizes) {
      Module module(size.library);
      for (const Style style : {Style::kRename, Style::kClose}) {
        rows.push_back({&size, style, measure(*board_, count, options_.rounds, number_, [&](std::int64_t n) {
                          return put(work_.path() + "/build", "libbench.so", module.with_answer(n), style);
                        })});
      }
    }
    return rows;
  }

  void run(std::size_t count) {
    for (const Row& row : measure_fleet(count)) {
      const Figures inotify = options_.peers ? raw_inotify(*row.size, row.style) : Figures{};
      const Figures pub = options_.peers ? raw_pub(*row.size, count) : Figures{};
      if (options_.peers && row.style == Style::kRename) {
        erlang_ = peer("erlang_nl.sh", "command -v erl && command -v erlc", "sh", *row.size, count);
        dask_ = peer("dask_upload.py", "/usr/bin/python3 -c 'import distributed; print(1)'",
                     "/usr/bin/python3", *row.size, count);
      }
      print_row(count, row.size->name, row.style, row.ours, inotify, pub, erlang_, dask_);
    }
  }

  void start_fleet(std::size_t count, std::vector<Child>& children) {
    board_->begin(++number_, static_cast<std::uint32_t>(count));
    Module module(kSizes[0].library);
    put(work_.path() + "/build", "libbench.so", module.with_answer(number_), Style::kRename);
    children.emplace_back(std::vector<std::string>{options_.watch, "watch", work_.path() + "/build"}, true);
    for (std::size_t i = 0; i < count; ++i) {
      children.emplace_back(std::vector<std::string>{MODDEV_BENCH_EXECUTOR, board_path(), std::to_string(i)});
    }
    if (!board_->wait(kPatienceMs)) give_up("the executors do not get ready");
    // Joining has a tail: acks, and what the terminal is told.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }

  Figures raw_inotify(const Size& size, Style style) {
    Module module(size.library);
    board_->begin(++number_, 1);
    const Child listener({self_, "--inotify", board_path(), "0", work_.path() + "/raw"});
    if (!board_->wait(kPatienceMs)) give_up("the listener does not get ready");
    return measure(*board_, 1, options_.rounds, number_, [&](std::int64_t n) {
      return put(work_.path() + "/raw", "libbench.so", module.with_answer(n), style);
    });
  }

  Figures raw_pub(const Size& size, std::size_t count) {
    Module module(size.library);
    const std::string endpoint = "ipc://" + runtime_.path() + "/pub";
    std::vector<Child> children;
    RawPublisher publisher(endpoint);
    for (std::size_t i = 0; i < count; ++i)
      children.emplace_back(
          std::vector<std::string>{self_, "--sub", board_path(), std::to_string(i), endpoint});
    board_->begin(++number_, static_cast<std::uint32_t>(count));
    for (int i = 0; i < 1000; ++i) {
      publisher.send(number_, {});
      if (board_->wait(20)) break;
    }
    return measure(*board_, count, options_.rounds, number_, [&](std::int64_t n) {
      const std::string& bytes = module.with_answer(n);
      const std::int64_t begin = monotonic_ns();
      publisher.send(n, bytes);
      return begin;
    });
  }

  /// What a peer's script printed: "p50 p99 max" in microseconds, or why there is nothing.
  std::string peer(const std::string& script, const std::string& is_there, const std::string& interpreter,
                   const Size& size, std::size_t count) {
    if (output_of(is_there + " 2>/dev/null").empty()) return "not installed";
    struct stat file {};
    ::stat(size.library, &file);
    const std::string text =
        output_of(interpreter + " " MODDEV_BENCH_SOURCE "/" + script + " " + std::to_string(count) + " " +
                  std::to_string(options_.rounds) + " " + std::to_string(file.st_size) +
                  " 2>/dev/null");  // workers that are stopped complain
    return text.empty() ? "failed" : text;
  }

  static void print_head() {
    std::printf("%5s %-7s %-7s | %8s %8s %8s %8s | %8s %8s | %-26s | %-26s | %s\n", "exec.", "module", "by",
                "p50", "p99", "max", "skew", "inotify", "PUB", "nl p50, p99, max", "Dask p50, p99, max",
                "ratios: to inotify+PUB, to nl, to Dask");
  }

  /// Prints a peer's figures; returns the median in milliseconds, 0 when there is none.
  static double print_peer(const std::string& text) {
    double us[3] = {};
    if (std::sscanf(text.c_str(), "%lf %lf %lf", &us[0], &us[1], &us[2]) == 3) {
      std::printf(" %8.3f %8.3f %8.3f |", us[0] / 1e3, us[1] / 1e3, us[2] / 1e3);
      return us[0] / 1e3;
    }
    std::printf(" %-26s |", text.empty() ? "not asked" : text.c_str());
    return 0;
  }

  static void print_row(std::size_t count, const char* size, Style style, const Figures& ours,
                        const Figures& inotify, const Figures& pub, const std::string& erlang,
                        const std::string& dask) {
    std::printf("%5zu %-7s %-7s | %8.3f %8.3f %8.3f %8.3f |", count, size,
                style == Style::kRename ? "rename" : "close", ours.p50(), ours.p99(), ours.max(),
                Figures::at(ours.skew_ms, 0.5));
    std::printf(" %8.3f %8.3f |", inotify.p50(), pub.p50());
    const double nl = print_peer(erlang);
    const double upload = print_peer(dask);
    for (const double peer : {inotify.p50() + pub.p50(), nl, upload}) {
      if (peer > 0)
        std::printf(" %6.2f", ours.p50() / peer);
      else
        std::printf(" %6s", "-");
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  Options options_;
  std::string self_;
  WorkDirectory work_;
  WorkDirectory runtime_;
  Board* board_ = nullptr;
  std::int64_t number_ = 0;
  std::string erlang_;
  std::string dask_;
};

// --------------------------------------------------------------------------------------------- command line

int usage() {
  std::fputs(
      "usage: world_edit_to_live_bench [--rounds N] [--executors N,N...] [--no-peers] [--signed] [--watch "
      "PROGRAM]\n"
      "                                [--directory DIR] [--runtime DIR]\n"
      "PROGRAM is the moddev program to run as `PROGRAM watch DIR`. Modules, history and cache are below\n"
      "--directory [/tmp], sockets and images below --runtime [/dev/shm].\n",
      stderr);
  return 2;
}

std::optional<std::size_t> number_in(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--no-peers") {
      options.peers = false;
      continue;
    }
    if (argument == "--signed") {
      options.signatures = true;
      continue;
    }
    if (i + 1 == argc) return std::nullopt;
    std::string_view value = argv[++i];
    if (argument == "--watch") {
      options.watch = value;
    } else if (argument == "--directory") {
      options.directory = value;
    } else if (argument == "--runtime") {
      options.runtime = value;
    } else if (argument == "--rounds") {
      const auto rounds = number_in(value);
      if (!rounds || *rounds == 0) return std::nullopt;
      options.rounds = static_cast<int>(*rounds);
    } else if (argument == "--executors") {
      options.executors.clear();
      while (!value.empty()) {
        const std::size_t comma = std::min(value.find(','), value.size());
        const auto count = number_in(value.substr(0, comma));
        if (!count || *count == 0 || *count > kSlots) return std::nullopt;
        options.executors.push_back(*count);
        value.remove_prefix(std::min(comma + 1, value.size()));
      }
    } else {
      return std::nullopt;
    }
  }
  return options;
}

int be_a_peer(const std::string& role, const std::string& board_path, const std::string& slot,
              const std::string& where) {
  Board* board = Board::open(board_path);
  const auto place = number_in(slot);
  if (board == nullptr || !place || *place >= kSlots) return 1;
  return role == "--inotify" ? listen_to_inotify(where, *board, *place)
                             : listen_to_pub(where, *board, *place);
}

}  // namespace
}  // namespace moddev::bench

int main(int argc, char** argv) {
  using namespace moddev::bench;
  if (argc == 5 && (std::string_view(argv[1]) == "--inotify" || std::string_view(argv[1]) == "--sub"))
    return be_a_peer(argv[1], argv[2], argv[3], argv[4]);
  auto options = parse(argc, argv);
  if (!options) return usage();
  if (options->signatures) {
    compare_prices(
        {options->rounds, options->executors, options->directory, options->runtime, options->watch});
    return 0;
  }
  Bench(std::move(*options), "/proc/self/exe").run();
}
