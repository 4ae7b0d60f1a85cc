#include "protocol/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "protocol/bytes.h"
#include "protocol/descriptor.h"
#include "protocol/endpoint.h"

namespace moddev {
namespace {

std::int64_t in_ns(const timespec& at) {
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

std::string octal(mode_t mode) {
  std::string digits = "0000";
  for (std::size_t i = 0; i < digits.size(); ++i)
    digits[digits.size() - 1 - i] = static_cast<char>('0' + ((mode >> (3 * i)) & 7U));
  return digits;
}

/// What others must not have.
mode_t forbidden_bits(Secrecy secrecy) {
  if (secrecy == Secrecy::kSecret) return 077;
  return secrecy == Secrecy::kPublic ? 022 : 002;
}

/// How they are taken away.
std::string chmod_command(Secrecy secrecy, const std::string& path) {
  return std::string(secrecy == Secrecy::kShared ? "`chmod o-w " : "`chmod go-w ") + path + "`";
}

Status check_access(const std::string& path, const struct stat& info, Secrecy secrecy, uid_t uid) {
  const bool regular = S_ISREG(info.st_mode);
  if (!regular && secrecy != Secrecy::kShared)
    return Error{ErrorCode::kPermission, path + " is no regular file.", 0};
  if (info.st_uid != uid && info.st_uid != 0) {
    return Error{ErrorCode::kPermission, path + " belongs to user " + std::to_string(info.st_uid) +
                                             ", who could change it; it must belong to user " +
                                             std::to_string(uid) + ". Run `chown " + std::to_string(uid) +
                                             " " + path + "`."};
  }
  const bool secret = secrecy == Secrecy::kSecret;
  // What is written to a device or a pipe stays nowhere.
  if (!regular || (info.st_mode & forbidden_bits(secrecy)) == 0) return {};
  return Error{ErrorCode::kPermission,
               path + " has mode " + octal(info.st_mode & 07777) +
                   (secret ? ", so others may read this secret or change it. Run `chmod 600 " + path +
                                 "`, and make a new key if others have an account here."
                           : ", so others may change it. Run " + chmod_command(secrecy, path) + ".")};
}

/// Who may write the directory may put another file in the place of this one, or take it away.
Status check_directory(const std::string& path, Secrecy secrecy, uid_t uid) {
  std::string directory = std::filesystem::path(path).parent_path().string();
  if (directory.empty()) directory = ".";
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) return errno_error("Cannot look at " + directory, errno);
  const bool owned = info.st_uid == uid || info.st_uid == 0;
  const mode_t forbidden = secrecy == Secrecy::kShared ? 002 : 022;
  // In a sticky directory others can neither remove nor rename what is not theirs.
  if (owned && ((info.st_mode & forbidden) == 0 || (info.st_mode & S_ISVTX) != 0)) return {};
  return Error{ErrorCode::kPermission,
               path + " is in a directory in which others can replace it. Run " +
                   chmod_command(secrecy, directory) +
                   (owned ? "." : ", and `chown " + std::to_string(uid) + " " + directory + "`.")};
}

/// Non-blocking, so that a fifo in its place does not hold us; but for one that was named.
int flags_for(const std::string& path, Secrecy secrecy) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
  struct stat info {};
  const bool waits =
      secrecy == Secrecy::kShared && ::stat(path.c_str(), &info) == 0 && S_ISFIFO(info.st_mode);
  return waits ? kFlags : kFlags | O_NONBLOCK;
}

}  // namespace

Result<std::string> read_private_file(const std::string& path, Secrecy secrecy, uid_t uid, std::size_t most) {
  const Descriptor file(::open(path.c_str(), flags_for(path, secrecy)));
  if (!file) {
    Error error = errno_error("Cannot read " + path, errno);
    if (error.sys_errno == ENOENT) error.code = ErrorCode::kNotFound;
    return error;
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return errno_error("Cannot look at " + path, errno);
  MODDEV_TRY(check_access(path, info, secrecy, uid));
  MODDEV_TRY(check_directory(path, secrecy, uid));
  std::string content;
  for (;;) {
    const std::size_t had = content.size();
    content.resize(had + 4096);
    const ssize_t got = ::read(file.get(), content.data() + had, 4096);
    if (got < 0 && errno == EINTR) {
      content.resize(had);
      continue;
    }
    if (got < 0) return errno_error("Cannot read " + path, errno);
    content.resize(had + static_cast<std::size_t>(got));
    if (got == 0) return content;
    if (content.size() > most) {
      return Error{ErrorCode::kLimit,
                   path + " has more than " + std::to_string(most) + " bytes, which it cannot have."};
    }
  }
}

std::optional<FileVersion> stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileVersion{info.st_dev, info.st_ino, info.st_size, in_ns(info.st_mtim), in_ns(info.st_ctim)};
}

Status write_private_file(const std::string& path, std::string_view content, Secrecy secrecy,
                          Existing existing) {
  std::string temporary = path + ".XXXXXX";
  const Descriptor file(::mkostemp(temporary.data(), O_CLOEXEC));  // mode 0600
  if (!file) return errno_error("Cannot write " + path, errno);
  Status done = write_all(file.get(), as_bytes(content), path);
  if (done && secrecy == Secrecy::kPublic && ::fchmod(file.get(), 0644) != 0)
    done = errno_error("Cannot write " + path, errno);
  if (done && ::fsync(file.get()) != 0) done = errno_error("Cannot write " + path, errno);
  if (done && existing == Existing::kReplace) {
    if (::rename(temporary.c_str(), path.c_str()) == 0) return {};
    done = errno_error("Cannot write " + path, errno);
  } else if (done && ::link(temporary.c_str(), path.c_str()) != 0) {
    const int why = errno;
    done = why == EEXIST ? Status(Error{ErrorCode::kAlreadyExists, path + " is there already.", EEXIST})
                         : Status(errno_error("Cannot write " + path, why));
  }
  ::unlink(temporary.c_str());
  return done;
}

Result<std::string> configuration_directory(const char* xdg_config_home, const char* home) {
  if (xdg_config_home != nullptr && *xdg_config_home == '/') return std::string(xdg_config_home) + "/moddev";
  if (home != nullptr && *home == '/') return std::string(home) + "/.config/moddev";
  return Error{ErrorCode::kInvalidArgument,
               "There is no place for keys: neither XDG_CONFIG_HOME nor HOME is an absolute path. Set one."};
}

Result<std::string> configuration_directory() {
  return configuration_directory(std::getenv("XDG_CONFIG_HOME"), std::getenv("HOME"));
}

Status make_configuration_directory(const std::string& path, uid_t uid) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return errno_error("Cannot make the directory above " + path, error.value());
  return ensure_private_directory(path, uid);
}

}  // namespace moddev
