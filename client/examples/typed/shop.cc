// The program: prints what the newest version of the module makes of an order, and why it stays with the last
// good one when a version does not fit.
#include <moddev/client.h>

#include <cstdio>
#include <thread>

#include "scoring.h"

using namespace std::chrono_literals;

int main() {
  moddev::ClientOptions options;
  options.name = "shop";
  options.on_event = [](const moddev::ClientEvent& event) {
    if (event.kind != moddev::ClientEvent::Kind::kFailed) return;
    std::printf("refused %s: %s\n", event.module.c_str(), event.message.c_str());
    std::fflush(stdout);
  };
  auto client = moddev::Client::connect(std::move(options));
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  auto scoring = client->interface<shop::Scoring>("scorer");  // always the newest version
  if (auto ready = client->wait_for("scorer", 30s); !ready)
    return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;

  const shop::Order order{.id = 1, .weight = 10};
  for (double last = -1;; std::this_thread::sleep_for(10ms)) {
    const double now = scoring->score(order);
    if (now != last) std::printf("score = %g of %g\n", now, scoring->limit), std::fflush(stdout);
    last = now;
  }
}
