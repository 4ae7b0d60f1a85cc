#include "watcher/completeness.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "protocol/elf_file.h"
#include "protocol/elf_image.h"

namespace moddev::watcher {
namespace {

// mach-o/loader.h and mach-o/fat.h, as documented by Apple.
constexpr std::uint32_t kMachO64 = 0xFEEDFACF;
constexpr std::uint32_t kFat = 0xCAFEBABE;
constexpr std::uint32_t kSegment64 = 0x19;
constexpr std::uint32_t kSymbolTable = 0x2;
constexpr std::size_t kMachHeaderBytes = 32;
constexpr std::uint32_t kFatMembers = 16;  // more than any tool writes; Java classes share the magic number

Error cut_off(const std::string& what) {
  return Error{ErrorCode::kCorrupt, "the file is not whole: " + what + " lies beyond its end", 0};
}

template <typename T>
bool get(std::span<const std::byte> file, std::uint64_t offset, T& value) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) return false;
  std::memcpy(&value, file.data() + offset, sizeof(T));
  return true;
}

bool inside(std::span<const std::byte> file, std::uint64_t offset, std::uint64_t size) {
  return offset <= file.size() && size <= file.size() - offset;
}

Status check_mach_o(std::span<const std::byte> file) {
  std::uint32_t count = 0;
  std::uint32_t bytes = 0;
  if (file.size() < kMachHeaderBytes || !get(file, 16, count) || !get(file, 20, bytes) ||
      !inside(file, kMachHeaderBytes, bytes))
    return cut_off("the list of load commands");
  std::uint64_t at = kMachHeaderBytes;
  const std::uint64_t end = kMachHeaderBytes + bytes;
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t command = 0;
    std::uint32_t size = 0;
    if (!get(file, at, command) || !get(file, at + 4, size) || size < 8 || size > end - at)
      return cut_off("load command " + std::to_string(i));
    if (command == kSegment64) {
      std::uint64_t offset = 0;
      std::uint64_t length = 0;
      if (!get(file, at + 40, offset) || !get(file, at + 48, length) || !inside(file, offset, length))
        return cut_off("the segment of load command " + std::to_string(i));
    } else if (command == kSymbolTable) {
      std::uint32_t strings = 0;
      std::uint32_t length = 0;
      if (!get(file, at + 16, strings) || !get(file, at + 20, length) || !inside(file, strings, length))
        return cut_off("the string table");
    }
    at += size;
  }
  return {};
}

std::uint32_t big_endian(std::uint32_t value) {
  return ((value & 0xFFU) << 24) | ((value & 0xFF00U) << 8) | ((value >> 8) & 0xFF00U) | (value >> 24);
}

bool get_big(std::span<const std::byte> file, std::uint64_t offset, std::uint32_t& value) {
  static_assert(std::endian::native == std::endian::little);
  if (!get(file, offset, value)) return false;
  value = big_endian(value);
  return true;
}

Status check_fat(std::span<const std::byte> file) {
  std::uint32_t count = 0;
  if (!get_big(file, 4, count) || count > kFatMembers) return {};
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    const std::uint64_t at = 8 + std::uint64_t{i} * 20;
    if (!get_big(file, at + 8, offset) || !get_big(file, at + 12, size) || !inside(file, offset, size))
      return cut_off("architecture " + std::to_string(i));
    std::uint32_t magic = 0;
    const auto member = file.subspan(offset, size);
    if (get(member, 0, magic) && magic == kMachO64) {
      if (Status status = check_mach_o(member); !status) return status;
    }
  }
  return {};
}

std::uint32_t magic_of(std::span<const std::byte> head) {
  std::uint32_t magic = 0;
  return get(head, 0, magic) ? magic : 0;
}

/// ld.bfd makes room for the build-id, writes everything else, hashes it, and writes the note at the very
/// end. A link that was killed before leaves the whole note zero, header and all, so that it does not look
/// like a build-id that is zero: it looks like none.
Status check_notes_written(std::span<const std::byte> file) {
  const auto parsed = elf::File::open(file);
  if (!parsed) return parsed.error();
  const auto is_zero = [&](std::uint64_t offset, std::uint64_t size) {
    const auto note = file.subspan(offset, std::min<std::uint64_t>(size, elf::kMostNoteBytes));
    return std::ranges::all_of(note, [](std::byte b) { return b == std::byte{0}; });
  };
  const Error unwritten{
      ErrorCode::kCorrupt,
      "the file is not whole: a note is still zero; linkers write the build-id last, so this "
      "link did not come to its end",
      0};
  for (const elf::Segment& segment : parsed->segments()) {
    if (segment.type == PT_NOTE && segment.file_size > 0 && is_zero(segment.offset, segment.file_size))
      return unwritten;
  }
  for (const elf::Section& section : parsed->sections()) {
    if (section.type == SHT_NOTE && section.size > 0 && is_zero(section.offset, section.size))
      return unwritten;
  }
  return {};
}

}  // namespace

bool has_native_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  if (name.ends_with(".so") || name.ends_with(".dylib")) return true;
  const std::size_t so = name.find(".so.");
  return so != std::string_view::npos &&
         name.find_first_not_of("0123456789.", so + 4) == std::string_view::npos && so + 4 < name.size();
}

bool needs_check(std::string_view path, std::span<const std::byte> head) {
  const std::uint32_t magic = magic_of(head);
  return has_native_name(path) || looks_like_elf(head) || magic == kMachO64 || big_endian(magic) == kFat;
}

Status check_complete(std::string_view path, std::span<const std::byte> file) {
  if (looks_like_elf(file)) {
    MODDEV_TRY(check_elf_complete(file));
    return check_notes_written(file);
  }
  const std::uint32_t magic = magic_of(file);
  if (magic == kMachO64) return check_mach_o(file);
  if (big_endian(magic) == kFat) return check_fat(file);
  if (!has_native_name(path)) return {};
  if (file.empty())
    return Error{ErrorCode::kCorrupt, "the file is empty; a linker that was stopped leaves such files", 0};
  if (file.size() < 4 || magic == 0)
    return Error{ErrorCode::kCorrupt,
                 "the file does not begin with a library's header; its writer was stopped", 0};
  return {};
}

}  // namespace moddev::watcher
