// Blobs from `moddev watch` as it is, through the client's fetcher and its sockets into a cache on disk,
// beside raw libzmq: a process that sends as many bytes as one message from memory to memory. Ours are read
// from the daemon's store, verified and written to the cache (up to one piece: kept in memory); so raw libzmq
// is shown as it is and with SHA-256 over what came. While the largest one is fetched, how long small
// requests of another client take.
//   blob_transfer_bench [--directory DIR] [--watch PROGRAM] [BYTES...]
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "client/src/fetcher.h"
#include "client/src/requester.h"
#include "client/src/zmq_link.h"
#include "protocol/blob_store.h"
#include "tests/bench/world/children.h"

namespace moddev::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr auto kPatience = seconds(120);

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "blob_transfer_bench: %s\n", why.c_str());
  std::exit(1);
}

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

double at(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values.at(
      std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size()))));
}

Bytes content(std::size_t size) {
  Bytes bytes(size);
  std::uint64_t state = size + 88172645463325252ULL;
  for (std::size_t i = 0; i + 8 <= size; i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::copy_n(reinterpret_cast<const std::byte*>(&state), 8,
                bytes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return bytes;
}

double fetch(client::ZmqLink& link, DirectoryBlobStore& cache, const Digest& digest, std::size_t size) {
  SystemClock clock;
  client::Fetcher fetcher(cache);
  static std::uint64_t id = 0;
  const auto start = SteadyClock::now();
  fetcher.want({{digest, size}}, clock.now());
  while (!fetcher.done()) {
    if (!fetcher.problems().empty()) give_up(fetcher.problems().begin()->second.message);
    fetcher.step(clock.now(), [&link](const BlobRequest& piece) {
      link.send({++id, piece});
      return id;
    });
    bool idle = true;
    while (auto input = link.receive()) {
      idle = false;
      if (auto* reply = std::get_if<Reply>(&*input)) fetcher.take(reply->id, reply->body, clock.now());
    }
    if (!idle) continue;
    std::vector<pollfd> waiting;
    for (const int descriptor : link.descriptors()) waiting.push_back({descriptor, POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), 10);
  }
  const double took = seconds_since(start);
  (void)cache.remove(digest);
  return took;
}

int be_a_raw_sender(const std::string& endpoint, std::size_t size) {
  const Bytes bytes = content(size);
  zmq::context_t context;
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.bind(endpoint);
  for (;;) {
    zmq::message_t request;
    if (!socket.recv(request)) return 1;
    socket.send(zmq::message_t(
                    const_cast<std::byte*>(bytes.data()), bytes.size(), [](void*, void*) {}, nullptr),
                zmq::send_flags::none);
  }
}

class Raw {
 public:
  Raw(const std::string& endpoint, std::size_t size)
      : sender_({"/proc/self/exe", "--raw", endpoint, std::to_string(size)}) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.connect(endpoint);
    (void)fetch(false);
  }
  double fetch(bool verified) {
    const auto start = SteadyClock::now();
    socket_.send(zmq::str_buffer("?"), zmq::send_flags::none);
    zmq::message_t reply;
    (void)socket_.recv(reply);
    if (verified && digest_of({static_cast<const std::byte*>(reply.data()), reply.size()}) == Digest{})
      std::abort();
    return seconds_since(start);
  }

 private:
  Child sender_;
  zmq::context_t context_;
  zmq::socket_t socket_{context_, zmq::socket_type::dealer};
};

class Bench {
 public:
  Bench(const std::string& directory, std::string watch) : work_(directory), runtime_("/dev/shm") {
    for (const char* name : {"/build", "/state", "/cache"}) ::mkdir((work_.path() + name).c_str(), 0700);
    ::setenv("XDG_STATE_HOME", (work_.path() + "/state").c_str(), 1);
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    endpoint_ = "ipc://" + runtime_.path() + "/d.sock";
    daemon_ =
        std::make_unique<Child>(std::vector<std::string>{std::move(watch), "watch", work_.path() + "/build",
                                                         "--json", "--bind", endpoint_},
                                true);
    auto cache = DirectoryBlobStore::open(work_.path() + "/cache/blobs");
    if (!cache) give_up(cache.error().message);
    cache_ = std::move(*cache);
    for (int i = 0; i < 600 && !asking_; ++i) {
      if (auto asking = client::Requester::open(endpoint_, "bench", seconds(1))) asking_ = std::move(*asking);
      if (!asking_) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    auto link = client::ZmqLink::connect(endpoint_);
    if (!asking_ || !link) give_up("moddev watch does not answer");
    link_ = std::move(*link);
    std::printf("%s\n%12s | %10s %10s %10s | %8s %14s   (medians)\n", describe_machine(work_.path()).c_str(),
                "bytes", "moddev", "raw", "raw+SHA256", "to raw", "to raw+SHA256");
    std::printf("%12s | %10s %10s %10s |\n", "", "MiB/s", "MiB/s", "MiB/s");
  }

  void measure(std::size_t size) {
    const Digest digest = publish(size);
    Raw raw("ipc://" + runtime_.path() + "/raw" + std::to_string(size), size);
    std::vector<double> ours, bare, verified;
    const int rounds = size >= (256UL << 20) ? 3 : size >= (16UL << 20) ? 9 : 60;
    for (int i = 0; i < rounds; ++i) {
      ours.push_back(fetch(*link_, *cache_, digest, size));
      bare.push_back(raw.fetch(false));
      verified.push_back(raw.fetch(true));
    }
    const double mib = static_cast<double>(size) / 1048576.0;
    const double us = at(ours, 0.5);
    std::printf("%12zu | %10.0f %10.0f %10.0f | %8.2f %14.2f\n", size, mib / us, mib / at(bare, 0.5),
                mib / at(verified, 0.5), at(bare, 0.5) / us, at(verified, 0.5) / us);
    std::fflush(stdout);
    largest_ = {digest, size};
  }

  void small_requests_meanwhile() {
    const std::vector<double> alone = small_requests([n = 0]() mutable { return ++n > 500; });
    std::atomic<bool> done = false;
    std::thread fetching([&] {
      (void)fetch(*link_, *cache_, largest_.digest, largest_.size);
      done = true;
    });
    const std::vector<double> busy = small_requests([&] { return done.load(); });
    fetching.join();
    std::printf(
        "small requests: p50 %.2f ms, p99 %.2f ms; while %zu bytes are fetched: p50 %.2f ms, p99 %.2f ms, "
        "slowest of %zu %.2f ms\n",
        at(alone, 0.5) * 1e3, at(alone, 0.99) * 1e3, largest_.size, at(busy, 0.5) * 1e3, at(busy, 0.99) * 1e3,
        busy.size(), at(busy, 1.0) * 1e3);
    std::ifstream status("/proc/" + std::to_string(daemon_->pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM")) std::printf("the daemon's memory was at most: %s\n", line.c_str());
    }
  }

 private:
  template <typename Enough>
  std::vector<double> small_requests(Enough enough) {
    std::vector<double> times;
    do {
      const auto start = SteadyClock::now();
      if (!asking_->ask_for<HelloReply>(HelloRequest{"bench"}, kPatience)) give_up("a small request failed");
      times.push_back(seconds_since(start));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    } while (!enough());
    return times;
  }

  Digest publish(std::size_t size) {
    const Bytes bytes = content(size);
    const std::string name = "blob-" + std::to_string(size);
    {
      std::ofstream file(work_.path() + "/new", std::ios::binary);
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    (void)::rename((work_.path() + "/new").c_str(), (work_.path() + "/build/" + name).c_str());
    const auto end = SteadyClock::now() + kPatience;
    while (SteadyClock::now() < end) {
      if (auto found = asking_->ask_for<ModuleReply>(ModuleRequest{name, 1, {}, 0}, seconds(10)))
        return found->module.digest;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    give_up(name + " is not published");
  }

  struct Largest {
    Digest digest;
    std::size_t size = 0;
  };
  WorkDirectory work_;
  WorkDirectory runtime_;
  std::string endpoint_;
  std::unique_ptr<Child> daemon_;
  std::unique_ptr<DirectoryBlobStore> cache_;
  std::unique_ptr<client::Requester> asking_;
  std::unique_ptr<client::ZmqLink> link_;
  Largest largest_;
};

}  // namespace
}  // namespace moddev::bench

int main(int argc, char** argv) {
  using namespace moddev::bench;
  if (argc == 4 && std::string_view(argv[1]) == "--raw")
    return be_a_raw_sender(argv[2], std::strtoull(argv[3], nullptr, 10));
  std::string directory = "/tmp";
  std::string watch = MODDEV_BENCH_WATCH;
  std::vector<std::size_t> sizes;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--directory" && i + 1 < argc) {
      directory = argv[++i];
    } else if (argument == "--watch" && i + 1 < argc) {
      watch = argv[++i];
    } else {
      sizes.push_back(std::strtoull(argv[i], nullptr, 10));
    }
  }
  if (sizes.empty()) sizes = {64UL << 10, 1UL << 20, 64UL << 20, 1UL << 30};
  if (std::ranges::count(sizes, 0U) > 0) {
    std::fputs("usage: blob_transfer_bench [--directory DIR] [--watch PROGRAM] [BYTES...]\n", stderr);
    return 2;
  }
  Bench bench(directory, std::move(watch));
  for (const std::size_t size : sizes) bench.measure(size);
  bench.small_requests_meanwhile();
  return 0;
}
