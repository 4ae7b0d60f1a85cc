#include "daemon/catalog.h"

#include <gtest/gtest.h>

#include "protocol/blob_store.h"
#include "tests/support/world/tiny_library.h"

namespace moddev::daemon {
namespace {

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

}  // namespace
}  // namespace moddev::daemon
