#include <moddev/client.h>

#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int main() {
  auto client = moddev::Client::connect({.name = "worker"});  // finds `moddev watch` by itself
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  if (auto ready = client->wait_for("scorer", 30s); !ready)
    return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;

  auto score = client->function<long(long)>("scorer", "score");  // always the newest version
  for (long last = -1;; std::this_thread::sleep_for(10ms)) {
    const long now = score(20);
    if (now != last) std::printf("score(20) = %ld\n", now), std::fflush(stdout);
    last = now;
  }
}
