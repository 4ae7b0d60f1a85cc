#include "protocol/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moddev {
namespace {

using ::testing::ElementsAre;

ModuleEntry entry(const std::string& name, std::vector<std::string> depends_on = {}, Version version = 1) {
  ModuleEntry module;
  module.name = name;
  module.version = version;
  module.digest = digest_of(name + std::to_string(version));
  module.size = 10;
  module.path = name;
  module.depends_on = std::move(depends_on);
  return module;
}

Manifest manifest_of(std::vector<ModuleEntry> modules, Epoch epoch = 1) {
  Manifest manifest;
  manifest.epoch = epoch;
  for (auto& module : modules) {
    const std::string name = module.name;
    manifest.modules.emplace(name, std::move(module));
  }
  return manifest;
}

TEST(ManifestDigest, IsTheSpecifiedText) {
  Manifest manifest = manifest_of({entry("b", {"a", "c"}, 4), entry("a")}, 12);
  manifest.modules.at("b").kind = ModuleKind::kNative;
  const std::string text = "moddev manifest 1\n12\na\tblob\t1\t" + digest_of("a1").hex() +
                           "\t10\ta\nb\tnative\t4\t" + digest_of("b4").hex() + "\t10\tb\ta\tc\n";
  EXPECT_EQ(manifest.digest(), digest_of(text));
}

TEST(ManifestDigest, DependsOnContentNotOnTime) {
  const Manifest base = manifest_of({entry("a", {"b"}), entry("b")});
  Manifest later = base;
  later.modules.at("a").changed_at_ns = 99;
  EXPECT_EQ(later.digest(), base.digest());
  Manifest other = base;
  other.modules.at("a").depends_on.clear();
  EXPECT_NE(other.digest(), base.digest());
}

TEST(ManifestDiff, LeadsFromOneToTheOther) {
  const Manifest from = manifest_of({entry("a"), entry("b"), entry("c"), entry("d")}, 1);
  const Manifest to = manifest_of({entry("b", {}, 2), entry("c"), entry("d", {"c"}), entry("e")}, 2);
  const auto changes = diff(from, to);
  ASSERT_EQ(changes.size(), 4U);
  EXPECT_EQ(changes[0], (ModuleChange{ChangeKind::kRemoved, entry("a")}));
  EXPECT_EQ(changes[1], (ModuleChange{ChangeKind::kChanged, entry("b", {}, 2)}));
  EXPECT_EQ(changes[2], (ModuleChange{ChangeKind::kChanged, entry("d", {"c"})}));
  EXPECT_EQ(changes[3], (ModuleChange{ChangeKind::kAdded, entry("e")}));
  EXPECT_EQ(apply(from, changes, 2), to);
  EXPECT_TRUE(diff(to, to).empty());
}

TEST(LoadOrder, DependenciesComeFirst) {
  EXPECT_THAT(load_order(manifest_of({entry("app", {"lib", "util"}), entry("lib", {"util"}), entry("util")})),
              ElementsAre("util", "lib", "app"));
  EXPECT_THAT(load_order(manifest_of({entry("a", {"not there"}), entry("b")})), ElementsAre("a", "b"));
  EXPECT_TRUE(load_order(Manifest{}).empty());
}

TEST(LoadOrder, CyclesStayTogetherInNameOrder) {
  EXPECT_THAT(load_order(manifest_of({entry("a", {"z"}), entry("m", {"a"}), entry("z", {"a", "base"}),
                                      entry("base"), entry("self", {"self"})})),
              ElementsAre("base", "a", "z", "m", "self"));
}

TEST(LoadOrder, LongChainsNeedNoStack) {
  std::vector<ModuleEntry> chain;
  for (int i = 0; i < 50'000; ++i) {
    const std::string name = "m" + std::to_string(100'000 + i);
    chain.push_back(entry(name, {"m" + std::to_string(100'001 + i)}));
  }
  const auto order = load_order(manifest_of(std::move(chain)));
  ASSERT_EQ(order.size(), 50'000U);
  EXPECT_EQ(order.front(), "m149999");
  EXPECT_EQ(order.back(), "m100000");
}

TEST(ClosureDigest, ChangesWithAnythingReachable) {
  const Manifest base =
      manifest_of({entry("app", {"lib"}), entry("lib", {"util"}), entry("util"), entry("other")});
  const Digest before = closure_digest(base, "app").value();
  Manifest deep = base;
  deep.modules.at("util") = entry("util", {}, 2);
  EXPECT_NE(closure_digest(deep, "app").value(), before);
  Manifest aside = base;
  aside.modules.at("other") = entry("other", {}, 2);
  EXPECT_EQ(closure_digest(aside, "app").value(), before);
  EXPECT_EQ(closure_digest(base, "util").value(),
            digest_of("moddev closure 1\nutil\nutil\t" + digest_of("util1").hex() + "\n"));
  EXPECT_EQ(closure_digest(base, "nobody").error().code, ErrorCode::kNotFound);
}

TEST(ClosureDigest, EndsInCycles) {
  EXPECT_TRUE(closure_digest(manifest_of({entry("a", {"b"}), entry("b", {"a"})}), "a").ok());
}

TEST(ChangeKinds, HaveNamesBothWays) {
  for (const auto kind : {ChangeKind::kAdded, ChangeKind::kChanged, ChangeKind::kRemoved}) {
    EXPECT_EQ(change_kind_from_string(to_string(kind)), kind);
  }
  EXPECT_FALSE(change_kind_from_string("moved").has_value());
}

}  // namespace
}  // namespace moddev
