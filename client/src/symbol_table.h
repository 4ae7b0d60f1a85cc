// Looks up what a loaded library itself exports, in its memory, as the ABI's hash tables describe it. Needed
// because dlsym() takes the loader's lock, which a library that is just being loaded holds for as long as its
// initialisers run: calls into modules would wait for a reload. Does not look into dependencies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moddev {

/// Refers to the memory of a loaded library; valid while it is mapped.
class SymbolTable {
 public:
  SymbolTable() = default;
  /// `load_address` and `dynamic` are l_addr and l_ld of the library's link_map. Trusts the library: the
  /// loader has used the same tables.
  SymbolTable(std::uintptr_t load_address, const void* dynamic);

  enum class Kind : std::uint8_t {
    kMissing,
    kAddress,    // `address` is it
    kAskLoader,  // exported, but only dlsym() can tell the address: an indirect function, a thread_local
  };
  struct Found {
    Kind kind = Kind::kMissing;
    void* address = nullptr;
  };
  [[nodiscard]] Found find(std::string_view name) const;

  /// Names of exported functions and objects, at most `most`, in table order: for messages.
  [[nodiscard]] std::vector<std::string> names(std::size_t most) const;

 private:
  [[nodiscard]] Found match(std::uint32_t index, std::string_view name) const;
  [[nodiscard]] Found find_by_gnu_hash(std::string_view name) const;
  [[nodiscard]] Found find_by_sysv_hash(std::string_view name) const;

  std::uintptr_t load_address_ = 0;
  const void* symbols_ = nullptr;
  const char* strings_ = nullptr;
  const std::uint32_t* gnu_hash_ = nullptr;
  const std::uint32_t* sysv_hash_ = nullptr;
  const std::uint16_t* versions_ = nullptr;
};

/// The hash of DT_GNU_HASH tables.
[[nodiscard]] std::uint32_t gnu_hash(std::string_view name);
/// The hash of DT_HASH tables (System V ABI, "Hash Table").
[[nodiscard]] std::uint32_t sysv_hash(std::string_view name);

}  // namespace moddev
