#include "daemon/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "protocol/blob_store.h"
#include "tests/support/world/tiny_library.h"

namespace moddev::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CatalogTest : public ::testing::Test {
 protected:
  watcher::FileChange file(const std::string& path, const std::string& bytes, const std::string& real = "") {
    const Digest digest = digest_of(bytes);
    EXPECT_TRUE(blobs.put(digest, std::as_bytes(std::span(bytes.data(), bytes.size()))));
    watcher::FileChange change;
    change.path = path;
    change.real_path = real.empty() ? path : real;
    change.digest = digest;
    change.size = bytes.size();
    return change;
  }
  static watcher::FileChange gone(const std::string& path) {
    watcher::FileChange change;
    change.path = path;
    change.removed = true;
    return change;
  }
  static std::string library(const std::string& payload, std::vector<std::string> needed = {},
                             const std::string& soname = "") {
    return sim::build({soname, std::move(needed), payload});
  }
  static std::string program() {
    std::string bytes = library("program");
    bytes[16] = 2;  // e_type: ET_EXEC
    return bytes;
  }
  Catalog::Outcome take(std::vector<watcher::FileChange> changes) {
    return catalog.apply({std::move(changes)});
  }

  MemoryBlobStore blobs;
  CatalogOptions options;
  Catalog catalog{options, blobs};
};

TEST_F(CatalogTest, FilesBecomeModulesOfTheirKind) {
  const auto outcome = take(
      {file("lib/libscorer.so", library("one")), file("pkg/mod.py", "x = 1"), file("data/table.json", "{}")});
  EXPECT_TRUE(outcome.changed);
  EXPECT_TRUE(outcome.rejections.empty());
  ASSERT_EQ(catalog.modules().size(), 3U);
  EXPECT_EQ(catalog.modules().at("scorer").kind, ModuleKind::kNative);
  EXPECT_EQ(catalog.modules().at("scorer").path, "lib/libscorer.so");
  EXPECT_EQ(catalog.modules().at("pkg.mod").kind, ModuleKind::kPython);
  EXPECT_EQ(catalog.modules().at("data/table.json").size, 2U);
}

TEST_F(CatalogTest, TheSameBytesChangeNothing) {
  take({file("a.json", "{}")});
  EXPECT_FALSE(take({file("a.json", "{}")}).changed);
  EXPECT_TRUE(take({file("a.json", "[]")}).changed);
  EXPECT_TRUE(take({gone("a.json")}).changed);
  EXPECT_FALSE(take({gone("a.json")}).changed);
  EXPECT_TRUE(catalog.modules().empty());
}

TEST_F(CatalogTest, TwoFilesOfOneNameAreBothNamedAndTheModuleStays) {
  take({file("a/libscorer.so", library("one"))});
  const Digest before = catalog.modules().at("scorer").digest;
  const auto outcome = take({file("b/libscorer.so", library("two"))});
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.rejections.size(), 1U);
  EXPECT_NE(outcome.rejections[0].reason.find("'a/libscorer.so', 'b/libscorer.so'"), std::string::npos)
      << outcome.rejections[0].reason;
  EXPECT_EQ(catalog.modules().at("scorer").digest, before);
  // Which one goes does not matter: the other is it then.
  EXPECT_TRUE(take({gone("a/libscorer.so")}).changed);
  EXPECT_EQ(catalog.modules().at("scorer").path, "b/libscorer.so");
}

TEST_F(CatalogTest, LinksToOneFileAreOneModuleWithTheShortestName) {
  const std::string bytes = library("one");
  const auto outcome =
      take({file("libscorer.so.1.2", bytes), file("libscorer.so.1", bytes, "libscorer.so.1.2"),
            file("libscorer.so", bytes, "libscorer.so.1.2")});
  EXPECT_TRUE(outcome.rejections.empty());
  EXPECT_EQ(catalog.modules().at("scorer").path, "libscorer.so");
}

TEST_F(CatalogTest, WhatIsNoLibraryIsRejectedAndTheLastGoodStays) {
  take({file("libscorer.so", library("one"))});
  const Digest good = catalog.modules().at("scorer").digest;
  const auto outcome = take({file("libscorer.so", "INPUT(-lother)")});
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.rejections.size(), 1U);
  EXPECT_EQ(outcome.rejections[0].path, "libscorer.so");
  EXPECT_NE(outcome.rejections[0].reason.find("not a shared library (it starts with 'INPUT(-lother)')"),
            std::string::npos)
      << outcome.rejections[0].reason;
  EXPECT_EQ(catalog.modules().at("scorer").digest, good);
  EXPECT_EQ(take({file("libbad.so", library("x").substr(0, 40))}).rejections.size(), 1U);
}

TEST_F(CatalogTest, APathThatCannotBeAModuleIsRejectedAndItsEndIsNot) {
  const auto outcome = take({file("bad\nname.json", "{}")});
  EXPECT_EQ(outcome.rejections.size(), 1U);
  EXPECT_FALSE(outcome.changed);
  EXPECT_TRUE(take({gone("bad\nname.json")}).rejections.empty());
}

TEST_F(CatalogTest, DependenciesComeFromWhatTheFilesSay) {
  take({file("libbase.so", library("b", {}, "libbase.so.2")),
        file("libscorer.so", library("s", {"libbase.so.2", "libc.so.6", "libplain.so"})),
        file("sub/libplain.so", library("p"))});
  EXPECT_EQ(catalog.modules().at("scorer").depends_on, (std::vector<std::string>{"base", "plain"}));
  EXPECT_TRUE(catalog.modules().at("base").depends_on.empty());
  // A dependency that goes is none any more, although the dependent did not change.
  EXPECT_TRUE(take({gone("libbase.so")}).changed);
  EXPECT_EQ(catalog.modules().at("scorer").depends_on, std::vector<std::string>{"plain"});
}

TEST_F(CatalogTest, ConfiguredDependenciesAreAddedWhereTheyExist) {
  Catalog configured({{{"scorer", {"table.json", "missing", "scorer"}}}}, blobs);
  static_cast<void>(configured.apply({{file("libscorer.so", library("s")), file("table.json", "{}")}}));
  EXPECT_EQ(configured.modules().at("scorer").depends_on, std::vector<std::string>{"table.json"});
}

// Restarted with a file that could not be used, the daemon removed its module from every executor.
TEST_F(CatalogTest, AFileThatIsRememberedAndNotSeenYetKeepsItsModule) {
  take({file("libscorer.so", library("one"))});
  const ModuleContent live = catalog.modules().at("scorer");
  Catalog again{options, blobs};
  again.remember("scorer", live);
  EXPECT_THAT(again.kept(), ElementsAre("scorer"));
  // Whatever else is there: what is no library, and a second file of that name.
  static_cast<void>(again.apply({{file("libscorer.so", "text")}}));
  EXPECT_THAT(again.kept(), ElementsAre("scorer"));
  static_cast<void>(again.apply({{file("x/libscorer.so", library("two"))}}));
  EXPECT_THAT(again.kept(), ElementsAre("scorer"));
  EXPECT_TRUE(again.apply({{gone("x/libscorer.so"), gone("libscorer.so")}}).changed);
  EXPECT_THAT(again.kept(), IsEmpty());
  EXPECT_TRUE(again.modules().empty());
}

TEST_F(CatalogTest, AModuleIsKeptUntilItsFileIsAcceptableOrGone) {
  take({file("libscorer.so", library("one"))});
  EXPECT_THAT(catalog.kept(), IsEmpty());
  EXPECT_TRUE(take({file("libscorer.so", "text")}).kept_changed);
  EXPECT_THAT(catalog.kept(), ElementsAre("scorer"));
  ASSERT_EQ(catalog.unpublished().size(), 1U);
  EXPECT_EQ(catalog.unpublished()[0].path, "libscorer.so");
  EXPECT_TRUE(take({file("libscorer.so", library("one"))}).kept_changed);
  EXPECT_THAT(catalog.kept(), IsEmpty());
  EXPECT_TRUE(catalog.unpublished().empty());
  // The watcher cannot read it any more, and can again.
  EXPECT_TRUE(catalog.doubt("libscorer.so").kept_changed);
  EXPECT_FALSE(catalog.doubt("libscorer.so").kept_changed);
  EXPECT_FALSE(catalog.doubt("unknown.so").kept_changed);
  EXPECT_THAT(catalog.kept(), ElementsAre("scorer"));
  EXPECT_TRUE(take({file("libscorer.so", library("one"))}).kept_changed);
  EXPECT_THAT(catalog.kept(), IsEmpty());
}

TEST_F(CatalogTest, TheSameRejectionIsToldOnce) {
  EXPECT_EQ(take({file("libscorer.so", "the same beginning, 1")}).rejections.size(), 1U);
  EXPECT_EQ(take({file("libscorer.so", "the same beginning, 2")}).rejections.size(), 0U);
  EXPECT_EQ(take({file("libscorer.so", "another")}).rejections.size(), 1U);
}

// Renaming a directory told of a clash with files that were no longer there.
TEST_F(CatalogTest, AFileThatIsAwayClashesWithNothing) {
  std::set<std::string> away;
  const Catalog::IsAway is_away = [&](const std::string& path) { return away.contains(path); };
  take({file("sub/libscorer.so", library("one"))});
  away = {"sub/libscorer.so"};
  const auto moved = catalog.apply({{file("sub2/libscorer.so", library("one"))}}, is_away);
  EXPECT_TRUE(moved.rejections.empty());
  EXPECT_EQ(catalog.modules().at("scorer").path, "sub2/libscorer.so");
  EXPECT_TRUE(catalog.look_again(is_away).rejections.empty());
  // It comes back: now it is a clash.
  away.clear();
  EXPECT_EQ(catalog.look_again(is_away).rejections.size(), 1U);
  EXPECT_EQ(catalog.look_again(is_away).rejections.size(), 0U);
  // When all are away nothing is decided.
  away = {"sub/libscorer.so", "sub2/libscorer.so"};
  EXPECT_FALSE(catalog.apply({{file("other.json", "{}")}}, is_away).kept_changed);
  EXPECT_THAT(catalog.kept(), ElementsAre("scorer"));
}

TEST_F(CatalogTest, AProgramThatIsNamedLikeALibraryIsRejected) {
  take({file("libscorer.so", library("one"))});
  const auto outcome = take({file("libscorer.so", program())});
  ASSERT_EQ(outcome.rejections.size(), 1U);
  EXPECT_NE(outcome.rejections[0].reason.find("it is a program, not a shared library"), std::string::npos);
  EXPECT_THAT(catalog.kept(), ElementsAre("scorer"));
  // Without such a name it is passed over, and is no module any more.
  take({file("scorer", "text")});
  EXPECT_TRUE(catalog.modules().contains("scorer"));
  EXPECT_TRUE(take({file("tool", "text")}).changed);
  const auto passed = take({file("tool", program())});
  EXPECT_TRUE(passed.rejections.empty());
  EXPECT_FALSE(catalog.modules().contains("tool"));
}

TEST_F(CatalogTest, ALinkStandsForTheVersionsBesideIt) {
  const std::string old_bytes = library("old");
  const std::string new_bytes = library("new");
  take({file("libver.so", old_bytes, "libver.so.1.2.3"), file("libver.so.1", old_bytes, "libver.so.1.2.3"),
        file("libver.so.1.2.3", old_bytes)});
  // The linker writes the next one; the links follow.
  const auto written = take({file("libver.so.1.2.4", new_bytes)});
  EXPECT_TRUE(written.rejections.empty());
  EXPECT_FALSE(written.changed);
  const auto linked = take(
      {file("libver.so", new_bytes, "libver.so.1.2.4"), file("libver.so.1", new_bytes, "libver.so.1.2.4")});
  EXPECT_TRUE(linked.rejections.empty());
  EXPECT_EQ(catalog.modules().at("ver").digest, digest_of(new_bytes));
  EXPECT_EQ(catalog.modules().at("ver").path, "libver.so");
  // Two plain files are two, and so are two directories.
  EXPECT_EQ(take({gone("libver.so"), gone("libver.so.1")}).rejections.size(), 1U);
  take({gone("libver.so.1.2.3")});
  EXPECT_EQ(take({file("other/libver.so", old_bytes)}).rejections.size(), 1U);
}

}  // namespace
}  // namespace moddev::daemon
