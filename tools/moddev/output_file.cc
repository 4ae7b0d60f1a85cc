#include "tools/moddev/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <utility>

#include "protocol/bytes.h"
#include "tools/moddev/printer.h"

namespace moddev::tools {
namespace {

/// As many as the kernel follows (path_resolution(7)).
constexpr int kLinksFollowed = 40;
constexpr mode_t kModeBits = 07777;
constexpr mode_t kModeWithoutOwner = 0777;  // set-user-ID is for the owner it was given to
/// Short, whatever the file's own name is.
constexpr const char* kTemporaryName = ".moddev-XXXXXX";
constexpr int kTemporaryTries = 16;

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

/// The file that `path` leads to, which need not be there. Errors: errno.
Result<std::string> follow_links(std::string path) {
  for (int followed = 0; followed <= kLinksFollowed; ++followed) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISLNK(found.st_mode)) return path;
    std::array<char, PATH_MAX> target{};
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    if (size < 0) return errno_error("", errno);
    const std::string leads_to(target.data(), static_cast<std::size_t>(size));
    path = leads_to.starts_with('/') ? leads_to : directory_of(path) + leads_to;
  }
  return errno_error("", ELOOP);
}

std::string name_in_proc(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

}  // namespace

Error OutputFile::cannot_write(int error) const {
  return errno_error("Cannot write " + path_, error);
}

Result<std::unique_ptr<OutputFile>> OutputFile::open(const std::string& path, Existing existing) {
  std::unique_ptr<OutputFile> file(new OutputFile(path, existing));
  struct stat found {};
  const bool there = ::stat(path.c_str(), &found) == 0;
  if (path == "-") {
    file->stream_ = true;
  } else if (there && S_ISDIR(found.st_mode)) {
    return file->cannot_write(EISDIR);
  } else if (there && !S_ISREG(found.st_mode) && existing == Existing::kReplace) {
    MODDEV_TRY(file->open_stream());
  } else {
    MODDEV_TRY(file->open_beside());
  }
  return file;
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status OutputFile::open_stream() {
  descriptor_.reset(::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
  if (!descriptor_) return cannot_write(errno);
  stream_ = true;
  return {};
}

/// Without a name at first where the file system can do that, so that nothing is left when we are killed.
Status OutputFile::open_beside() {
  target_ = path_;
  if (existing_ == Existing::kReplace) {
    auto followed = follow_links(path_);
    if (!followed) return cannot_write(followed.error().sys_errno);
    target_ = std::move(*followed);
  }
  const std::string directory = directory_of(target_);
  descriptor_.reset(
      ::open(directory.empty() ? "." : directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (descriptor_ && ::access(name_in_proc(descriptor_.get()).c_str(), F_OK) == 0) return {};
  std::string name = directory + kTemporaryName;
  descriptor_.reset(::mkostemp(name.data(), O_CLOEXEC));
  if (!descriptor_) return cannot_write(errno);
  temporary_ = std::move(name);
  return {};
}

Status OutputFile::write(std::span<const std::byte> bytes) {
  const int descriptor = descriptor_ ? descriptor_.get() : STDOUT_FILENO;
  if (!write_all(descriptor, as_text(bytes))) return cannot_write(errno);
  return {};
}

Status OutputFile::set_mode() {
  struct stat found {};
  mode_t mode = 0;
  if (::stat(target_.c_str(), &found) == 0) {
    const bool same_owner = ::fchown(descriptor_.get(), found.st_uid, found.st_gid) == 0;
    mode = found.st_mode & (same_owner ? kModeBits : kModeWithoutOwner);
  } else {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    mode = 0666 & ~mask;
  }
  if (::fchmod(descriptor_.get(), mode) != 0) return cannot_write(errno);
  return {};
}

Status OutputFile::put_in_place() {
  const auto give_name = [this](const std::string& name) {
    return temporary_.empty() ? ::linkat(AT_FDCWD, name_in_proc(descriptor_.get()).c_str(), AT_FDCWD,
                                         name.c_str(), AT_SYMLINK_FOLLOW)
                              : ::link(temporary_.c_str(), name.c_str());
  };
  if (existing_ == Existing::kKeep || temporary_.empty()) {
    if (give_name(target_) == 0) return {};
    if (errno != EEXIST) return cannot_write(errno);
    if (existing_ == Existing::kKeep)
      return Error{ErrorCode::kAlreadyExists, path_ + " is there already and was left alone."};
  }
  for (int tries = 0; temporary_.empty(); ++tries) {
    std::string name = directory_of(target_) + kTemporaryName;
    const int reserved = ::mkostemp(name.data(), O_CLOEXEC);  // finds a name that is free; it is given back
    if (reserved < 0) return cannot_write(errno);
    ::close(reserved);
    ::unlink(name.c_str());
    if (give_name(name) == 0) {
      temporary_ = std::move(name);
    } else if (errno != EEXIST || tries == kTemporaryTries) {
      return cannot_write(errno);
    }
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return cannot_write(errno);
  temporary_.clear();
  return {};
}

bool OutputFile::is_standard_output() const {
  if (!stream_ || !descriptor_) return stream_;
  struct stat ours {};
  struct stat standard {};
  return ::fstat(descriptor_.get(), &ours) == 0 && ::fstat(STDOUT_FILENO, &standard) == 0 &&
         ours.st_dev == standard.st_dev && ours.st_ino == standard.st_ino;
}

Status OutputFile::finish() {
  if (stream_) return {};
  MODDEV_TRY(set_mode());
  return put_in_place();
}

}  // namespace moddev::tools
