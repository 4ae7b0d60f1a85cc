#include "client/src/symbol_table.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <link.h>

#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::SizeIs;
using Kind = SymbolTable::Kind;

TEST(SymbolHash, HasTheValuesOfTheAbi) {
  EXPECT_EQ(gnu_hash(""), 0x00001505U);
  EXPECT_EQ(gnu_hash("printf"), 0x156b2bb8U);
  EXPECT_EQ(gnu_hash("syscall"), 0xbac212a0U);
  EXPECT_EQ(sysv_hash(""), 0U);
  EXPECT_EQ(sysv_hash("printf"), 0x077905a6U);
}

class SymbolTableTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    testing::write_file(workshop_.directory() / "versions",
                        as_bytes("ONE { global: twice; }; TWO { global: *; } ONE;"));
    workshop_.library("symbols",
                      "extern \"C\" {\n"
                      "int function() { return 1; }\n"
                      "int object = 2;\n"
                      "__attribute__((visibility(\"hidden\"))) int hidden() { return 3; }\n"
                      "__thread int local = 4;\n"
                      "static int chosen() { return 5; }\n"
                      "static int (*choose())() { return chosen; }\n"
                      "int indirect() __attribute__((ifunc(\"choose\")));\n"
                      "void free(void*);\n"
                      "void use() { free(0); }\n"
                      "int old_twice() { return 6; }\n int new_twice() { return 7; }\n"
                      "__asm__(\".symver old_twice, twice@ONE\");\n"
                      "__asm__(\".symver new_twice, twice@@TWO\");\n"
                      "}\n"
                      "template <int n> __attribute__((noinline)) int many() { return n + many<n - 1>(); }\n"
                      "template <> int many<0>() { return 0; }\nint all() { return many<200>(); }\n",
                      {"-Wl,--hash-style=" + GetParam(), "-fuse-ld=bfd",
                       "-Wl,--version-script=" + (workshop_.directory() / "versions").string()});
    handle_ = ::dlopen(workshop_.library_path("symbols").c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(handle_, nullptr) << ::dlerror();
    link_map* map = nullptr;
    ASSERT_EQ(::dlinfo(handle_, RTLD_DI_LINKMAP, &map), 0);
    table_ = SymbolTable(map->l_addr, map->l_ld);
  }
  void TearDown() override {
    if (handle_ != nullptr) ::dlclose(handle_);
  }

  testing::Workshop workshop_;
  void* handle_ = nullptr;
  SymbolTable table_;
};

TEST_P(SymbolTableTest, FindsWhatDlsymFinds) {
  for (const char* name :
       {"function", "object", "use", "_Z3allv", "_Z4manyILi0EEiv", "_Z4manyILi150EEiv", "twice"}) {
    SCOPED_TRACE(name);
    const auto found = table_.find(name);
    EXPECT_EQ(found.kind, Kind::kAddress);
    EXPECT_EQ(found.address, ::dlsym(handle_, name));
  }
}

TEST_P(SymbolTableTest, LeavesIndirectFunctionsAndThreadLocalsToTheLoader) {
  EXPECT_EQ(table_.find("indirect").kind, Kind::kAskLoader);
  EXPECT_EQ(table_.find("local").kind, Kind::kAskLoader);
}

TEST_P(SymbolTableTest, DoesNotFindWhatTheLibraryDoesNotExport) {
  for (const char* name : {"hidden", "chosen", "free", "functio", "function2", "", "no such symbol"}) {
    SCOPED_TRACE(name);
    EXPECT_EQ(table_.find(name).kind, Kind::kMissing);
  }
}

TEST_P(SymbolTableTest, NamesWhatIsExported) {
  EXPECT_THAT(table_.names(1000), Contains("function"));
  EXPECT_THAT(table_.names(1000), Contains("object"));
  EXPECT_THAT(table_.names(1000), Not(Contains("free")));
  EXPECT_THAT(table_.names(3), SizeIs(3));
  EXPECT_THAT(table_.names(0), SizeIs(0));
}

INSTANTIATE_TEST_SUITE_P(HashStyles, SymbolTableTest, ::testing::Values("gnu", "sysv", "both"),
                         [](const auto& param) { return param.param; });

TEST(SymbolTable, AnEmptyOneHasNothing) {
  EXPECT_EQ(SymbolTable().find("x").kind, Kind::kMissing);
  EXPECT_THAT(SymbolTable().names(5), SizeIs(0));
}

}  // namespace
}  // namespace moddev
