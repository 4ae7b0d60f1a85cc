#include "protocol/names.h"

#include <array>

#include "protocol/limits.h"
#include "protocol/text.h"

namespace moddev {
namespace {

Status validate(std::string_view text, std::size_t limit, std::string_view what) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::kInvalidArgument, std::string(what) + " " + std::string(why), 0};
  };
  if (text.empty()) return bad("is empty");
  if (text.size() > limit) {
    return Error{ErrorCode::kLimit, std::string(what) + " is longer than " + std::to_string(limit) + " bytes",
                 0};
  }
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_sequence_length(text.substr(i));
    if (length == 0) return bad("is not valid UTF-8");
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7F) return bad("contains a control character");
    if (byte == '\\') return bad("contains a backslash");
    i += length;
  }
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find('/', start), text.size());
    const std::string_view part = text.substr(start, end - start);
    if (part.empty()) return bad("has an empty part between slashes");
    if (part == "." || part == "..") return bad("has a part '.' or '..'");
    start = end + 1;
  }
  return {};
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

/// Where ".so" starts in "libx.so" or "libx.so.1.2", or npos.
std::size_t shared_library_suffix(std::string_view file) {
  for (auto at = file.find(".so"); at != std::string_view::npos; at = file.find(".so", at + 1)) {
    const std::string_view rest = file.substr(at + 3);
    if (rest.empty()) return at;
    if (rest.find_first_not_of("0123456789.") == std::string_view::npos && rest.front() == '.' &&
        rest.size() > 1) {
      return at;
    }
  }
  return std::string_view::npos;
}

std::string python_name(std::string_view path) {
  std::string name(path.substr(0, path.size() - 3));
  if (name == "__init__") return "";
  if (name.ends_with("/__init__")) name.resize(name.size() - 9);
  for (char& c : name) {
    if (c == '/') c = '.';
  }
  return name;
}

constexpr std::array<std::pair<ModuleKind, std::string_view>, 3> kKinds = {
    {{ModuleKind::kNative, "native"}, {ModuleKind::kPython, "python"}, {ModuleKind::kBlob, "blob"}}};

}  // namespace

std::string_view to_string(ModuleKind kind) {
  for (const auto& [value, text] : kKinds) {
    if (value == kind) return text;
  }
  return "blob";
}

std::optional<ModuleKind> module_kind_from_string(std::string_view text) {
  for (const auto& [value, name] : kKinds) {
    if (name == text) return value;
  }
  return std::nullopt;
}

Status validate_module_name(std::string_view name) {
  return validate(name, limits::kModuleNameBytes, "a module's name");
}

Status validate_relative_path(std::string_view path) {
  return validate(path, limits::kPathBytes, "a path");
}

Result<ModuleIdentity> identify_module(std::string_view relative_path) {
  MODDEV_TRY(validate_relative_path(relative_path));
  const std::string_view file = base_name(relative_path);
  ModuleIdentity identity;
  std::size_t suffix = shared_library_suffix(file);
  // The same rule for a Mac's library; its name has no version behind the extension.
  if (suffix == std::string_view::npos && file.ends_with(".dylib")) suffix = file.size() - 6;
  if (suffix != std::string_view::npos && suffix > 0) {
    std::string_view stem = file.substr(0, suffix);
    if (stem.starts_with("lib") && stem.size() > 3) stem.remove_prefix(3);
    identity = {std::string(stem), ModuleKind::kNative};
  } else if (file.ends_with(".py") && file.size() > 3) {
    identity = {python_name(relative_path), ModuleKind::kPython};
  } else {
    identity = {std::string(relative_path), ModuleKind::kBlob};
  }
  if (auto valid = validate_module_name(identity.name); !valid) {
    return valid.error().with_context("'" + std::string(relative_path) + "' gives no module name");
  }
  return identity;
}

}  // namespace moddev
