// The fixed seeds of every test run, and the proof that the checkers see: each planted mistake must be found
// by them.
#include "tests/sim/simulation.h"

#include <gtest/gtest.h>

#include <string>

namespace moddev::sim {
namespace {

/// In slices, so that CTest runs them side by side.
constexpr std::uint64_t kSeedsPerSlice = 50;
constexpr std::uint64_t kSlices = 4;

class FixedSeeds : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(FixedSeeds, KeepEveryGuarantee) {
  Tally tally;
  for (std::uint64_t i = 0; i < kSeedsPerSlice; ++i) {
    SimulationOptions options;
    options.seed = GetParam() * kSeedsPerSlice + i + 1;
    const SimulationResult result = simulate(options);
    tally += result.tally;
    if (result.violation) {
      ADD_FAILURE() << "seed " << options.seed << ": " << result.violation->checker << ": "
                    << result.violation->what << "\nmoddev_sim --seeds " << options.seed << ".."
                    << options.seed << " --trace shows how it came about.";
    }
  }
  // Worlds in which nothing happens would pass as well.
  EXPECT_GT(tally.committed, kSeedsPerSlice * 3);
  EXPECT_GT(tally.applied, kSeedsPerSlice * 6);
  EXPECT_GT(tally.aborted, 0U);
  EXPECT_GT(tally.daemon_deaths, 0U);
  EXPECT_GT(tally.executor_deaths, 0U);
  EXPECT_GT(tally.trials, 0U);
  EXPECT_GT(tally.returns, 0U);
}
INSTANTIATE_TEST_SUITE_P(Slices, FixedSeeds, ::testing::Range<std::uint64_t>(0, kSlices));

TEST(Simulation, TellsTheSameSeedTwiceInTheSameWay) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    EXPECT_EQ(simulate(options).trace_digest, simulate(options).trace_digest) << "seed " << seed;
  }
}

struct Mistake {
  Plant plant;
  const char* checker;
};

class PlantedMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(PlantedMistake, IsFoundWithinTheFixedSeeds) {
  std::string others;
  for (std::uint64_t seed = 1; seed <= kSeedsPerSlice * kSlices; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.plant = GetParam().plant;
    const SimulationResult result = simulate(options);
    if (result.violation && result.violation->checker == GetParam().checker) return;
    if (result.violation) others += " " + result.violation->checker;
  }
  FAIL() << "no seed shows " << to_string(GetParam().plant) << " to " << GetParam().checker
         << "; reported were:" << others;
}
INSTANTIATE_TEST_SUITE_P(
    Checkers, PlantedMistake,
    ::testing::Values(Mistake{Plant::kDeafToGaps, "Converges"}, Mistake{Plant::kHastyCommit, "PerFleet"},
                      Mistake{Plant::kMixedView, "PerProcess"}, Mistake{Plant::kLyingLease, "NeverTorn"},
                      Mistake{Plant::kForgetfulJournal, "OnlyRises"},
                      Mistake{Plant::kSilentPowerCut, "OnlyRises"},
                      Mistake{Plant::kEagerFollower, "PerFleet"}, Mistake{Plant::kHastyRestart, "Rejoins"},
                      Mistake{Plant::kSilentRunner, "RunsTold"}),
    [](const auto& planted) {
      std::string name = to_string(planted.param.plant);
      std::erase(name, '-');
      return name;
    });

}  // namespace
}  // namespace moddev::sim
