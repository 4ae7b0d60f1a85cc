#include "protocol/elf_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moddev::elf {
namespace {

/// The offset of a field in the structure of the file's class.
#define MODDEV_ELF_FIELD(file_is_64, structure, field) \
  ((file_is_64) ? offsetof(Elf64_##structure, field) : offsetof(Elf32_##structure, field))
#define MODDEV_ELF_SIZE(file_is_64, structure) \
  ((file_is_64) ? sizeof(Elf64_##structure) : sizeof(Elf32_##structure))

template <typename T>
T load(std::span<const std::byte> bytes, std::uint64_t offset, bool swap) {
  T value = 0;
  if (offset > bytes.size() || sizeof(T) > bytes.size() - offset) return 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  if (!swap) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

std::string outside(std::string_view what, std::uint64_t offset, std::uint64_t size, std::uint64_t file) {
  return std::string(what) + " at offset " + std::to_string(offset) + " with " + std::to_string(size) +
         " bytes is outside the file of " + std::to_string(file) + " bytes; the file was cut off";
}

}  // namespace

std::optional<std::uint64_t> DynamicTables::find(std::int64_t tag) const {
  for (const auto& entry : entries) {
    if (entry.tag == tag) return entry.value;
  }
  return std::nullopt;
}

std::uint16_t File::u16(std::uint64_t offset) const {
  return load<std::uint16_t>(bytes_, offset, swap_);
}
std::uint32_t File::u32(std::uint64_t offset) const {
  return load<std::uint32_t>(bytes_, offset, swap_);
}
std::uint64_t File::u64(std::uint64_t offset) const {
  return load<std::uint64_t>(bytes_, offset, swap_);
}

Result<File> File::open(std::span<const std::byte> bytes) {
  File file;
  file.bytes_ = bytes;
  if (bytes.size() < EI_NIDENT || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
    return corrupt("the file has no ELF header");
  }
  const auto elf_class = std::to_integer<unsigned>(bytes[EI_CLASS]);
  const auto order = std::to_integer<unsigned>(bytes[EI_DATA]);
  if (elf_class != ELFCLASS32 && elf_class != ELFCLASS64) return corrupt("the ELF class is none");
  if (order != ELFDATA2LSB && order != ELFDATA2MSB) return corrupt("the ELF byte order is none");
  file.is_64_ = elf_class == ELFCLASS64;
  file.swap_ = (order == ELFDATA2LSB) != (std::endian::native == std::endian::little);
  const bool is_64 = file.is_64_;
  if (!file.inside(0, MODDEV_ELF_SIZE(is_64, Ehdr))) return corrupt("the ELF header is cut off");

  file.type_ = file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_type));
  file.machine_ = file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_machine));
  const std::uint64_t sections = file.word(MODDEV_ELF_FIELD(is_64, Ehdr, e_shoff));
  const std::uint64_t segments = file.word(MODDEV_ELF_FIELD(is_64, Ehdr, e_phoff));
  std::uint64_t section_count = file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_shnum));
  std::uint64_t segment_count = file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_phnum));

  // Numbers that do not fit into 16 bits are in the first section header (elf(5)).
  if (sections != 0) {
    if (!file.inside(sections, MODDEV_ELF_SIZE(is_64, Shdr))) {
      return corrupt(outside("the section headers", sections, MODDEV_ELF_SIZE(is_64, Shdr), bytes.size()));
    }
    if (section_count == 0) section_count = file.section_at(sections).size;
    if (segment_count == PN_XNUM) segment_count = file.u32(sections + MODDEV_ELF_FIELD(is_64, Shdr, sh_info));
  }
  MODDEV_TRY(
      file.read_segments(segments, segment_count, file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_phentsize))));
  if (sections != 0) {
    MODDEV_TRY(
        file.read_sections(sections, section_count, file.u16(MODDEV_ELF_FIELD(is_64, Ehdr, e_shentsize))));
  }
  return file;
}

Status File::read_segments(std::uint64_t table, std::uint64_t count, std::uint64_t entry_size) {
  if (count == 0) return {};
  if (entry_size != MODDEV_ELF_SIZE(is_64_, Phdr)) {
    return corrupt("the program headers have the wrong size of " + std::to_string(entry_size));
  }
  if (count > kMostSegments)
    return corrupt("the file declares " + std::to_string(count) + " program headers; the limit is " +
                   std::to_string(kMostSegments));
  if (!inside(table, count * entry_size)) {
    return corrupt(outside("the program header table", table, count * entry_size, bytes_.size()));
  }
  segments_.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t at = table + i * entry_size;
    Segment segment;
    segment.type = u32(at + MODDEV_ELF_FIELD(is_64_, Phdr, p_type));
    segment.offset = word(at + MODDEV_ELF_FIELD(is_64_, Phdr, p_offset));
    segment.address = word(at + MODDEV_ELF_FIELD(is_64_, Phdr, p_vaddr));
    segment.file_size = word(at + MODDEV_ELF_FIELD(is_64_, Phdr, p_filesz));
    segment.align = word(at + MODDEV_ELF_FIELD(is_64_, Phdr, p_align));
    if (segment.type != PT_NULL && segment.file_size != 0 && !inside(segment.offset, segment.file_size)) {
      return corrupt(
          outside("segment " + std::to_string(i), segment.offset, segment.file_size, bytes_.size()));
    }
    segments_.push_back(segment);
  }
  return {};
}

Section File::section_at(std::uint64_t at) const {
  Section section;
  section.type = u32(at + MODDEV_ELF_FIELD(is_64_, Shdr, sh_type));
  section.offset = word(at + MODDEV_ELF_FIELD(is_64_, Shdr, sh_offset));
  section.size = word(at + MODDEV_ELF_FIELD(is_64_, Shdr, sh_size));
  section.align = word(at + MODDEV_ELF_FIELD(is_64_, Shdr, sh_addralign));
  section.entry_size = word(at + MODDEV_ELF_FIELD(is_64_, Shdr, sh_entsize));
  return section;
}

Status File::read_sections(std::uint64_t table, std::uint64_t count, std::uint64_t entry_size) {
  if (count == 0) return {};
  if (entry_size != MODDEV_ELF_SIZE(is_64_, Shdr)) {
    return corrupt("the section headers have the wrong size of " + std::to_string(entry_size));
  }
  // The division keeps a huge count from wrapping around.
  if (!inside(table, 0) || count > (bytes_.size() - table) / entry_size) {
    return corrupt("the section header table at offset " + std::to_string(table) + " with " +
                   std::to_string(count) + " entries is outside the file of " +
                   std::to_string(bytes_.size()) + " bytes; the file was cut off");
  }
  sections_.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Section section = section_at(table + i * entry_size);
    sections_.push_back(section);
    if (section.type == SHT_NULL || section.type == SHT_NOBITS || section.size == 0) continue;
    if (!inside(section.offset, section.size)) {
      return corrupt(outside("section " + std::to_string(i), section.offset, section.size, bytes_.size()));
    }
    if (section.type == SHT_STRTAB && bytes_[section.offset + section.size - 1] != std::byte{0}) {
      return corrupt("the string table of section " + std::to_string(i) +
                     " does not end with a NUL; it was not written to its end");
    }
  }
  return {};
}

const Segment* File::segment(std::uint32_t type) const {
  for (const auto& segment : segments_) {
    if (segment.type == type && segment.file_size != 0) return &segment;
  }
  return nullptr;
}

std::optional<std::uint64_t> File::offset_of(std::uint64_t address, std::uint64_t size) const {
  for (const auto& segment : segments_) {
    if (segment.type != PT_LOAD || address < segment.address) continue;
    const std::uint64_t into = address - segment.address;
    if (into <= segment.file_size && size <= segment.file_size - into) return segment.offset + into;
  }
  return std::nullopt;
}

std::optional<std::string_view> File::string(std::uint64_t table, std::uint64_t table_size,
                                             std::uint64_t index) const {
  if (index >= table_size || !inside(table, table_size)) return std::nullopt;
  const auto* first = reinterpret_cast<const char*>(bytes_.data()) + table + index;
  const std::size_t most = std::min<std::uint64_t>(table_size - index, kMostNameBytes + 1);
  const std::size_t length = ::strnlen(first, most);
  if (length == most) return std::nullopt;
  return std::string_view(first, length);
}

std::span<const std::byte> File::build_id_in(std::uint64_t offset, std::uint64_t size,
                                             std::uint64_t align) const {
  constexpr std::uint64_t kNoteHeader = 12;
  const std::uint64_t unit = align == 8 ? 8 : 4;
  const auto rounded = [unit](std::uint64_t n) { return (n + unit - 1) / unit * unit; };
  while (size >= kNoteHeader) {
    const std::uint64_t name_size = u32(offset);
    const std::uint64_t value_size = u32(offset + 4);
    const std::uint32_t type = u32(offset + 8);
    // The last value need not be padded.
    const std::uint64_t value_at = rounded(kNoteHeader + name_size);
    if (value_at > size || value_size > size - value_at) return {};
    if (type == NT_GNU_BUILD_ID && name_size == 4 &&
        std::memcmp(bytes_.data() + offset + kNoteHeader, "GNU", 4) == 0) {
      return bytes_.subspan(offset + value_at, value_size);
    }
    const std::uint64_t whole = std::min(size, rounded(value_at + value_size));
    offset += whole;
    size -= whole;
  }
  return {};
}

std::span<const std::byte> File::build_id() const {
  std::uint64_t looked_through = 0;
  const auto look = [&](std::uint64_t offset, std::uint64_t size, std::uint64_t align) {
    if (size > kMostNoteBytes - looked_through) return std::span<const std::byte>();
    looked_through += size;
    return build_id_in(offset, size, align);
  };
  for (const auto& segment : segments_) {
    if (segment.type != PT_NOTE || segment.file_size == 0) continue;
    if (const auto id = look(segment.offset, segment.file_size, segment.align); !id.empty()) return id;
  }
  for (const auto& section : sections_) {
    if (section.type != SHT_NOTE || section.size == 0) continue;
    if (const auto id = look(section.offset, section.size, section.align); !id.empty()) return id;
  }
  return {};
}

Result<std::optional<DynamicTables>> File::dynamic() const {
  const Segment* segment = this->segment(PT_DYNAMIC);
  if (segment == nullptr) return std::optional<DynamicTables>();
  DynamicTables tables;
  const std::uint64_t entry_size = MODDEV_ELF_SIZE(is_64_, Dyn);
  bool ended = false;
  for (std::uint64_t at = 0; at + entry_size <= segment->file_size && !ended; at += entry_size) {
    const std::uint64_t tag = word(segment->offset + at);
    const auto signed_tag =
        is_64_ ? static_cast<std::int64_t>(tag) : static_cast<std::int32_t>(static_cast<std::uint32_t>(tag));
    ended = signed_tag == DT_NULL;
    if (!ended) tables.entries.push_back({signed_tag, word(segment->offset + at + entry_size / 2)});
  }
  if (!ended) return corrupt("the dynamic section has no end");
  const auto strings = tables.find(DT_STRTAB);
  const auto strings_size = tables.find(DT_STRSZ);
  const auto symbols = tables.find(DT_SYMTAB);
  if (!strings || !strings_size || !symbols) {
    return corrupt("the dynamic section names no string or symbol table; it was not written to its end");
  }
  const auto strings_at = offset_of(*strings, *strings_size);
  if (!strings_at) return corrupt("the dynamic string table is outside the file's segments");
  const auto symbols_at = offset_of(*symbols, MODDEV_ELF_SIZE(is_64_, Sym));
  if (!symbols_at) return corrupt("the dynamic symbol table is outside the file's segments");
  if (*strings_size == 0 || bytes_[*strings_at + *strings_size - 1] != std::byte{0}) {
    return corrupt("the dynamic string table does not end with a NUL; it was not written to its end");
  }
  tables.strings = *strings_at;
  tables.strings_size = *strings_size;
  tables.symbols = *symbols_at;
  return std::optional<DynamicTables>(std::move(tables));
}

}  // namespace moddev::elf
