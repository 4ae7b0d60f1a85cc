// Is a file whole, as far as its own headers tell? For files that nobody writes any more but that a killed
// linker or a cut-off copy may have left behind. Pure. It says nothing about whether a file is any good.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev::watcher {

/// Whether the path names a shared library: for such a name an empty or headerless file is not whole.
[[nodiscard]] bool has_native_name(std::string_view path);

/// Whether a file of this name that begins so calls for check_complete() over all of it.
[[nodiscard]] bool needs_check(std::string_view path, std::span<const std::byte> head);

/// ELF: see elf_image.h. Mach-O: every load command, segment and symbol table inside the file. Everything
/// else is whole. Errors: kCorrupt, with what is missing.
[[nodiscard]] Status check_complete(std::string_view path, std::span<const std::byte> file);

}  // namespace moddev::watcher
