// One epoch through the daemon's core: announce -> all prepared -> commit -> all applied -> settled, for 500
// and 5,000 light members in this process. "core" is Daemon::step() with messages as values; "fleet" is the
// state machine alone, the floor. Both include the answers to two acks a member. Time per member is what
// counts.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "daemon/daemon.h"
#include "daemon/fleet.h"
#include "daemon/transport.h"
#include "tests/support/service/scripted_feed.h"

namespace {

using namespace moddev;
using namespace moddev::daemon;

void check(bool fine, const char* what) {
  if (!fine) {
    std::fprintf(stderr, "fleet_bench: %s\n", what);
    std::abort();
  }
}

Uuid uuid(std::size_t n) {
  Uuid id;
  // Spread over the whole range, as random ids are.
  const std::uint64_t mixed = (n + 1) * 0x9e3779b97f4a7c15ULL;
  for (std::size_t i = 0; i < sizeof mixed; ++i) id.bytes[i] = static_cast<std::uint8_t>(mixed >> (8 * i));
  id.bytes[15] = static_cast<std::uint8_t>(n);
  return id;
}

ExecutorIdentity identity(std::size_t n) {
  return {uuid(n), "e" + std::to_string(n), "host", 1};
}

/// Hands out the requests that it was given, and counts.
class CountingTransport final : public Transport {
 public:
  std::optional<IncomingRequest> receive() override {
    if (next == requests.size()) return std::nullopt;
    return IncomingRequest{Peer{}, std::move(requests[next++])};
  }
  bool pending() override { return next < requests.size(); }
  bool reply(const Peer&, const Reply&) override {
    ++replies;
    return true;
  }
  std::size_t publish(const Event& event) override {
    announced += std::holds_alternative<AnnounceEvent>(event.body) ? 1 : 0;
    committed += std::holds_alternative<CommitEvent>(event.body) ? 1 : 0;
    return 0;
  }
  std::string endpoint() const override { return "bench"; }
  std::string events_endpoint() const override { return "bench"; }
  std::vector<int> descriptors() const override { return {}; }

  std::vector<Request> requests;
  std::size_t next = 0;
  std::size_t replies = 0;
  std::size_t announced = 0;
  std::size_t committed = 0;
};

void fleet(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  Fleet members(FleetOptions{});
  TimePoint now{std::chrono::seconds(1)};
  std::vector<FleetAction> actions;
  for (std::size_t n = 0; n < count; ++n) members.join({identity(n), {}, 0}, 0, now);
  members.step(now, actions);
  Epoch epoch = 0;
  for (auto _ : state) {
    ++epoch;
    members.begin(epoch, now, now);
    for (const AckPhase phase : {AckPhase::kPrepared, AckPhase::kApplied}) {
      for (std::size_t n = 0; n < count; ++n) members.ack({uuid(n), epoch, phase, {}, 0}, now);
      actions.clear();
      members.step(now, actions);
      check(actions.size() == 1, "one action after each phase");
      if (phase == AckPhase::kPrepared) members.committed(now);
    }
    check(!members.busy() && actions[0].applied == count, "everyone has applied");
  }
  state.counters["ns_per_member"] =
      benchmark::Counter(static_cast<double>(count),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(fleet)->Arg(500)->Arg(5'000)->Unit(benchmark::kMicrosecond);

/// One daemon and its members, with epochs of one small module.
void core(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  testing::ScriptedFeed feed;
  MemoryBlobStore blobs;
  CountingTransport transport;
  const WallTime wall{std::chrono::seconds(1)};
  auto journal = Journal::open(":memory:", wall);
  check(journal.ok(), "a journal in memory");
  Daemon daemon(DaemonOptions{}, feed, blobs, **journal, transport);
  TimePoint now{std::chrono::seconds(1)};
  const auto settle = [&] {
    while (daemon.step(now, wall) <= now) {
    }
    (void)daemon.take_events();
  };
  const auto say = [&](auto&& make) {
    transport.requests.clear();
    transport.next = 0;
    for (std::size_t n = 0; n < count; ++n) transport.requests.push_back({n, make(n)});
  };
  say([](std::size_t n) { return JoinRequest{identity(n), {}, 0}; });
  settle();
  Epoch epoch = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ++epoch;
    feed.write(blobs, {{"scorer", std::string(4096, 'x') + std::to_string(epoch)}}, now);
    state.ResumeTiming();
    daemon.step(now, wall);  // announce
    for (const AckPhase phase : {AckPhase::kPrepared, AckPhase::kApplied}) {
      state.PauseTiming();
      say([&](std::size_t n) { return AckRequest{uuid(n), epoch, phase, {}, 100}; });
      state.ResumeTiming();
      while (transport.pending()) daemon.step(now, wall);
    }
    state.PauseTiming();
    check((*journal)->committed().epoch == epoch && transport.committed == epoch, "committed once");
    settle();  // who applied what is written behind the switch
    state.ResumeTiming();
  }
  check(transport.announced == epoch, "announced once");
  state.counters["ns_per_member"] =
      benchmark::Counter(static_cast<double>(count),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(core)->Arg(1)->Arg(500)->Arg(5'000)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
