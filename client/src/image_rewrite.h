// What makes a native module's private copy different from the artifact, so that glibc's loader can hold many
// versions of it at once and bind each to its own dependencies. Pure: bytes in, a description of bytes out.
// It opens no file and loads nothing; client/LOADING.md tells why each change is needed.
//
//   DT_SONAME  gets a tag that loaders ignore: a library without a soname is known by its path only, and the
//              path is ours. So an equal soname never hands out the old version.
//   DT_NEEDED  of another module becomes the path of exactly that module's private copy, of the same epoch.
//              Names of any length fit: the strings are put behind the end of the file and mapped by one more
//              program header, so nothing in .dynstr, which strings may share, is touched. (Rewriting in
//              place at equal length would need free, unshared bytes: a soname of four letters has none.)
//   STB_GNU_UNIQUE symbols become weak ones, as -fno-gnu-unique makes them; where a dependency of the same
//              epoch defines the symbol too, undefined ones, so that both go on sharing it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/elf_file.h"
#include "protocol/result.h"

namespace moddev {

/// The tag that takes DT_SONAME's place: in the range for operating systems (DT_LOOS..DT_HIOS), "modd" in
/// ASCII.
inline constexpr std::int64_t kSonameTakenAway = 0x6d6f6464;

/// Interfaces (<moddev/interface.h>) that one module may offer. One with more is refused.
inline constexpr std::size_t kMostInterfaces = 256;

/// What an image has in place of its artifact's bytes: makes the artifact out of the image again.
struct Restoration {
  struct Original {
    std::uint64_t offset = 0;
    std::array<std::byte, 8> bytes{};
    std::size_t size = 0;
  };
  std::uint64_t artifact_size = 0;
  std::vector<Original> originals;

  /// Cuts and mends the bytes of an image. False when they are too few to be it.
  [[nodiscard]] bool apply(Bytes& image) const;
};

/// A file that equals another one except for some bytes and what follows its end. Refers to the artifact's
/// bytes, which must outlive it.
class PatchedImage {
 public:
  explicit PatchedImage(std::span<const std::byte> artifact) : artifact_(artifact) {}

  /// At most 8 bytes inside the artifact; patches must not overlap.
  void patch(std::uint64_t offset, std::span<const std::byte> bytes);
  void append(Bytes tail) { tail_ = std::move(tail); }

  [[nodiscard]] std::uint64_t size() const { return artifact_.size() + tail_.size(); }
  [[nodiscard]] std::size_t patches() const { return patches_.size(); }
  /// The image as consecutive pieces, to write or compare it without building it. Valid while this lives
  /// unchanged.
  [[nodiscard]] std::vector<std::span<const std::byte>> pieces() const;
  [[nodiscard]] Restoration restoration() const;
  /// The image in one piece, for tests.
  [[nodiscard]] Bytes assemble() const;

 private:
  using Patch = Restoration::Original;
  std::span<const std::byte> artifact_;
  mutable std::vector<Patch> patches_;  // sorted when pieces() is asked
  Bytes tail_;
};

/// What of a native module matters for loading it, from one pass over its dynamic section and symbols.
class NativeImage {
 public:
  /// `artifact` must outlive the image. Errors: kCorrupt, kUnsupported (not a shared library for this
  /// machine).
  static Result<NativeImage> read(std::span<const std::byte> artifact);

  [[nodiscard]] const std::string& soname() const { return soname_; }
  [[nodiscard]] const std::vector<std::string>& needed() const { return needed_; }
  /// Defined STB_GNU_UNIQUE symbols.
  [[nodiscard]] const std::vector<std::string>& unique_symbols() const { return unique_symbols_; }
  /// Refers to __cxa_thread_atexit(_impl): may register destructors of thread_local objects.
  [[nodiscard]] bool has_thread_local_destructors() const { return thread_local_destructors_; }
  /// Refers to pthread_create and the like.
  [[nodiscard]] bool starts_threads() const { return starts_threads_; }
  /// The bytes of the exported objects that describe interfaces (<moddev/interface.h>).
  [[nodiscard]] const std::vector<std::span<const std::byte>>& interface_records() const {
    return interface_records_;
  }
  /// Code of the author runs while it is loaded: load_time_code.h, and resolvers of STT_GNU_IFUNC symbols.
  [[nodiscard]] bool has_initialisers() const { return initialisers_; }
  /// DF_1_NODELETE.
  [[nodiscard]] bool nodelete() const { return nodelete_; }
  /// Bytes of address space that the loaded segments take.
  [[nodiscard]] std::uint64_t mapped_bytes() const { return mapped_bytes_; }

  /// The build-id and where it will be, relative to the load address. Empty when there is none.
  [[nodiscard]] std::span<const std::byte> build_id() const { return build_id_; }
  [[nodiscard]] std::uint64_t build_id_address() const { return build_id_address_; }

  /// The private copy: every DT_NEEDED that is a key of `paths` becomes that path. `defined_below` says
  /// whether a dependency of the same epoch defines a unique symbol. Errors: kUnsupported when the file
  /// leaves no address for more strings.
  [[nodiscard]] Result<PatchedImage> privatise(
      const std::map<std::string, std::string, std::less<>>& paths,
      const std::function<bool(std::string_view)>& defined_below) const;

 private:
  explicit NativeImage(elf::File file) : file_(std::move(file)) {}
  Status read_dynamic();
  Status read_symbols();
  Status read_interface(const Elf64_Sym& symbol, std::string_view name);
  [[nodiscard]] std::uint64_t symbol_count() const;
  Status add_names(PatchedImage& image, const std::map<std::string, std::string, std::less<>>& paths) const;
  [[nodiscard]] std::uint64_t first_free_address() const;

  elf::File file_;
  elf::DynamicTables dynamic_;
  std::uint64_t dynamic_offset_ = 0;
  std::string soname_;
  std::vector<std::string> needed_;
  std::vector<std::string> unique_symbols_;
  std::vector<std::uint64_t> unique_indexes_;
  std::vector<std::span<const std::byte>> interface_records_;
  bool thread_local_destructors_ = false;
  bool starts_threads_ = false;
  bool initialisers_ = false;
  bool nodelete_ = false;
  std::uint64_t mapped_bytes_ = 0;
  std::span<const std::byte> build_id_;
  std::uint64_t build_id_address_ = 0;
};

}  // namespace moddev
