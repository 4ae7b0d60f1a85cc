// The headers of an ELF file of either class and byte order, read from memory with every offset checked. It
// knows where things are, not what they mean for a module: that is elf_image.cc. Written by hand on <elf.h>
// instead of libelf: libelf wants writable memory, follows the section headers that a stripped library may
// lack, and is not made for bytes that somebody chose.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"

namespace moddev::elf {

/// Real libraries have about ten; a file may declare billions.
inline constexpr std::uint64_t kMostSegments = 4096;
/// A symbol's or library's name. C++ symbols of several kilobytes exist.
inline constexpr std::size_t kMostNameBytes = 64UL * 1024;
/// All names of one file together: many symbols could point to one long string.
inline constexpr std::size_t kMostNamesBytes = 256UL * 1024 * 1024;
/// All notes that are looked through: many segments could point to the same bytes.
inline constexpr std::size_t kMostNoteBytes = 1024UL * 1024;

struct Segment {
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
  std::uint64_t address = 0;
  std::uint64_t file_size = 0;
  std::uint64_t align = 0;
};

struct Section {
  std::uint32_t type = 0;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t entry_size = 0;
  std::uint64_t align = 0;
};

struct DynamicEntry {
  std::int64_t tag = 0;
  std::uint64_t value = 0;
};

/// What a dynamic section says about where the loader finds things; offsets are already in the file.
struct DynamicTables {
  std::vector<DynamicEntry> entries;
  std::uint64_t strings = 0;
  std::uint64_t strings_size = 0;
  std::uint64_t symbols = 0;

  [[nodiscard]] std::optional<std::uint64_t> find(std::int64_t tag) const;
};

class File {
 public:
  /// Reads the headers; everything that they point to lies inside. Errors: kCorrupt.
  static Result<File> open(std::span<const std::byte> bytes);

  [[nodiscard]] bool is_64() const { return is_64_; }
  [[nodiscard]] bool is_native_order() const { return !swap_; }
  [[nodiscard]] std::uint16_t type() const { return type_; }
  [[nodiscard]] std::uint16_t machine() const { return machine_; }
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  [[nodiscard]] bool inside(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  /// Integers in the file's byte order. Outside the file they are 0: callers check `inside` first where it
  /// matters.
  [[nodiscard]] std::uint16_t u16(std::uint64_t offset) const;
  [[nodiscard]] std::uint32_t u32(std::uint64_t offset) const;
  [[nodiscard]] std::uint64_t u64(std::uint64_t offset) const;
  /// An address, offset or size of the file's class.
  [[nodiscard]] std::uint64_t word(std::uint64_t offset) const { return is_64_ ? u64(offset) : u32(offset); }

  /// The first segment of a type that has bytes in the file.
  [[nodiscard]] const Segment* segment(std::uint32_t type) const;
  /// Where `size` bytes at a virtual address are in the file; nothing when they are not all in one loaded
  /// segment.
  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address, std::uint64_t size) const;
  /// The NUL-terminated string at `index` of a table, at most kMostNameBytes long.
  [[nodiscard]] std::optional<std::string_view> string(std::uint64_t table, std::uint64_t table_size,
                                                       std::uint64_t index) const;

  /// The build-id note's bytes; empty when there is none.
  [[nodiscard]] std::span<const std::byte> build_id() const;
  /// The dynamic section, found through its segment, so in files without section headers too. Nothing when
  /// there is none; errors: kCorrupt when what it must have is missing or outside.
  [[nodiscard]] Result<std::optional<DynamicTables>> dynamic() const;

 private:
  File() = default;
  Status read_sections(std::uint64_t table, std::uint64_t count, std::uint64_t entry_size);
  Status read_segments(std::uint64_t table, std::uint64_t count, std::uint64_t entry_size);
  [[nodiscard]] Section section_at(std::uint64_t offset) const;
  [[nodiscard]] std::span<const std::byte> build_id_in(std::uint64_t offset, std::uint64_t size,
                                                       std::uint64_t align) const;

  std::span<const std::byte> bytes_;
  bool is_64_ = true;
  bool swap_ = false;
  std::uint16_t type_ = 0;
  std::uint16_t machine_ = 0;
  std::vector<Segment> segments_;
  std::vector<Section> sections_;
};

[[nodiscard]] inline Error corrupt(std::string message) {
  return Error{ErrorCode::kCorrupt, std::move(message), 0};
}

}  // namespace moddev::elf
