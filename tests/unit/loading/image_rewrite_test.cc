#include "client/src/image_rewrite.h"

#include <dlfcn.h>
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "protocol/elf_image.h"
#include "tests/support/loading/workshop.h"

namespace moddev {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Workshop;

const auto kNothingBelow = [](std::string_view) { return false; };

TEST(PatchedImage, IsItsArtifactExceptForPatchesAndTail) {
  const SharedBytes artifact = share("0123456789");
  PatchedImage image(*artifact);
  image.patch(8, as_bytes("yz"));
  image.patch(0, as_bytes("ab"));
  image.append(Bytes(2, std::byte{'+'}));
  EXPECT_EQ(image.size(), 12U);
  EXPECT_EQ(as_text(image.assemble()), "ab234567yz++");
  EXPECT_EQ(image.pieces().size(), 4U);
}

TEST(PatchedImage, GivesItsArtifactBack) {
  const SharedBytes artifact = share("0123456789");
  PatchedImage image(*artifact);
  image.patch(8, as_bytes("yz"));
  image.patch(0, as_bytes("ab"));
  image.append(Bytes(2, std::byte{'+'}));
  Bytes bytes = image.assemble();
  ASSERT_TRUE(image.restoration().apply(bytes));
  EXPECT_EQ(bytes, *artifact);
  bytes.pop_back();
  EXPECT_FALSE(image.restoration().apply(bytes));
}

TEST(NativeImage, TellsWhatMattersForLoading) {
  Workshop workshop;
  workshop.library("dep", "extern \"C\" void dep() {}", {"-Wl,-soname,libdep.so.2"});
  const auto bytes =
      workshop.library("all",
                       "#include <thread>\ninline long& count() { static long c; return c; }\n"
                       "struct Object { ~Object() { ++count(); } long v; };\n"
                       "static thread_local Object object;\nextern \"C\" void dep();\n"
                       "extern \"C\" long f() { std::thread([] {}).join(); dep(); return "
                       "++count() + object.v; }",
                       {"-fgnu-unique", "-Wl,-soname,liball.so.1", "-Wl,-z,nodelete", "-ldep"});
  const auto image = NativeImage::read(*bytes);
  ASSERT_TRUE(image.ok()) << image.error().message;
  EXPECT_EQ(image->soname(), "liball.so.1");
  EXPECT_THAT(image->needed(), Contains("libdep.so.2"));
  EXPECT_THAT(image->unique_symbols(), ElementsAre("_ZZ5countvE1c"));
  EXPECT_TRUE(image->has_thread_local_destructors());
  EXPECT_TRUE(image->starts_threads());
  EXPECT_TRUE(image->nodelete());
  EXPECT_EQ(image->build_id().size(), 20U);
  EXPECT_GT(image->mapped_bytes(), 4096U);
}

TEST(NativeImage, APlainLibraryHasNoObstacles) {
  Workshop workshop;
  const auto bytes = workshop.library("plain", "extern \"C\" int f() { return 1; }");
  const auto image = NativeImage::read(*bytes);
  ASSERT_TRUE(image.ok()) << image.error().message;
  EXPECT_EQ(image->soname(), "");
  EXPECT_TRUE(image->unique_symbols().empty());
  EXPECT_FALSE(image->has_thread_local_destructors());
  EXPECT_FALSE(image->starts_threads());
  EXPECT_FALSE(image->nodelete());
}

TEST(NativeImage, RefusesWhatIsNoLibraryForThisMachineAndSaysWhatItIs) {
  Workshop workshop;
  const auto program = testing::read_file(workshop.program("program", "int main() {}", {"-pie"}));
  EXPECT_THAT(NativeImage::read(*program).error().message, HasSubstr("is a program, not a shared library"));
  const auto fixed = testing::read_file(workshop.program("fixed", "int main() {}", {"-no-pie"}));
  EXPECT_THAT(NativeImage::read(*fixed).error().message, HasSubstr("not a shared library"));
  const auto object = testing::read_file(workshop.program("object", "int f() { return 1; }", {"-c"}));
  EXPECT_THAT(NativeImage::read(*object).error().message, HasSubstr("link it with -shared"));
  Bytes foreign = *workshop.library("foreign", "int f() { return 1; }");
  const std::uint16_t machine = EM_RISCV;
  std::memcpy(foreign.data() + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof machine);
  EXPECT_THAT(NativeImage::read(foreign).error().message,
              HasSubstr("another kind of machine (ELF machine 243"));
  EXPECT_EQ(NativeImage::read(as_bytes("text")).error().code, ErrorCode::kCorrupt);
}

TEST(NativeImage, APrivateCopyNamesPathsAndHasNoSoname) {
  Workshop workshop;
  workshop.library("dep", "extern \"C\" int dep() { return 7; }", {"-Wl,-soname,libdep.so"});
  const auto bytes =
      workshop.library("top", "extern \"C\" int dep();\nextern \"C\" int f() { return dep(); }",
                       {"-ldep", "-Wl,-soname,libtop.so"});
  const auto image = NativeImage::read(*bytes);
  ASSERT_TRUE(image.ok());
  const std::string path =
      workshop.directory() / ("a-long-directory/" + std::string(200, 'x') + "/libdep.so");
  const auto copy = image->privatise({{"libdep.so", path}}, kNothingBelow);
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  const Bytes written = copy->assemble();
  EXPECT_TRUE(check_elf_complete(written).ok());
  // The path lies behind the string table, where only the loader finds it: it knows no end of the table.
  ASSERT_GT(written.size(), bytes->size());
  const auto tail = as_text(std::span(written).subspan(bytes->size()));
  EXPECT_NE(tail.find(path), std::string_view::npos);

  const auto file = workshop.directory() / "copy.so";
  testing::write_file(file, written);
  EXPECT_THAT(testing::run_command({"readelf", "-dW", file.string()}).output, Not(HasSubstr("(SONAME)")));
  EXPECT_EQ(testing::run_command({"readelf", "-lW", file.string()}).exit_code, 0);
  EXPECT_EQ(testing::run_command({"objdump", "-dT", file.string()}).exit_code, 0);
  ASSERT_EQ(::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL), nullptr);
  EXPECT_THAT(::dlerror(), HasSubstr(path + ": cannot open shared object file"));
}

TEST(NativeImage, UniqueSymbolsBecomeWeakOrThoseOfADependency) {
  Workshop workshop;
  const auto bytes = workshop.library("unique",
                                      "inline long& one() { static long c; return c; }\n"
                                      "inline long& two() { static long c; return c; }\n"
                                      "extern \"C\" long f() { return ++one() + ++two(); }",
                                      {"-fgnu-unique"});
  const auto image = NativeImage::read(*bytes);
  ASSERT_TRUE(image.ok());
  const auto copy = image->privatise({}, [](std::string_view symbol) { return symbol == "_ZZ3twovE1c"; });
  ASSERT_TRUE(copy.ok());
  const auto read = read_elf(copy->assemble());
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(read->unique_symbols.empty());
  EXPECT_THAT(read->exported, Contains("_ZZ3onevE1c"));
  EXPECT_THAT(read->exported, Not(Contains("_ZZ3twovE1c")));
}

/// Bytes that a stranger chose: nothing is read outside them, whatever they say.
TEST(NativeImage, DamagedFilesAreReadWithoutLeavingThem) {
  Workshop workshop;
  workshop.library("dep", "extern \"C\" int dep() { return 7; }", {"-Wl,-soname,libdep.so"});
  const auto whole = workshop.library("top",
                                      "extern \"C\" int dep();\ninline int& c() { static int v; return v; "
                                      "}\nextern \"C\" int f() { return dep() + ++c(); }",
                                      {"-ldep", "-Wl,-soname,libtop.so", "-fgnu-unique", "-nostdlib", "-s"});
  const auto look = [](const Bytes& bytes) {
    const auto image = NativeImage::read(bytes);
    if (!image) return;
    const auto copy = image->privatise({{"libdep.so", "/somewhere/else"}}, kNothingBelow);
    if (copy) (void)copy->assemble();
  };
  for (std::size_t size = 0; size < whole->size(); size += 1 + size / 16) {
    look(Bytes(whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size)));
  }
  for (std::size_t at = 0; at < whole->size(); at += at < 2048 ? 1 : 7) {
    if ((*whole)[at] == std::byte{0} && at % 8 != 0) continue;
    for (const int value : {0, 0x7f, 0xff}) {
      Bytes damaged = *whole;
      damaged[at] = static_cast<std::byte>(value);
      look(damaged);
    }
  }
}

}  // namespace
}  // namespace moddev
