// A program in C++ whose callbacks throw through the C interface: they are called again, and the process
// lives. Usage: c_api_throwing; the daemon serves the blob "notes.txt".
#include <moddev/c_api.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

namespace {

std::atomic<int> events = 0;
std::atomic<int> changes = 0;

void on_event(const moddev_event*, void*) {
  ++events;
  throw std::runtime_error("from on_event");
}

void on_change(const moddev_pin*, void*) {
  ++changes;
  throw 7;
}

}  // namespace

int main() {
  moddev_options options{};
  options.size = sizeof options;
  options.on_event = on_event;
  moddev_client* client = moddev_connect(&options, nullptr);
  if (client == nullptr) return 1;
  if (moddev_wait_for(client, "notes.txt", 30'000, nullptr) != MODDEV_OK) return 2;
  moddev_watch* watch = moddev_watch_module(client, "notes.txt", on_change, nullptr);
  // Told while the first is watched: a second watch is told after it.
  moddev_watch* second = moddev_watch_module(client, "notes.txt", on_change, nullptr);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (changes < 2 || events < 2) {
    if (std::chrono::steady_clock::now() > end) return 3;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  moddev_unwatch(second);
  moddev_unwatch(watch);
  moddev_disconnect(client);
  std::puts("alive");
  return 0;
}
