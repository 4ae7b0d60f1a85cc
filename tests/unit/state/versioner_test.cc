#include "daemon/versioner.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/state/scratch.h"
#include "tests/support/world/random.h"

namespace moddev::daemon {
namespace {

using testing::at_second;
using testing::content;

/// What the journal would remember, without one.
struct Memory {
  Manifest committed;
  LastVersions last;
  Epoch head = 0;

  std::optional<EpochRecord> next(const ModuleSet& modules, const Manifest* refused = nullptr,
                                  std::int64_t second = 1) const {
    return next_epoch(modules, committed, refused, head, last, at_second(second));
  }
  EpochRecord announce(const ModuleSet& modules) {
    auto record = next(modules);
    MODDEV_ASSERT(record.has_value(), "something new was expected");
    head = record->epoch;
    for (const auto& [change, module] : record->changes) {
      if (change != ChangeKind::kRemoved) last[module.name] = {module.version, module.digest};
    }
    return *record;
  }
  void commit(const ModuleSet& modules) { committed = announce(modules).manifest; }
};

TEST(Versioner, BeginsWithOne) {
  Memory memory;
  const auto record = memory.next({{"scorer", content("a")}});
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->epoch, 1U);
  EXPECT_EQ(record->base, 0U);
  EXPECT_EQ(record->manifest.epoch, 1U);
  EXPECT_EQ(record->manifest.find("scorer")->version, 1U);
  EXPECT_EQ(record->manifest.find("scorer")->changed_at_ns, at_second(1).time_since_epoch().count());
  ASSERT_EQ(record->changes.size(), 1U);
  EXPECT_EQ(record->changes[0].change, ChangeKind::kAdded);
}

TEST(Versioner, SameBytesAreNothingNew) {
  Memory memory;
  EXPECT_FALSE(memory.next({}).has_value());
  memory.commit({{"scorer", content("a")}});
  EXPECT_FALSE(memory.next({{"scorer", content("a")}}).has_value());
}

TEST(Versioner, RaisesOnlyWhatChanged) {
  Memory memory;
  memory.commit({{"base", content("x")}, {"scorer", content("a")}});
  const auto record = memory.next({{"base", content("x")}, {"scorer", content("b")}}, nullptr, 50);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->manifest.find("base")->version, 1U);
  EXPECT_EQ(record->manifest.find("base")->changed_at_ns, at_second(1).time_since_epoch().count());
  EXPECT_EQ(record->manifest.find("scorer")->version, 2U);
  ASSERT_EQ(record->changes.size(), 1U);
  EXPECT_EQ(record->changes[0].module.name, "scorer");
}

TEST(Versioner, NewDependenciesAreANewEpochOfTheSameVersion) {
  Memory memory;
  memory.commit({{"base", content("x")}, {"scorer", content("a")}});
  const auto record = memory.next({{"base", content("x")}, {"scorer", content("a", {"base"})}}, nullptr, 50);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->manifest.find("scorer")->version, 1U);
  EXPECT_EQ(record->manifest.find("scorer")->changed_at_ns, at_second(1).time_since_epoch().count());
  ASSERT_EQ(record->changes.size(), 1U);
  EXPECT_EQ(record->changes[0].change, ChangeKind::kChanged);
}

TEST(Versioner, ANewKindOfTheSameBytesIsANewEpochOfTheSameVersion) {
  Memory memory;
  memory.commit({{"scorer", content("a")}});
  ModuleContent blob = content("a");
  blob.kind = ModuleKind::kBlob;
  const auto record = memory.next({{"scorer", blob}});
  ASSERT_TRUE(record.has_value());
  ASSERT_EQ(record->changes.size(), 1U) << "an epoch without a change";
  EXPECT_EQ(record->changes[0].module.kind, ModuleKind::kBlob);
  EXPECT_EQ(record->changes[0].module.version, 1U);
}

TEST(Versioner, AModuleThatComesBackKeepsItsNumberForTheSameBytesOnly) {
  Memory memory;
  memory.commit({{"keep", content("k")}, {"scorer", content("a")}});
  memory.commit({{"keep", content("k")}});
  EXPECT_EQ(memory.next({{"keep", content("k")}, {"scorer", content("a")}})->manifest.find("scorer")->version,
            1U);
  EXPECT_EQ(memory.next({{"keep", content("k")}, {"scorer", content("b")}})->manifest.find("scorer")->version,
            2U);
}

TEST(Versioner, RefusedContentIsNotTriedAgainUnchanged) {
  Memory memory;
  memory.commit({{"scorer", content("a")}});
  const EpochRecord refused = memory.announce({{"scorer", content("bad")}});
  EXPECT_FALSE(memory.next({{"scorer", content("bad")}}, &refused.manifest).has_value());
  const auto other = memory.next({{"scorer", content("good")}}, &refused.manifest);
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ(other->epoch, 3U);
  EXPECT_EQ(other->base, 1U);
  EXPECT_EQ(other->manifest.find("scorer")->version, 3U) << "version 2 stands for the refused bytes";
  // The refused bytes with a cure elsewhere keep the number that they were announced with.
  const auto cured = memory.next({{"base", content("x")}, {"scorer", content("bad")}}, &refused.manifest);
  EXPECT_EQ(cured->manifest.find("scorer")->version, 2U);
}

TEST(Versioner, AnyHistoryKeepsThePromisesOfNumbers) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::Random random(seed);
    Memory memory;
    std::optional<Manifest> refused;
    std::map<std::string, std::map<Version, Digest>> meaning;
    std::map<std::string, Version> newest_committed;
    ModuleSet directory;
    for (int step = 0; step < 60; ++step) {
      const std::string name(1, static_cast<char>('a' + random.below(3)));
      if (random.chance(0.15)) {
        directory.erase(name);
      } else {
        std::vector<std::string> needs;
        if (random.chance(0.2)) needs.push_back("z");
        directory[name] = content(std::string(1, static_cast<char>('0' + random.below(4))), needs);
      }
      const auto record = memory.next(directory, refused ? &*refused : nullptr);
      if (!record) continue;
      ASSERT_EQ(record->epoch, memory.head + 1);
      ASSERT_FALSE(record->changes.empty()) << "an empty epoch";
      ASSERT_EQ(apply(memory.committed, record->changes, record->epoch), record->manifest);
      for (const auto& [module_name, module] : record->manifest.modules) {
        ASSERT_EQ(module.digest, directory.at(module_name).digest);
        const auto [known, fresh] = meaning[module_name].emplace(module.version, module.digest);
        ASSERT_EQ(known->second, module.digest)
            << module_name << " " << module.version << " stands for two contents";
        if (fresh) {
          ASSERT_EQ(module.version, meaning[module_name].rbegin()->first) << "a number below a former one";
        }
      }
      memory.announce(directory);
      if (random.chance(0.3)) {
        refused = record->manifest;
        continue;
      }
      for (const auto& [module_name, module] : record->manifest.modules) {
        ASSERT_GE(module.version, newest_committed[module_name]) << "a committed version went back";
        newest_committed[module_name] = module.version;
      }
      memory.committed = record->manifest;
      refused.reset();
    }
  }
}

}  // namespace
}  // namespace moddev::daemon
