// Calls score(20) a hundred times a second and says when the result is another one.
#include <moddev/client.h>

#include <atomic>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int main(int, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::atomic<bool> refused = false;
  auto client =
      moddev::Client::connect({.name = arguments[1], .on_event = [&](const moddev::ClientEvent& event) {
                                 using Kind = moddev::ClientEvent::Kind;
                                 if (event.kind == Kind::kFailed || event.kind == Kind::kAborted)
                                   refused = true;
                               }});
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  if (auto ready = client->wait_for("scorer", 30s); !ready)
    return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;

  auto score = client->function<long(long)>("scorer", "score");
  for (long last = -1;; std::this_thread::sleep_for(10ms)) {
    const long now = score(20);
    if (refused.exchange(false)) std::printf("still score(20) = %ld: the new version was refused\n", now);
    if (now != last) std::printf("score(20) = %ld\n", now);
    last = now;
  }
}
