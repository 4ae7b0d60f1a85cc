#include "client/src/image_rewrite.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "client/src/load_time_code.h"

namespace moddev {
namespace {

using elf::corrupt;

#if defined(__x86_64__)
constexpr std::uint16_t kThisMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kThisMachine = EM_AARCH64;
#else
constexpr std::uint16_t kThisMachine = EM_NONE;
#endif

/// The largest page size of this machine's ABI: the additional segment is aligned to it wherever it is
/// loaded.
constexpr std::uint64_t kSegmentAlignment = kThisMachine == EM_AARCH64 ? 0x10000 : 0x1000;

/// What <moddev/interface.h> exports begins with this.
constexpr std::string_view kInterfacePrefix = "moddev_interface_1_";

template <typename T>
std::span<const std::byte> raw(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

bool is_thread_start(std::string_view name) {
  return name == "pthread_create" || name == "thrd_create" ||
         name.starts_with("_ZNSt6thread15_M_start_thread");
}

bool is_thread_exit_registration(std::string_view name) {
  return name == "__cxa_thread_atexit" || name == "__cxa_thread_atexit_impl";
}

void append_bytes(Bytes& target, std::span<const std::byte> bytes) {
  target.insert(target.end(), bytes.begin(), bytes.end());
}

/// The offsets, in the file, of every vn_file of the version needs (GNU symbol versioning) with its value.
std::vector<std::pair<std::uint64_t, std::uint32_t>> version_files(const elf::File& file,
                                                                   const elf::DynamicTables& dynamic) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> files;
  const auto table = dynamic.find(DT_VERNEED);
  const auto count = dynamic.find(DT_VERNEEDNUM);
  if (!table || !count) return files;
  std::uint64_t address = *table;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto at = file.offset_of(address, sizeof(Elf64_Verneed));
    if (!at) break;
    files.emplace_back(*at + offsetof(Elf64_Verneed, vn_file),
                       file.u32(*at + offsetof(Elf64_Verneed, vn_file)));
    const std::uint32_t next = file.u32(*at + offsetof(Elf64_Verneed, vn_next));
    if (next == 0) break;
    address += next;
  }
  return files;
}

}  // namespace

void PatchedImage::patch(std::uint64_t offset, std::span<const std::byte> bytes) {
  MODDEV_ASSERT(bytes.size() <= 8 && offset <= artifact_.size() && bytes.size() <= artifact_.size() - offset,
                "a patch is at most 8 bytes inside the artifact");
  Patch patch;
  patch.offset = offset;
  patch.size = bytes.size();
  std::copy(bytes.begin(), bytes.end(), patch.bytes.begin());
  patches_.push_back(patch);
}

std::vector<std::span<const std::byte>> PatchedImage::pieces() const {
  std::sort(patches_.begin(), patches_.end(),
            [](const Patch& a, const Patch& b) { return a.offset < b.offset; });
  std::vector<std::span<const std::byte>> pieces;
  pieces.reserve(patches_.size() * 2 + 2);
  std::uint64_t done = 0;
  for (const Patch& patch : patches_) {
    MODDEV_ASSERT(patch.offset >= done, "patches do not overlap");
    if (patch.offset > done) pieces.push_back(artifact_.subspan(done, patch.offset - done));
    pieces.push_back(std::span(patch.bytes).first(patch.size));
    done = patch.offset + patch.size;
  }
  if (done < artifact_.size()) pieces.push_back(artifact_.subspan(done));
  if (!tail_.empty()) pieces.push_back(tail_);
  return pieces;
}

Restoration PatchedImage::restoration() const {
  Restoration restoration{artifact_.size(), patches_};
  for (Patch& patch : restoration.originals) {
    const auto original = artifact_.subspan(patch.offset, patch.size);
    std::copy(original.begin(), original.end(), patch.bytes.begin());
  }
  return restoration;
}

bool Restoration::apply(Bytes& image) const {
  if (image.size() < artifact_size) return false;
  image.resize(artifact_size);
  for (const Original& original : originals) {
    std::copy_n(original.bytes.begin(), original.size,
                image.begin() + static_cast<std::ptrdiff_t>(original.offset));
  }
  return true;
}

Bytes PatchedImage::assemble() const {
  Bytes whole;
  whole.reserve(size());
  for (const auto piece : pieces()) append_bytes(whole, piece);
  return whole;
}

Result<NativeImage> NativeImage::read(std::span<const std::byte> artifact) {
  auto file = elf::File::open(artifact);
  if (!file) return file.error();
  if (!file->is_64() || !file->is_native_order() || file->machine() != kThisMachine) {
    return Error{ErrorCode::kUnsupported,
                 "the library was built for another kind of machine (ELF machine " +
                     std::to_string(file->machine()) + ", here it is " + std::to_string(kThisMachine) +
                     "); build it for this one",
                 0};
  }
  if (file->type() != ET_DYN) {
    return Error{ErrorCode::kUnsupported, "the file is not a shared library; link it with -shared", 0};
  }
  NativeImage image(*std::move(file));
  MODDEV_TRY(image.read_dynamic());
  MODDEV_TRY(image.read_symbols());
  image.mapped_bytes_ = image.first_free_address();
  return image;
}

Status NativeImage::read_dynamic() {
  auto dynamic = file_.dynamic();
  if (!dynamic) return dynamic.error();
  if (!*dynamic)
    return Error{ErrorCode::kUnsupported, "the file has no dynamic section; link it with -shared", 0};
  dynamic_ = std::move(**dynamic);
  dynamic_offset_ = file_.segment(PT_DYNAMIC)->offset;
  for (const auto& [tag, value] : dynamic_.entries) {
    if (tag == DT_FLAGS_1) {
      if ((value & DF_1_PIE) != 0) {
        return Error{ErrorCode::kUnsupported,
                     "the file is a program, not a shared library; link it with -shared instead of -pie", 0};
      }
      nodelete_ = (value & DF_1_NODELETE) != 0;
    }
    if (tag != DT_SONAME && tag != DT_NEEDED) continue;
    const auto text = file_.string(dynamic_.strings, dynamic_.strings_size, value);
    if (!text) return corrupt("a name in the dynamic section is outside the string table");
    if (tag == DT_SONAME) soname_ = *text;
    if (tag == DT_NEEDED) needed_.emplace_back(*text);
  }
  initialisers_ = has_own_initialisers(file_, dynamic_);
  build_id_ = file_.build_id();
  if (build_id_.empty()) return {};
  const auto at = static_cast<std::uint64_t>(build_id_.data() - file_.bytes().data());
  for (const auto& segment : file_.segments()) {
    if (segment.type == PT_LOAD && at >= segment.offset && at - segment.offset < segment.file_size) {
      build_id_address_ = segment.address + (at - segment.offset);
      return {};
    }
  }
  build_id_ = {};  // a note that is not loaded proves nothing about memory
  return {};
}

std::uint64_t NativeImage::symbol_count() const {
  std::uint64_t count = 0;
  for (const auto& section : file_.sections()) {
    if (section.type == SHT_DYNSYM) count = section.size / sizeof(Elf64_Sym);
  }
  if (count == 0) {
    // Without section headers: DT_HASH has the number, DT_GNU_HASH its largest chain.
    if (const auto hash = dynamic_.find(DT_HASH)) {
      if (const auto at = file_.offset_of(*hash, 8)) count = file_.u32(*at + 4);
    } else if (const auto gnu_hash = dynamic_.find(DT_GNU_HASH)) {
      if (const auto at = file_.offset_of(*gnu_hash, 16)) {
        const std::uint64_t buckets = file_.u32(*at);
        const std::uint64_t first = file_.u32(*at + 4);
        const std::uint64_t table = *at + 16 + std::uint64_t{file_.u32(*at + 8)} * 8;
        std::uint64_t last = 0;
        for (std::uint64_t i = 0; i < buckets && file_.inside(table + i * 4, 4); ++i) {
          last = std::max<std::uint64_t>(last, file_.u32(table + i * 4));
        }
        count = first;
        if (last >= first) {
          const std::uint64_t chains = table + buckets * 4;
          while (file_.inside(chains + (last - first) * 4, 4) &&
                 (file_.u32(chains + (last - first) * 4) & 1U) == 0) {
            ++last;
          }
          count = last + 1;
        }
      }
    }
  }
  return std::min<std::uint64_t>(count, (file_.bytes().size() - dynamic_.symbols) / sizeof(Elf64_Sym));
}

Status NativeImage::read_symbols() {
  const std::uint64_t count = symbol_count();
  for (std::uint64_t i = 1; i < count; ++i) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, file_.bytes().data() + dynamic_.symbols + i * sizeof symbol, sizeof symbol);
    const bool undefined = symbol.st_shndx == SHN_UNDEF;
    initialisers_ |= !undefined && ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC;
    const bool unique = !undefined && ELF64_ST_BIND(symbol.st_info) == STB_GNU_UNIQUE;
    const bool object = !undefined && ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT;
    if (!undefined && !unique && !object) continue;
    const auto name = file_.string(dynamic_.strings, dynamic_.strings_size, symbol.st_name);
    if (!name) return corrupt("the name of dynamic symbol " + std::to_string(i) + " is outside its table");
    if (object && name->starts_with(kInterfacePrefix)) MODDEV_TRY(read_interface(symbol, *name));
    if (unique) {
      unique_symbols_.emplace_back(*name);
      unique_indexes_.push_back(i);
    } else if (undefined) {
      starts_threads_ |= is_thread_start(*name);
      thread_local_destructors_ |= is_thread_exit_registration(*name);
    }
  }
  return {};
}

Status NativeImage::read_interface(const Elf64_Sym& symbol, std::string_view name) {
  const auto at = file_.offset_of(symbol.st_value, symbol.st_size);
  if (!at) return corrupt("what " + std::string(name) + " names is not in the file");
  if (interface_records_.size() == kMostInterfaces) {
    return Error{ErrorCode::kLimit,
                 "the module has more than " + std::to_string(kMostInterfaces) + " interfaces", 0};
  }
  interface_records_.push_back(file_.bytes().subspan(*at, symbol.st_size));
  return {};
}

std::uint64_t NativeImage::first_free_address() const {
  const std::uint64_t table = file_.u64(offsetof(Elf64_Ehdr, e_phoff));
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < file_.segments().size(); ++i) {
    if (file_.segments()[i].type != PT_LOAD) continue;
    const std::uint64_t size = file_.u64(table + i * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_memsz));
    end = std::max(end, file_.segments()[i].address + size);
  }
  return end;
}

Result<PatchedImage> NativeImage::privatise(
    const std::map<std::string, std::string, std::less<>>& paths,
    const std::function<bool(std::string_view)>& defined_below) const {
  PatchedImage image(file_.bytes());
  for (std::size_t i = 0; i < dynamic_.entries.size(); ++i) {
    if (dynamic_.entries[i].tag != DT_SONAME) continue;
    image.patch(dynamic_offset_ + i * sizeof(Elf64_Dyn) + offsetof(Elf64_Dyn, d_tag), raw(kSonameTakenAway));
  }
  for (std::size_t i = 0; i < unique_indexes_.size(); ++i) {
    const std::uint64_t at = dynamic_.symbols + unique_indexes_[i] * sizeof(Elf64_Sym);
    const auto info = std::to_integer<unsigned char>(file_.bytes()[at + offsetof(Elf64_Sym, st_info)]);
    const auto weak = static_cast<unsigned char>(ELF64_ST_INFO(STB_WEAK, ELF64_ST_TYPE(info)));
    image.patch(at + offsetof(Elf64_Sym, st_info), raw(weak));
    // An undefined symbol must not have a version that the file itself defines: it stays defined then.
    if (!dynamic_.find(DT_VERDEF) && defined_below(unique_symbols_[i])) {
      image.patch(at + offsetof(Elf64_Sym, st_shndx), raw(std::uint16_t{SHN_UNDEF}));
      image.patch(at + offsetof(Elf64_Sym, st_value), raw(std::uint64_t{0}));
    }
  }
  MODDEV_TRY(add_names(image, paths));
  return image;
}

Status NativeImage::add_names(PatchedImage& image,
                              const std::map<std::string, std::string, std::less<>>& paths) const {
  struct Use {
    std::uint64_t offset;  // of the integer that refers to the string
    std::size_t width;     // 8: d_val, 4: vn_file
    std::string_view path;
  };
  std::vector<Use> uses;
  const auto replacement = [&](std::uint64_t index) -> const std::string* {
    const auto name = file_.string(dynamic_.strings, dynamic_.strings_size, index);
    const auto found = name ? paths.find(*name) : paths.end();
    return found == paths.end() ? nullptr : &found->second;
  };
  for (std::size_t i = 0; i < dynamic_.entries.size(); ++i) {
    if (dynamic_.entries[i].tag != DT_NEEDED) continue;
    if (const std::string* path = replacement(dynamic_.entries[i].value)) {
      uses.push_back({dynamic_offset_ + i * sizeof(Elf64_Dyn) + offsetof(Elf64_Dyn, d_un), 8, *path});
    }
  }
  // Symbol versions name their library once more, and the loader looks for that name among the loaded ones.
  for (const auto& [offset, index] : version_files(file_, dynamic_)) {
    if (const std::string* path = replacement(index)) uses.push_back({offset, 4, *path});
  }
  if (uses.empty()) return {};

  // Behind the end of the file: the program headers with one more, then the strings. The new segment is the
  // last in memory too, as the loader wants PT_LOAD entries in ascending order.
  const std::uint64_t old_headers = file_.u64(offsetof(Elf64_Ehdr, e_phoff));
  const std::uint64_t header_count = file_.segments().size();
  const std::uint64_t offset = round_up(file_.bytes().size(), kSegmentAlignment);
  const std::uint64_t address = round_up(first_free_address(), kSegmentAlignment);
  const auto strings = dynamic_.find(DT_STRTAB);
  if (header_count + 1 >= PN_XNUM || address < *strings || address - *strings > UINT32_MAX / 2) {
    return Error{ErrorCode::kUnsupported, "the file leaves no room to name its dependencies' private copies",
                 0};
  }
  Bytes names;
  const std::uint64_t names_at = (header_count + 1) * sizeof(Elf64_Phdr);
  std::map<std::string_view, std::uint64_t> placed;
  for (const Use& use : uses) {
    const auto [position, fresh] = placed.try_emplace(use.path, names_at + names.size());
    if (fresh) {
      append_bytes(names, as_bytes(use.path));
      names.push_back(std::byte{0});
    }
    const std::uint64_t index = address - *strings + position->second;
    if (use.width == 8) {
      image.patch(use.offset, raw(index));
    } else {
      image.patch(use.offset, raw(static_cast<std::uint32_t>(index)));
    }
  }
  Elf64_Phdr added{};
  added.p_type = PT_LOAD;
  added.p_flags = PF_R;
  added.p_offset = offset;
  added.p_vaddr = added.p_paddr = address;
  added.p_filesz = added.p_memsz = names_at + names.size();
  added.p_align = kSegmentAlignment;

  Bytes tail(offset - file_.bytes().size());
  for (std::uint64_t i = 0; i < header_count; ++i) {
    Elf64_Phdr header;
    std::memcpy(&header, file_.bytes().data() + old_headers + i * sizeof header, sizeof header);
    if (header.p_type == PT_PHDR) {
      // lld and mold say where the table itself is; the loader believes them.
      header.p_offset = offset;
      header.p_vaddr = header.p_paddr = address;
      header.p_filesz = header.p_memsz = names_at;
    }
    append_bytes(tail, raw(header));
  }
  append_bytes(tail, raw(added));
  append_bytes(tail, names);
  image.append(std::move(tail));
  image.patch(offsetof(Elf64_Ehdr, e_phoff), raw(offset));
  image.patch(offsetof(Elf64_Ehdr, e_phnum), raw(static_cast<std::uint16_t>(header_count + 1)));
  return {};
}

}  // namespace moddev
