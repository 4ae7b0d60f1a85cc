#include "protocol/names.h"

#include <gtest/gtest.h>

#include <vector>

#include "protocol/limits.h"

namespace moddev {
namespace {

TEST(Names, FilesBecomeModules) {
  const struct {
    const char* path;
    const char* name;
    ModuleKind kind;
  } table[] = {
      {"libscorer.so", "scorer", ModuleKind::kNative},
      {"sub/dir/libscorer.so", "scorer", ModuleKind::kNative},
      {"libscorer.so.1", "scorer", ModuleKind::kNative},
      {"libscorer.so.1.2.3", "scorer", ModuleKind::kNative},
      {"plugin.so", "plugin", ModuleKind::kNative},
      {"lib.so", "lib", ModuleKind::kNative},
      {"libx.solver.so", "x.solver", ModuleKind::kNative},
      {"libscorer.dylib", "scorer", ModuleKind::kNative},
      {"mod.py", "mod", ModuleKind::kPython},
      {"pkg/mod.py", "pkg.mod", ModuleKind::kPython},
      {"pkg/__init__.py", "pkg", ModuleKind::kPython},
      {"a/b/__init__.py", "a.b", ModuleKind::kPython},
      {"data/table.bin", "data/table.bin", ModuleKind::kBlob},
      {"libscorer.so.txt", "libscorer.so.txt", ModuleKind::kBlob},
      {"libscorer.so.", "libscorer.so.", ModuleKind::kBlob},
      {"libscorer.sol", "libscorer.sol", ModuleKind::kBlob},
      {".so", ".so", ModuleKind::kBlob},
      {".py", ".py", ModuleKind::kBlob},
      {"gr\xc3\xb6\xc3\x9f"
       "e.json",
       "gr\xc3\xb6\xc3\x9f"
       "e.json",
       ModuleKind::kBlob},
  };
  for (const auto& row : table) {
    const auto identity = identify_module(row.path);
    ASSERT_TRUE(identity.ok()) << row.path << ": " << identity.error().message;
    EXPECT_EQ(identity->name, row.name) << row.path;
    EXPECT_EQ(identity->kind, row.kind) << row.path;
  }
}

TEST(Names, PathsThatGiveNoModuleAreRefused) {
  for (const std::string& path :
       std::vector<std::string>{"", "/abs.so", "../up.so", "a/../b.so", "a//b", "a/", ".", "__init__.py",
                                "a\nb", "a\\b", "\xff.so"}) {
    EXPECT_FALSE(identify_module(path).ok()) << path;
  }
  EXPECT_FALSE(identify_module(std::string("a\0b", 3)).ok());
}

TEST(Names, LengthsAreLimited) {
  const std::string longest(limits::kModuleNameBytes, 'n');
  EXPECT_TRUE(validate_module_name(longest).ok());
  EXPECT_EQ(validate_module_name(longest + "n").error().code, ErrorCode::kLimit);
  const std::string path(limits::kPathBytes, 'p');
  EXPECT_TRUE(validate_relative_path(path).ok());
  EXPECT_EQ(validate_relative_path(path + "p").error().code, ErrorCode::kLimit);
}

TEST(Names, KindsHaveNames) {
  for (const auto kind : {ModuleKind::kNative, ModuleKind::kPython, ModuleKind::kBlob}) {
    EXPECT_EQ(module_kind_from_string(to_string(kind)), kind);
  }
  EXPECT_FALSE(module_kind_from_string("fortran").has_value());
}

}  // namespace
}  // namespace moddev
