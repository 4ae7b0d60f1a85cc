#include "tests/support/world/tiny_library.h"

#include <elf.h>

#include <cstring>

#include "protocol/digest.h"

namespace moddev::sim {
namespace {

constexpr std::size_t kBuildIdBytes = 20;
constexpr std::size_t kNoteBytes = sizeof(Elf64_Nhdr) + 4 + kBuildIdBytes;

template <typename T>
void put(std::string& file, std::size_t at, const T& value) {
  std::memcpy(file.data() + at, &value, sizeof value);
}

template <typename T>
std::size_t append(std::string& file, const T& value) {
  const std::size_t at = file.size();
  file.append(reinterpret_cast<const char*>(&value), sizeof value);
  return at;
}

void align(std::string& file) {
  file.resize((file.size() + 7) & ~std::size_t{7});
}

Elf64_Dyn dynamic(Elf64_Sxword tag, Elf64_Xword value) {
  Elf64_Dyn entry{};
  entry.d_tag = tag;
  entry.d_un.d_val = value;
  return entry;
}

Elf64_Phdr segment(Elf64_Word type, std::size_t offset, std::size_t size) {
  Elf64_Phdr header{};
  header.p_type = type;
  header.p_flags = PF_R;
  header.p_offset = header.p_vaddr = header.p_paddr = offset;
  header.p_filesz = header.p_memsz = size;
  header.p_align = 8;
  return header;
}

}  // namespace

std::string build(const TinyLibrary& library) {
  constexpr std::size_t kSegments = 3;
  std::string file(sizeof(Elf64_Ehdr) + kSegments * sizeof(Elf64_Phdr), '\0');

  const std::size_t strings = file.size();
  file += '\0';
  const auto name = [&](std::string_view text) {
    const std::size_t at = file.size() - strings;
    file += text;
    file += '\0';
    return at;
  };
  const std::size_t soname = name(library.soname);
  std::vector<std::size_t> needed;
  for (const std::string& other : library.needed) needed.push_back(name(other));
  const std::size_t strings_size = file.size() - strings;

  align(file);
  const std::size_t symbols = append(file, Elf64_Sym{});
  const std::size_t tables = file.size();
  for (const std::size_t other : needed) append(file, dynamic(DT_NEEDED, other));
  append(file, dynamic(DT_SONAME, soname));
  append(file, dynamic(DT_STRTAB, strings));
  append(file, dynamic(DT_STRSZ, strings_size));
  append(file, dynamic(DT_SYMTAB, symbols));
  append(file, dynamic(DT_SYMENT, sizeof(Elf64_Sym)));
  append(file, dynamic(DT_NULL, 0));
  const std::size_t tables_size = file.size() - tables;

  file += library.payload;
  align(file);
  const std::size_t note = file.size();
  file.resize(note + kNoteBytes);

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_DYN;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = kSegments;
  put(file, 0, header);
  const Elf64_Phdr headers[kSegments] = {segment(PT_LOAD, 0, file.size()),
                                         segment(PT_DYNAMIC, tables, tables_size),
                                         segment(PT_NOTE, note, kNoteBytes)};
  put(file, sizeof(Elf64_Ehdr), headers);

  Elf64_Nhdr note_header{};
  note_header.n_namesz = 4;
  note_header.n_descsz = kBuildIdBytes;
  note_header.n_type = NT_GNU_BUILD_ID;
  const Digest id = digest_of(std::string_view(file));
  put(file, note, note_header);
  std::memcpy(file.data() + note + sizeof note_header, "GNU", 4);
  std::memcpy(file.data() + note + sizeof note_header + 4, id.bytes.data(), kBuildIdBytes);
  return file;
}

std::string without_note(std::string file) {
  std::memset(file.data() + file.size() - kNoteBytes, 0, kNoteBytes);
  return file;
}

}  // namespace moddev::sim
