// One executor of the edit_to_live benchmark: calls the module as soon as a new epoch is live and writes down
// when it had the answer. usage: world_bench_executor BOARD SLOT; finds the daemon like any executor.
#include <moddev/client.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/bench/world/board.h"

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: world_bench_executor BOARD SLOT\n", stderr), 2;
  moddev::bench::Board* board = moddev::bench::Board::open(argv[1]);
  if (board == nullptr) return std::fprintf(stderr, "cannot map %s\n", argv[1]), 1;
  const auto slot = static_cast<std::size_t>(std::strtoul(argv[2], nullptr, 10));
  if (slot >= moddev::bench::kSlots) return 2;

  moddev::ClientOptions options;
  options.name = "bench-" + std::string(argv[2]);
  std::atomic<moddev::Client*> self{nullptr};
  const auto call = [&] {
    const moddev::Client* client = self;
    if (client == nullptr) return;
    const moddev::Pin pin = client->pin();
    if (auto answer = pin.function<std::int64_t()>("bench", "answer")) board->report(slot, (*answer)());
  };
  options.on_event = [&](const moddev::ClientEvent& event) {
    if (event.kind == moddev::ClientEvent::Kind::kApplied) call();
    if (event.kind == moddev::ClientEvent::Kind::kFailed)
      std::fprintf(stderr, "%s: %s %s\n", argv[2], event.module.c_str(), event.message.c_str());
  };
  auto client = moddev::Client::connect(std::move(options));
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  self = &*client;
  if (auto ready = client->wait_for("bench", std::chrono::seconds(20)); !ready)
    return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;
  call();
  for (;;) ::pause();
}
