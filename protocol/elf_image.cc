#include "protocol/elf_image.h"

#include <algorithm>
#include <cstring>

#include "protocol/elf_file.h"

namespace moddev {
namespace {

using elf::corrupt;
using elf::DynamicTables;
using elf::File;

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const auto byte : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 0xFU]);
  }
  return text;
}

Status check_build_id(const File& file) {
  const auto id = file.build_id();
  const bool zero = std::ranges::all_of(id, [](std::byte b) { return b == std::byte{0}; });
  if (!id.empty() && zero) {
    return corrupt("the build-id is zero; linkers write it last, so this link did not come to its end");
  }
  return {};
}

/// The symbols that a chain table (DT_GNU_HASH) reaches: the largest start of a bucket, then its chain to the
/// end.
std::uint64_t count_by_gnu_hash(const File& file, std::uint64_t address) {
  constexpr std::uint64_t kHeader = 16;
  const auto at = file.offset_of(address, kHeader);
  if (!at) return 0;
  const std::uint64_t buckets = file.u32(*at);
  const std::uint64_t first_hashed = file.u32(*at + 4);
  const std::uint64_t bloom_words = file.u32(*at + 8);
  const std::uint64_t table = *at + kHeader + bloom_words * sizeof(std::uint64_t);
  if (!file.inside(table, buckets * 4)) return 0;
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < buckets; ++i) {
    last = std::max<std::uint64_t>(last, file.u32(table + i * 4));
  }
  if (last < first_hashed) return first_hashed;
  const std::uint64_t chains = table + buckets * 4;
  for (;; ++last) {
    const std::uint64_t link = chains + (last - first_hashed) * 4;
    if (!file.inside(link, 4) || (file.u32(link) & 1U) != 0) return last + 1;
  }
}

/// The largest symbol that relocations use: the hash table of a library that exports nothing tells nothing.
std::uint64_t count_by_relocations(const File& file, const DynamicTables& dynamic, std::int64_t table_tag,
                                   std::int64_t size_tag) {
  const auto table = dynamic.find(table_tag);
  const auto size = dynamic.find(size_tag);
  if (!table || !size) return 0;
  const auto at = file.offset_of(*table, *size);
  if (!at) return 0;
  std::uint64_t count = 0;
  for (std::uint64_t i = 0; i + sizeof(Elf64_Rela) <= *size; i += sizeof(Elf64_Rela)) {
    const std::uint64_t info = file.u64(*at + i + offsetof(Elf64_Rela, r_info));
    count = std::max<std::uint64_t>(count, ELF64_R_SYM(info) + 1);
  }
  return count;
}

/// How many dynamic symbols there are: no header says so (the ABI leaves it to the section headers, which may
/// be missing, and to the hash tables).
std::uint64_t count_symbols(const File& file, const DynamicTables& dynamic) {
  std::uint64_t count = 0;
  for (const auto& section : file.sections()) {
    if (section.type == SHT_DYNSYM) count = std::max(count, section.size / sizeof(Elf64_Sym));
  }
  if (const auto hash = dynamic.find(DT_HASH)) {
    if (const auto at = file.offset_of(*hash, 8)) count = std::max<std::uint64_t>(count, file.u32(*at + 4));
  }
  if (const auto hash = dynamic.find(DT_GNU_HASH)) count = std::max(count, count_by_gnu_hash(file, *hash));
  count = std::max(count, count_by_relocations(file, dynamic, DT_RELA, DT_RELASZ));
  count = std::max(count, count_by_relocations(file, dynamic, DT_JMPREL, DT_PLTRELSZ));
  return std::min(count, (file.bytes().size() - dynamic.symbols) / sizeof(Elf64_Sym));
}

bool is_visible(unsigned char other) {
  const auto visibility = ELF64_ST_VISIBILITY(other);
  return visibility == STV_DEFAULT || visibility == STV_PROTECTED;
}

Status read_symbols(const File& file, const DynamicTables& dynamic, ElfImage& image) {
  const std::uint64_t count = count_symbols(file, dynamic);
  std::size_t names_bytes = 0;
  for (std::uint64_t i = 1; i < count; ++i) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, file.bytes().data() + dynamic.symbols + i * sizeof symbol, sizeof symbol);
    const auto binding = ELF64_ST_BIND(symbol.st_info);
    if (binding == STB_LOCAL || symbol.st_name == 0) continue;
    const auto name = file.string(dynamic.strings, dynamic.strings_size, symbol.st_name);
    if (!name) return corrupt("the name of dynamic symbol " + std::to_string(i) + " is outside its table");
    names_bytes += name->size();
    if (names_bytes > elf::kMostNamesBytes) {
      return Error{ErrorCode::kLimit,
                   "the names of the symbols are longer than " + std::to_string(elf::kMostNamesBytes) +
                       " bytes together",
                   0};
    }
    if (*name == "__cxa_thread_atexit" || *name == "__cxa_thread_atexit_impl") {
      image.has_thread_local_destructors = true;
    }
    if (symbol.st_shndx == SHN_UNDEF) {
      if (binding != STB_WEAK) image.undefined.emplace_back(*name);
      continue;
    }
    if (binding == STB_GNU_UNIQUE) image.unique_symbols.emplace_back(*name);
    // The name of a symbol version is an absolute symbol of value 0, and nothing that one can call.
    const bool version_name = symbol.st_shndx == SHN_ABS && symbol.st_value == 0;
    if (is_visible(symbol.st_other) && !version_name) image.exported.emplace_back(*name);
  }
  return {};
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end != 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

Status read_dynamic(const File& file, const DynamicTables& dynamic, ElfImage& image) {
  std::size_t names_bytes = 0;
  std::string_view rpath;
  std::string_view runpath;
  for (const auto& [tag, value] : dynamic.entries) {
    if (tag == DT_FLAGS) image.has_text_relocations |= (value & DF_TEXTREL) != 0;
    if (tag == DT_TEXTREL) image.has_text_relocations = true;
    if (tag == DT_FLAGS_1) image.nodelete = (value & DF_1_NODELETE) != 0;
    if (tag != DT_SONAME && tag != DT_NEEDED && tag != DT_RUNPATH && tag != DT_RPATH) continue;
    const auto text = file.string(dynamic.strings, dynamic.strings_size, value);
    if (!text) return corrupt("a name in the dynamic section is outside the string table");
    names_bytes += text->size();
    if (names_bytes > elf::kMostNamesBytes) {
      return Error{ErrorCode::kLimit, "the names in the dynamic section are too long together", 0};
    }
    if (tag == DT_SONAME) image.soname = *text;
    if (tag == DT_NEEDED) image.needed.emplace_back(*text);
    if (tag == DT_RUNPATH) runpath = *text;
    if (tag == DT_RPATH) rpath = *text;
  }
  // The loader ignores RPATH where there is a RUNPATH (ld.so(8)).
  image.runpath = split(runpath.empty() ? rpath : runpath, ':');
  return {};
}

ElfImage::Type type_of(const File& file, const std::optional<DynamicTables>& dynamic) {
  switch (file.type()) {
    case ET_REL:
      return ElfImage::Type::kRelocatable;
    case ET_EXEC:
      return ElfImage::Type::kExecutable;
    case ET_DYN: {
      const std::uint64_t flags = dynamic ? dynamic->find(DT_FLAGS_1).value_or(0) : 0;
      // libc itself names an interpreter, so that alone makes no program.
      const bool names_itself = dynamic && dynamic->find(DT_SONAME).has_value();
      const bool program = (flags & DF_1_PIE) != 0 || (file.segment(PT_INTERP) != nullptr && !names_itself);
      return program ? ElfImage::Type::kExecutable : ElfImage::Type::kSharedLibrary;
    }
    default:
      return ElfImage::Type::kOther;
  }
}

Result<File> open_checked(std::span<const std::byte> bytes) {
  auto file = File::open(bytes);
  if (!file) return file.error();
  if (file->type() == ET_NONE) return corrupt("the ELF header names no type; it was not written to its end");
  if (file->type() == ET_DYN || file->type() == ET_EXEC) {
    const auto is_loaded = [](const elf::Segment& segment) { return segment.type == PT_LOAD; };
    if (std::ranges::none_of(file->segments(), is_loaded)) {
      return corrupt("the file has nothing to load; its headers were not written to their end");
    }
    MODDEV_TRY(check_build_id(*file));
  }
  return file;
}

Result<File> open_native(std::span<const std::byte> bytes) {
  auto file = open_checked(bytes);
  if (!file) return file.error();
  if (!file->is_64() || !file->is_native_order()) {
    return Error{ErrorCode::kUnsupported,
                 "the file is for another kind of machine: only 64-bit ELF of this byte order can be loaded",
                 0};
  }
  return file;
}

}  // namespace

bool looks_like_elf(std::span<const std::byte> file) {
  return file.size() >= SELFMAG && std::memcmp(file.data(), ELFMAG, SELFMAG) == 0;
}

Status check_elf_complete(std::span<const std::byte> bytes) {
  auto file = open_checked(bytes);
  if (!file) return file.error();
  auto dynamic = file->dynamic();
  if (!dynamic) return dynamic.error();
  return {};
}

Result<ElfImage> read_elf(std::span<const std::byte> bytes) {
  auto file = open_native(bytes);
  if (!file) return file.error();
  auto dynamic = file->dynamic();
  if (!dynamic) return dynamic.error();
  ElfImage image;
  image.type = type_of(*file, *dynamic);
  image.machine = file->machine();
  image.build_id = hexadecimal(file->build_id());
  if (*dynamic) {
    MODDEV_TRY(read_dynamic(*file, **dynamic, image));
    MODDEV_TRY(read_symbols(*file, **dynamic, image));
  }
  return image;
}

Result<std::vector<ElfNameSlot>> elf_name_slots(std::span<const std::byte> bytes) {
  auto file = open_native(bytes);
  if (!file) return file.error();
  auto dynamic = file->dynamic();
  if (!dynamic) return dynamic.error();
  std::vector<ElfNameSlot> slots;
  if (!*dynamic) return slots;
  const DynamicTables& tables = **dynamic;
  for (const auto& [tag, value] : tables.entries) {
    if (tag != DT_SONAME && tag != DT_NEEDED) continue;
    const auto name = file->string(tables.strings, tables.strings_size, value);
    if (!name) return corrupt("a name in the dynamic section is outside the string table");
    slots.push_back({tag == DT_SONAME ? ElfNameSlot::Kind::kSoname : ElfNameSlot::Kind::kNeeded,
                     std::string(*name), tables.strings + value});
  }
  return slots;
}

}  // namespace moddev
