#include "protocol/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace moddev {
namespace {

constexpr std::array<std::pair<ErrorCode, std::string_view>, 13> kNames = {{
    {ErrorCode::kInvalidArgument, "invalid_argument"},
    {ErrorCode::kNotFound, "not_found"},
    {ErrorCode::kAlreadyExists, "already_exists"},
    {ErrorCode::kConflict, "conflict"},
    {ErrorCode::kPermission, "permission"},
    {ErrorCode::kUnavailable, "unavailable"},
    {ErrorCode::kTimeout, "timeout"},
    {ErrorCode::kLimit, "limit"},
    {ErrorCode::kCorrupt, "corrupt"},
    {ErrorCode::kIo, "io"},
    {ErrorCode::kUnsupported, "unsupported"},
    {ErrorCode::kRefused, "refused"},
    {ErrorCode::kInternal, "internal"},
}};

}  // namespace

std::string_view to_string(ErrorCode code) {
  for (const auto& [value, name] : kNames) {
    if (value == code) return name;
  }
  return "internal";
}

std::optional<ErrorCode> error_code_from_string(std::string_view name) {
  for (const auto& [value, text] : kNames) {
    if (text == name) return value;
  }
  return std::nullopt;
}

Error Error::with_context(std::string_view context) const {
  return Error{code, std::string(context) + ": " + message, sys_errno};
}

Error errno_error(std::string_view what, int err) {
  ErrorCode code = ErrorCode::kIo;
  if (err == ENOENT || err == ENOTDIR) code = ErrorCode::kNotFound;
  if (err == EACCES || err == EPERM) code = ErrorCode::kPermission;
  if (err == EEXIST) code = ErrorCode::kAlreadyExists;
  return Error{code, std::string(what) + ": " + std::generic_category().message(err), err};
}

void assertion_failed(const char* condition, const char* file, int line, std::string_view why) {
  std::fprintf(stderr, "%s:%d: assertion '%s' failed: %.*s\n", file, line, condition,
               static_cast<int>(why.size()), why.data());
  std::abort();
}

}  // namespace moddev
