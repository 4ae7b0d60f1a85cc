// An executor that runs tasks of jobs. Each line "EPOCH CALLS" of its input is a task: it holds exactly that
// epoch and calls m:answer so often. It answers "EPOCH FIRST LAST SAME", or "refused CODE MESSAGE". Without
// an epoch
// ("now") it says which one is live.
#include <moddev/client.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <utility>

/// A task of such an epoch is there to be refused.
constexpr std::uint64_t kFarAway = 1000;

int main() {
  moddev::ClientOptions options;
  options.name = "job-executor";
  auto client = moddev::Client::connect(std::move(options));
  if (!client) return std::fprintf(stderr, "%s\n", client.error().message.c_str()), 1;
  if (auto ready = client->wait_for("m", std::chrono::seconds(30)); !ready) {
    return std::fprintf(stderr, "%s\n", ready.error().message.c_str()), 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "now") {
      std::cout << client->epoch() << std::endl;
      continue;
    }
    std::istringstream task(line);
    std::uint64_t epoch = 0;
    long calls = 0;
    task >> epoch >> calls;
    const auto pin = client->pin_epoch(epoch, std::chrono::seconds(epoch > kFarAway ? 1 : 20));
    if (!pin) {
      std::cout << "refused " << moddev::to_string(pin.error().code) << " " << pin.error().message
                << std::endl;
      continue;
    }
    const auto answer = pin->function<long long()>("m", "answer");
    if (!answer) {
      std::cout << "refused " << moddev::to_string(answer.error().code) << " " << answer.error().message
                << std::endl;
      continue;
    }
    const long long first = (*answer)();
    long long last = first;
    bool same = true;
    for (long i = 1; i < calls; ++i) same = (last = (*answer)()) == first && same;
    std::cout << pin->epoch() << " " << first << " " << last << " " << (same ? "same" : "MIXED") << std::endl;
  }
}
