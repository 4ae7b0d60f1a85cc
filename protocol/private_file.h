// Small files that decide whom we believe, and secrets: read only when nobody else could have written (or,
// for secrets, read) them, and written so that they are whole or not there. Knows no format.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace moddev {

namespace limits {
/// A larger key file, and a larger list of trusted keys, is refused.
inline constexpr std::size_t kKeyFileBytes = 16UL * 1024;
inline constexpr std::size_t kTrustFileBytes = 2UL * 1024 * 1024;
}  // namespace limits

enum class Secrecy : std::uint8_t {
  kSecret,  // nobody else may read it: mode 0600 or less
  kPublic,  // others may read it, but not write it
  kShared,  // the group may write it too (umask 002); it may be a device or a pipe
};

/// The whole of `path`, which must be a regular file of `uid` or root (symbolic links are followed, as
/// deployed secrets often are some), in a directory in which nobody else can replace it. Errors: kNotFound;
/// kPermission with the command that cures it; kLimit beyond `most` bytes; kIo.
[[nodiscard]] Result<std::string> read_private_file(const std::string& path, Secrecy secrecy, uid_t uid,
                                                    std::size_t most = limits::kKeyFileBytes);

/// What tells whether a file has changed (stat(2)); nothing when it is not there.
struct FileVersion {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};
[[nodiscard]] std::optional<FileVersion> stamp_of(const std::string& path);

enum class Existing : std::uint8_t { kKeep, kReplace };

/// Writes `path` in one step (a temporary file beside it, fsync, then link(2) or rename(2)), with mode 0600
/// or 0644. Errors: kAlreadyExists when it is there and shall be kept; kIo.
Status write_private_file(const std::string& path, std::string_view content, Secrecy secrecy,
                          Existing existing);

/// The user's directory for what moddev is told: XDG_CONFIG_HOME/moddev, else HOME/.config/moddev. Pass the
/// values of the variables; null when they are not set. Errors: kInvalidArgument when neither is an absolute
/// path.
[[nodiscard]] Result<std::string> configuration_directory(const char* xdg_config_home, const char* home);
/// The same from the environment of this process.
[[nodiscard]] Result<std::string> configuration_directory();

/// Creates it and what is above it, mode 0700, and checks that only `uid` can write into it. Errors:
/// kPermission, kIo.
Status make_configuration_directory(const std::string& path, uid_t uid);

}  // namespace moddev
