// Real libraries of every linker at hand, whole, stripped of their section headers, cut off and damaged.
#include "protocol/elf_image.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

namespace moddev {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << path;
  return bytes;
}

/// The libraries that CMake built, "path;path;...".
std::vector<std::string> sample_paths() {
  std::vector<std::string> paths;
  std::istringstream list(MODDEV_ELF_SAMPLES);
  for (std::string path; std::getline(list, path, '|');) paths.push_back(path);
  EXPECT_FALSE(paths.empty());
  return paths;
}

/// As `sstrip` does: no section headers, and nothing behind the last segment.
std::string without_sections(std::string file) {
  Elf64_Ehdr header;
  std::memcpy(&header, file.data(), sizeof header);
  std::uint64_t end = sizeof header;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, file.data() + header.e_phoff + static_cast<std::size_t>(i) * sizeof segment,
                sizeof segment);
    end = std::max(end, segment.p_offset + segment.p_filesz);
  }
  header.e_shoff = 0;
  header.e_shnum = 0;
  header.e_shstrndx = 0;
  std::memcpy(file.data(), &header, sizeof header);
  file.resize(end);
  return file;
}

void expect_sample(const ElfImage& image) {
  EXPECT_EQ(image.type, ElfImage::Type::kSharedLibrary);
  EXPECT_EQ(image.soname, "libsample_soname.so.1");
  EXPECT_THAT(image.needed, Contains("libprotocol_elf_dependency.so"));
  EXPECT_THAT(image.runpath, ElementsAre("$ORIGIN", "/opt/sample"));
  EXPECT_EQ(image.build_id.size(), 40U);
  EXPECT_THAT(image.exported, IsSupersetOf({"sample_exported", "sample_protected"}));
  EXPECT_THAT(image.exported, Not(Contains("sample_hidden")));
  EXPECT_THAT(image.undefined, Contains("sample_needed_from_elsewhere"));
  EXPECT_THAT(image.undefined, Not(Contains("sample_weakly_needed")));
  EXPECT_THAT(image.undefined, Not(Contains("sample_exported")));
  EXPECT_TRUE(image.has_thread_local_destructors);
  EXPECT_FALSE(image.has_text_relocations);
}

TEST(ElfImageOfSamples, IsReadWhatTheLinkerWrote) {
  for (const auto& path : sample_paths()) {
    SCOPED_TRACE(path);
    const std::string file = contents(path);
    EXPECT_TRUE(looks_like_elf(as_bytes(file)));
    EXPECT_TRUE(check_elf_complete(as_bytes(file)).ok());
    const auto image = read_elf(as_bytes(file));
    ASSERT_TRUE(image.ok()) << image.error().message;
    expect_sample(*image);
    EXPECT_THAT(image->unique_symbols, Contains("_ZN6HolderIiE5valueE"));
  }
}

TEST(ElfImageOfSamples, NeedsNoSectionHeaders) {
  for (const auto& path : sample_paths()) {
    SCOPED_TRACE(path);
    const std::string file = without_sections(contents(path));
    EXPECT_TRUE(check_elf_complete(as_bytes(file)).ok());
    const auto image = read_elf(as_bytes(file));
    ASSERT_TRUE(image.ok()) << image.error().message;
    expect_sample(*image);
    EXPECT_TRUE(elf_name_slots(as_bytes(file)).ok());
  }
}

TEST(ElfImageOfSamples, FlagsOfTheLinkAreSeen) {
  const auto nodelete = read_elf(as_bytes(contents(MODDEV_ELF_NODELETE)));
  ASSERT_TRUE(nodelete.ok());
  EXPECT_TRUE(nodelete->nodelete);
  EXPECT_FALSE(nodelete->has_thread_local_destructors);
  EXPECT_TRUE(nodelete->unique_symbols.empty());
}

TEST(ElfImageOfSamples, ALibraryThatExportsNothingStillTellsWhatItNeeds) {
  const std::string whole = contents(MODDEV_ELF_QUIET);
  for (const std::string& file : {whole, without_sections(whole)}) {
    const auto image = read_elf(as_bytes(file));
    ASSERT_TRUE(image.ok()) << image.error().message;
    EXPECT_THAT(image->undefined, Contains("puts"));
  }
}

TEST(ElfImageOfSamples, NameSlotsPointAtTheNames) {
  for (const auto& path : sample_paths()) {
    SCOPED_TRACE(path);
    const std::string file = contents(path);
    const auto slots = elf_name_slots(as_bytes(file));
    ASSERT_TRUE(slots.ok()) << slots.error().message;
    bool soname = false;
    bool dependency = false;
    for (const auto& slot : *slots) {
      EXPECT_EQ(file.substr(slot.file_offset, slot.name.size() + 1), slot.name + '\0');
      soname |= slot.kind == ElfNameSlot::Kind::kSoname && slot.name == "libsample_soname.so.1";
      dependency |= slot.kind == ElfNameSlot::Kind::kNeeded && slot.name == "libprotocol_elf_dependency.so";
    }
    EXPECT_TRUE(soname);
    EXPECT_TRUE(dependency);
  }
}

TEST(ElfCompleteness, EveryCutIsNoticed) {
  for (const auto& path : sample_paths()) {
    SCOPED_TRACE(path);
    const std::string file = contents(path);
    // Everything before the section headers, which these linkers write at the end; then a coarse walk.
    for (std::size_t length = 0; length < file.size(); length += 1 + file.size() / 500) {
      EXPECT_FALSE(check_elf_complete(as_bytes(file).first(length)).ok()) << length;
    }
    EXPECT_FALSE(check_elf_complete(as_bytes(file).first(file.size() - 1)).ok());
  }
}

TEST(ElfCompleteness, AZeroBuildIdIsALinkThatWasStopped) {
  std::string file = contents(sample_paths().front());
  const std::string id = read_elf(as_bytes(file))->build_id;
  std::string raw;
  for (std::size_t i = 0; i < id.size(); i += 2)
    raw += static_cast<char>(std::stoul(id.substr(i, 2), nullptr, 16));
  const auto at = file.find(raw);
  ASSERT_NE(at, std::string::npos);
  file.replace(at, raw.size(), raw.size(), '\0');
  const auto status = check_elf_complete(as_bytes(file));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(status.error().message, HasSubstr("build-id"));
}

TEST(ElfCompleteness, ZeroesBehindTheHeadersAreNoticed) {
  // What a linker that sizes its output first leaves when it is killed.
  const std::string whole = contents(sample_paths().front());
  for (const std::size_t kept : {std::size_t{64}, std::size_t{1024}, whole.size() / 2}) {
    std::string file = whole.substr(0, kept);
    file.resize(whole.size());
    EXPECT_FALSE(check_elf_complete(as_bytes(file)).ok()) << kept;
  }
}

TEST(ElfCompleteness, OtherMachinesFilesCanBeComplete) {
  // The smallest header of a 32-bit big-endian object: no segments, no sections.
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2MSB;
  header.e_type = __builtin_bswap16(ET_REL);
  const auto bytes = std::as_bytes(std::span(&header, 1));
  EXPECT_TRUE(check_elf_complete(bytes).ok());
  EXPECT_EQ(read_elf(bytes).error().code, ErrorCode::kUnsupported);
}

TEST(ElfCompleteness, WhatIsNoElfIsCorrupt) {
  EXPECT_FALSE(looks_like_elf(as_bytes("")));
  EXPECT_FALSE(looks_like_elf(as_bytes("#!/bin/sh")));
  EXPECT_EQ(check_elf_complete(as_bytes("#!/bin/sh")).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read_elf({}).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(check_elf_complete(as_bytes(std::string("\177ELF") + std::string(60, '\0'))).error().code,
            ErrorCode::kCorrupt);
}

TEST(ElfCompleteness, TooManyProgramHeadersAreRefused) {
  std::string file = contents(sample_paths().front());
  Elf64_Ehdr header;
  std::memcpy(&header, file.data(), sizeof header);
  header.e_phnum = 4097;
  std::memcpy(file.data(), &header, sizeof header);
  file.resize(file.size() + 4097 * sizeof(Elf64_Phdr));
  EXPECT_THAT(check_elf_complete(as_bytes(file)).error().message, HasSubstr("4097 program headers"));
}

TEST(ElfHostileBytes, DamageNeverLeavesTheFile) {
  // Run under the address sanitizer; here it must at least end and say something.
  std::mt19937_64 random(20);
  for (const auto& path : sample_paths()) {
    const std::string whole = contents(path);
    for (int round = 0; round < 2'000; ++round) {
      std::string file = round % 2 == 0 ? whole : without_sections(whole);
      // Most of what decides is in the headers and in the dynamic section.
      const std::size_t near = round % 4 < 2 ? std::min<std::size_t>(file.size(), 1'024) : file.size();
      for (int hits = 0; hits < 4; ++hits) {
        file[random() % near] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
      }
      // A copy of exactly this size, so that the sanitizer sees one byte too far.
      const Bytes exact(as_bytes(file).begin(), as_bytes(file).end());
      const auto image = read_elf(exact);
      EXPECT_TRUE(image.ok() || !image.error().message.empty());
      (void)elf_name_slots(exact);
      (void)check_elf_complete(exact);
    }
  }
}

}  // namespace
}  // namespace moddev
