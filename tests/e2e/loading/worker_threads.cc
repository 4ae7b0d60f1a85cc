// A program as a user writes it: threads that call two modules, `left` and `right`, which both need `base`,
// all the time, and check that the three belong together. A line on standard input asks how it is; the end of
// standard input ends it. Answers are JSON lines.
#include <moddev/client.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 4;
constexpr long kOwn = 1'000'000;  // left() is kOwn * its own number + what base() returns; so is right()

struct Counts {
  std::atomic<bool> end{false};
  std::atomic<std::uint64_t> calls{0};
  std::atomic<std::uint64_t> mixed{0};
  std::atomic<std::uint64_t> missing{0};
};

/// One pin, three modules, each called twice: one epoch, or it is counted.
void check_once(const moddev::Client& client, std::uint64_t& newest, Counts& counts) {
  const moddev::Pin pin = client.pin();
  const auto base = pin.function<long()>("base", "base");
  const auto left = pin.function<long()>("left", "left");
  const auto right = pin.function<long()>("right", "right");
  if (!base || !left || !right) {
    ++counts.missing;
    return;
  }
  const long expected = (*base)();
  const long l = (*left)();
  const long r = (*right)();
  const bool same = l % kOwn == expected && r % kOwn == expected && (*base)() == expected && (*left)() == l &&
                    (*right)() == r && pin.epoch() >= newest;
  newest = pin.epoch();
  if (!same) ++counts.mixed;
  ++counts.calls;
}

std::size_t entries(const char* directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}

void tell(const moddev::Client& client, const Counts& counts) {
  long resident = 0;
  long size = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  std::size_t mappings = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) ++mappings;
  const moddev::Pin pin = client.pin();
  const auto value = [&](const char* name) {
    const auto function = pin.function<long()>(name, name);
    return function ? (*function)() : -1;
  };
  std::printf(
      "{\"event\":\"report\",\"epoch\":%lu,\"base\":%ld,\"left\":%ld,\"right\":%ld,\"calls\":%lu,\"mixed\":%"
      "lu,"
      "\"missing\":%lu,\"resident_kib\":%ld,\"descriptors\":%zu,\"mappings\":%zu,\"threads\":%zu}\n",
      pin.epoch(), value("base"), value("left"), value("right"), counts.calls.load(), counts.mixed.load(),
      counts.missing.load(), resident * (::sysconf(_SC_PAGESIZE) / 1024), entries("/proc/self/fd"), mappings,
      entries("/proc/self/task"));
  std::fflush(stdout);
}

}  // namespace

int main() {
  auto client = moddev::Client::connect({.name = "workers"});
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  for (const char* module : {"base", "left", "right"}) {
    if (auto ready = client->wait_for(module, std::chrono::seconds(60)); !ready)
      return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;
  }
  Counts counts;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      std::uint64_t newest = 0;
      while (!counts.end) {
        for (int n = 0; n < 200; ++n) check_once(*client, newest, counts);
        std::this_thread::sleep_for(std::chrono::microseconds(200));  // others want to build here
      }
    });
  }
  tell(*client, counts);
  for (std::string line; std::getline(std::cin, line);) tell(*client, counts);
  counts.end = true;
  for (std::thread& thread : threads) thread.join();
  tell(*client, counts);
  return counts.mixed == 0 && counts.missing == 0 ? 0 : 2;
}
