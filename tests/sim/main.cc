// moddev_sim: runs the simulated world for any range of seeds. `moddev_sim --seeds 1..100000` prints each
// violation with its seed and ends with 1 if there was one; `moddev_sim --seeds 17..17 --trace` shows what
// happened; `--plant NAME` runs the worlds with a known mistake.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/sim/simulation.h"

namespace {

using namespace moddev;
using namespace moddev::sim;

int usage() {
  std::fputs(
      "usage: moddev_sim --seeds FROM..TO [--trace] [--twice] [--plant "
      "deaf-to-gaps|hasty-commit|mixed-view|lying-lease|forgetful-journal|silent-power-cut|eager-follower|"
      "hasty-restart|silent-runner]\n",
      stderr);
  return 2;
}

bool read_range(std::string_view text, std::uint64_t& from, std::uint64_t& to) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) return false;
  const auto read = [](std::string_view part, std::uint64_t& value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size();
  };
  return read(text.substr(0, dots), from) && read(text.substr(dots + 2), to) && from <= to;
}

std::optional<Plant> plant_from(std::string_view name) {
  for (const Plant plant : {Plant::kDeafToGaps, Plant::kHastyCommit, Plant::kMixedView, Plant::kLyingLease,
                            Plant::kForgetfulJournal, Plant::kSilentPowerCut, Plant::kEagerFollower,
                            Plant::kHastyRestart, Plant::kSilentRunner}) {
    if (name == to_string(plant)) return plant;
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool twice = false;
  SimulationOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--trace") {
      options.print = true;
    } else if (argument == "--twice") {
      twice = true;
    } else if (argument == "--seeds" && i + 1 < argc) {
      if (!read_range(argv[++i], from, to)) return usage();
    } else if (argument == "--plant" && i + 1 < argc) {
      const auto plant = plant_from(argv[++i]);
      if (!plant) return usage();
      options.plant = *plant;
    } else {
      return usage();
    }
  }
  if (to == 0) return usage();

  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t violations = 0;
  Tally tally;
  for (std::uint64_t seed = from; seed <= to; ++seed) {
    options.seed = seed;
    SimulationResult result = simulate(options);
    if (!result.violation && twice && simulate(options).trace_digest != result.trace_digest)
      result.violation = Violation{"Determinism", "the same seed gave two histories", {}};
    tally += result.tally;
    if (!result.violation) continue;
    ++violations;
    std::printf("seed %llu, %.6f s: %s: %s\n", static_cast<unsigned long long>(seed),
                to_ms(result.violation->at.time_since_epoch()) / 1e3, result.violation->checker.c_str(),
                result.violation->what.c_str());
    std::fflush(stdout);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto count = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%llu seeds in %.1f s (%.2f ms each), %llu with a violation\n", count(to - from + 1), seconds,
              seconds * 1e3 / static_cast<double>(to - from + 1), count(violations));
  std::printf(
      "%llu epochs announced, %llu committed, %llu aborted, %llu tried in canaries, %llu returned from; %llu "
      "views applied; %llu messages; the daemon "
      "died "
      "%llu times, executors %llu times; slowest to converge: %.1f s of virtual time\n",
      count(tally.announced), count(tally.committed), count(tally.aborted), count(tally.trials),
      count(tally.returns), count(tally.applied), count(tally.messages), count(tally.daemon_deaths),
      count(tally.executor_deaths), to_ms(tally.to_converge) / 1e3);
  return violations == 0 ? 0 : 1;
}
