// What a module file is, read from its bytes: is it a whole ELF shared library, who does it need, what does
// it export, and which of the known obstacles to reloading does it carry. Reads memory only, never loads or
// runs anything, and accepts hostile bytes: every offset is checked before use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/result.h"

namespace moddev {

[[nodiscard]] bool looks_like_elf(std::span<const std::byte> file);

/// Whether every header, segment, section and string table lies inside `file`, and the build-id note, if
/// there is one, is not zero (linkers write it last, so a zero one is a link that was cut off). Errors:
/// kCorrupt with what is outside.
[[nodiscard]] Status check_elf_complete(std::span<const std::byte> file);

struct ElfImage {
  enum class Type : std::uint8_t { kSharedLibrary, kExecutable, kRelocatable, kOther };
  Type type = Type::kOther;
  std::uint16_t machine = 0;         // EM_*
  std::string soname;                // empty when there is none
  std::vector<std::string> needed;   // DT_NEEDED in file order
  std::vector<std::string> runpath;  // DT_RUNPATH or DT_RPATH, split at ':'
  std::string build_id;              // hexadecimal; empty when there is none
  std::vector<std::string>
      exported;  // defined dynamic symbols, global or weak, default or protected visibility
  std::vector<std::string> undefined;         // undefined dynamic symbols that are not weak
  std::vector<std::string> unique_symbols;    // STB_GNU_UNIQUE: the trap that -fno-gnu-unique cures
  bool has_thread_local_destructors = false;  // refers to __cxa_thread_atexit(_impl)
  bool nodelete = false;                      // DF_1_NODELETE
  bool has_text_relocations = false;
};

/// Errors: kCorrupt when not complete, kUnsupported when not ELF64 of this byte order.
[[nodiscard]] Result<ElfImage> read_elf(std::span<const std::byte> file);

/// Where in the file the bytes of the SONAME and the NEEDED strings lie (offset of the first character in
/// .dynstr), for rewriting them at equal length in a private copy.
struct ElfNameSlot {
  enum class Kind : std::uint8_t { kSoname, kNeeded };
  Kind kind = Kind::kSoname;
  std::string name;
  std::uint64_t file_offset = 0;
};
[[nodiscard]] Result<std::vector<ElfNameSlot>> elf_name_slots(std::span<const std::byte> file);

}  // namespace moddev
