#include "client/src/symbol_table.h"

#include <elf.h>

namespace moddev {
namespace {

/// Set in a symbol's version when another version is the default one.
constexpr std::uint16_t kHiddenVersion = 0x8000;

const Elf64_Sym& symbol_at(const void* symbols, std::uint32_t index) {
  return static_cast<const Elf64_Sym*>(symbols)[index];
}

bool is_exported(const Elf64_Sym& symbol) {
  const auto binding = ELF64_ST_BIND(symbol.st_info);
  const auto visibility = ELF64_ST_VISIBILITY(symbol.st_other);
  return symbol.st_shndx != SHN_UNDEF && binding != STB_LOCAL &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED) &&
         !(symbol.st_shndx == SHN_ABS && symbol.st_value == 0);
}

}  // namespace

std::uint32_t gnu_hash(std::string_view name) {
  std::uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
  return hash;
}

std::uint32_t sysv_hash(std::string_view name) {
  std::uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    const std::uint32_t high = hash & 0xf0000000U;
    hash = (hash ^ (high >> 24)) & ~high;
  }
  return hash;
}

SymbolTable::SymbolTable(std::uintptr_t load_address, const void* dynamic) : load_address_(load_address) {
  for (const auto* entry = static_cast<const Elf64_Dyn*>(dynamic); entry->d_tag != DT_NULL; ++entry) {
    // glibc replaces most addresses by absolute ones, other loaders do not.
    const std::uintptr_t value = entry->d_un.d_ptr;
    const std::uintptr_t absolute = value >= load_address ? value : value + load_address;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        symbols_ = reinterpret_cast<const void*>(absolute);
        break;
      case DT_STRTAB:
        strings_ = reinterpret_cast<const char*>(absolute);
        break;
      case DT_GNU_HASH:
        gnu_hash_ = reinterpret_cast<const std::uint32_t*>(absolute);
        break;
      case DT_HASH:
        sysv_hash_ = reinterpret_cast<const std::uint32_t*>(absolute);
        break;
      case DT_VERSYM:
        versions_ = reinterpret_cast<const std::uint16_t*>(absolute);
        break;
      default:
        break;
    }
  }
}

SymbolTable::Found SymbolTable::match(std::uint32_t index, std::string_view name) const {
  const Elf64_Sym& symbol = symbol_at(symbols_, index);
  if (name != std::string_view(strings_ + symbol.st_name)) return {};
  if (!is_exported(symbol)) return {};
  if (versions_ != nullptr && (versions_[index] & kHiddenVersion) != 0) return {};
  const auto type = ELF64_ST_TYPE(symbol.st_info);
  if (type == STT_TLS || type == STT_GNU_IFUNC) return {Kind::kAskLoader, nullptr};
  const std::uintptr_t base = symbol.st_shndx == SHN_ABS ? 0 : load_address_;
  return {Kind::kAddress, reinterpret_cast<void*>(base + symbol.st_value)};
}

SymbolTable::Found SymbolTable::find_by_gnu_hash(std::string_view name) const {
  constexpr std::uint32_t kWordBits = 64;
  const std::uint32_t bucket_count = gnu_hash_[0];
  const std::uint32_t first_hashed = gnu_hash_[1];
  const std::uint32_t bloom_words = gnu_hash_[2];
  const std::uint32_t bloom_shift = gnu_hash_[3];
  const auto* bloom = reinterpret_cast<const std::uint64_t*>(gnu_hash_ + 4);
  const auto* buckets = reinterpret_cast<const std::uint32_t*>(bloom + bloom_words);
  const std::uint32_t* chains = buckets + bucket_count;
  if (bucket_count == 0 || bloom_words == 0) return {};

  const std::uint32_t hash = gnu_hash(name);
  const std::uint64_t word = bloom[(hash / kWordBits) & (bloom_words - 1)];
  const std::uint64_t mask =
      (std::uint64_t{1} << (hash % kWordBits)) | (std::uint64_t{1} << ((hash >> bloom_shift) % kWordBits));
  if ((word & mask) != mask) return {};
  std::uint32_t index = buckets[hash % bucket_count];
  if (index < first_hashed) return {};
  for (;; ++index) {
    const std::uint32_t link = chains[index - first_hashed];
    if (((link ^ hash) >> 1) == 0) {
      if (const Found found = match(index, name); found.kind != Kind::kMissing) return found;
    }
    if ((link & 1U) != 0) return {};
  }
}

SymbolTable::Found SymbolTable::find_by_sysv_hash(std::string_view name) const {
  const std::uint32_t bucket_count = sysv_hash_[0];
  const std::uint32_t* buckets = sysv_hash_ + 2;
  const std::uint32_t* chains = buckets + bucket_count;
  if (bucket_count == 0) return {};
  for (std::uint32_t index = buckets[sysv_hash(name) % bucket_count]; index != STN_UNDEF;
       index = chains[index]) {
    if (const Found found = match(index, name); found.kind != Kind::kMissing) return found;
  }
  return {};
}

SymbolTable::Found SymbolTable::find(std::string_view name) const {
  if (symbols_ == nullptr || strings_ == nullptr || name.empty()) return {};
  if (gnu_hash_ != nullptr) return find_by_gnu_hash(name);
  if (sysv_hash_ != nullptr) return find_by_sysv_hash(name);
  return {};
}

std::vector<std::string> SymbolTable::names(std::size_t most) const {
  std::vector<std::string> all;
  const auto take = [&](std::uint32_t index) {
    const Elf64_Sym& symbol = symbol_at(symbols_, index);
    if (is_exported(symbol)) all.emplace_back(strings_ + symbol.st_name);
    return all.size() < most;
  };
  if (symbols_ == nullptr || strings_ == nullptr || most == 0) return all;
  if (gnu_hash_ != nullptr) {
    const std::uint32_t bucket_count = gnu_hash_[0];
    const std::uint32_t first_hashed = gnu_hash_[1];
    const auto* buckets = gnu_hash_ + 4 + std::size_t{gnu_hash_[2]} * 2;
    const std::uint32_t* chains = buckets + bucket_count;
    for (std::uint32_t bucket = 0; bucket < bucket_count; ++bucket) {
      std::uint32_t index = buckets[bucket];
      if (index < first_hashed) continue;
      for (;; ++index) {
        if (!take(index)) return all;
        if ((chains[index - first_hashed] & 1U) != 0) break;
      }
    }
  } else if (sysv_hash_ != nullptr) {
    for (std::uint32_t index = 1; index < sysv_hash_[1]; ++index) {
      if (!take(index)) return all;
    }
  }
  return all;
}

}  // namespace moddev
