// What a module may be called, and how a file's name becomes a module's name. Names cross machines and become
// parts of paths, so a name that could leave its directory is refused here, on both sides.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

enum class ModuleKind : std::uint8_t { kNative, kPython, kBlob };

/// "native", "python", "blob".
[[nodiscard]] std::string_view to_string(ModuleKind kind);
[[nodiscard]] std::optional<ModuleKind> module_kind_from_string(std::string_view text);

struct ModuleIdentity {
  std::string name;
  ModuleKind kind = ModuleKind::kBlob;
  friend bool operator==(const ModuleIdentity&, const ModuleIdentity&) = default;
};

/// The module that the file at `relative_path` (with '/', relative to the watched directory) is an artifact
/// of. libscorer.so, sub/libscorer.so and libscorer.so.1.2 are native "scorer"; a shared library without the
/// prefix keeps its stem (plugin.so is "plugin"); pkg/mod.py is python "pkg.mod", pkg/__init__.py is "pkg";
/// any other file is a blob named by its relative path. Errors: kInvalidArgument when no valid name comes
/// out.
[[nodiscard]] Result<ModuleIdentity> identify_module(std::string_view relative_path);

/// A name is 1..limits::kModuleNameBytes bytes of valid UTF-8 without control characters, '\\' or NUL; it
/// does not start or end with '/', and no '/'-separated part is empty, "." or "..".
[[nodiscard]] Status validate_module_name(std::string_view name);

/// The same rules for a relative path, up to limits::kPathBytes.
[[nodiscard]] Status validate_relative_path(std::string_view path);

}  // namespace moddev
