#include "watcher/posix_file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <mutex>

namespace moddev::watcher {
namespace {

struct KnownMagic {
  std::uint64_t magic;
  FileSystemTraits traits;
};
// statfs(2) and linux/magic.h. Anything that is not listed is taken for a local file system.
constexpr std::array kKnown = {
    KnownMagic{0xEF53, {"ext4", true, true}},
    KnownMagic{0x58465342, {"xfs", true, true}},
    KnownMagic{0x9123683E, {"btrfs", true, true}},
    KnownMagic{0xF2F52010, {"f2fs", true, true}},
    KnownMagic{0x01021994, {"tmpfs", true, true}},
    KnownMagic{0x2FC12FC1, {"zfs", true, true}},
    KnownMagic{0xCA451A4E, {"bcachefs", true, true}},
    KnownMagic{0x794C7630, {"overlayfs", false, true}},
    KnownMagic{0x6969, {"nfs", false, false}},
    KnownMagic{0x65735546, {"fuse or virtiofs", false, false}},
    KnownMagic{0x01021997, {"9p", false, false}},
    KnownMagic{0x517B, {"smb", false, false}},
    KnownMagic{0xFF534D42, {"cifs", false, false}},
    KnownMagic{0xFE534D42, {"smb2", false, false}},
    KnownMagic{0x00C36400, {"ceph", false, false}},
    KnownMagic{0x5346414F, {"afs", false, false}},
    KnownMagic{0x6B414653, {"kafs", false, false}},
    KnownMagic{0x786F4256, {"vboxsf", false, false}},
    KnownMagic{0x0BD00BD0, {"lustre", false, false}},
    KnownMagic{0x47504653, {"gpfs", false, false}},
    KnownMagic{0x7461636F, {"ocfs2", false, false}},
    KnownMagic{0x01161970, {"gfs2", false, false}},
};

FileStat convert(const struct stat& info) {
  FileStat result;
  result.type = S_ISREG(info.st_mode)   ? FileType::kRegular
                : S_ISDIR(info.st_mode) ? FileType::kDirectory
                : S_ISLNK(info.st_mode) ? FileType::kSymlink
                                        : FileType::kOther;
  result.device = static_cast<std::uint64_t>(info.st_dev);
  result.inode = static_cast<std::uint64_t>(info.st_ino);
  result.size = static_cast<std::uint64_t>(info.st_size);
  result.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  result.ctime_ns = info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec;
  result.links = static_cast<std::uint32_t>(info.st_nlink);
  result.executable = (info.st_mode & 0111) != 0;
  return result;
}

FileType type_of(const struct dirent& entry, int directory) {
  switch (entry.d_type) {
    case DT_REG:
      return FileType::kRegular;
    case DT_DIR:
      return FileType::kDirectory;
    case DT_LNK:
      return FileType::kSymlink;
    case DT_UNKNOWN: {  // some file systems do not tell
      struct stat info {};
      if (::fstatat(directory, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return FileType::kOther;
      return convert(info).type;
    }
    default:
      return FileType::kOther;
  }
}

FileSystemTraits traits_at(const std::string& path) {
  struct statfs info {};
  if (::statfs(path.c_str(), &info) != 0) return {"an unknown file system", false, true};
  return traits_of_magic(static_cast<std::uint64_t>(info.f_type));
}

/// The signal that the kernel sends when a lease breaks (F_SETSIG); 0 before it was chosen. We ask with
/// F_GETLEASE instead of waiting for it, but without F_SETSIG it would be SIGIO, whose default kills the
/// process.
int g_lease_signal = 0;

/// Ignores a real-time signal that nobody else in this process uses. An ignored signal is dropped by the
/// kernel at once, so it interrupts nothing.
void choose_lease_signal() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (int number = SIGRTMAX - 1; number > SIGRTMIN; --number) {
      struct sigaction action {};
      if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
      action.sa_handler = SIG_IGN;
      if (::sigaction(number, &action, nullptr) == 0) {
        g_lease_signal = number;
        return;
      }
    }
  });
}

class PosixOpenFile final : public OpenFile {
 public:
  PosixOpenFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixOpenFile() override { ::close(fd_); }
  PosixOpenFile(const PosixOpenFile&) = delete;
  PosixOpenFile& operator=(const PosixOpenFile&) = delete;

  Result<FileStat> stat() override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return errno_error("cannot read '" + path_ + "'", errno);
    return convert(info);
  }

  LeaseState take_lease() override {
    if (g_lease_signal == 0) return LeaseState::kUnsupported;
    struct statfs info {};
    if (::fstatfs(fd_, &info) != 0 || !traits_of_magic(static_cast<std::uint64_t>(info.f_type)).lease_proves)
      return LeaseState::kUnsupported;
    if (::fcntl(fd_, F_SETSIG, g_lease_signal) != 0) return LeaseState::kUnsupported;
    if (::fcntl(fd_, F_SETLEASE, F_RDLCK) == 0) return LeaseState::kHeld;
    return errno == EAGAIN ? LeaseState::kWriters : LeaseState::kUnsupported;
  }

  LeaseState lease() override {
    // While a break is under way F_GETLEASE already tells what the lease is to become: F_UNLCK (fcntl(2)).
    return ::fcntl(fd_, F_GETLEASE) == F_RDLCK ? LeaseState::kHeld : LeaseState::kBroken;
  }

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) override {
    for (;;) {
      const ssize_t n = ::pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) return errno_error("cannot read '" + path_ + "'", errno);
    }
  }

 private:
  int fd_;
  std::string path_;
};

}  // namespace

FileSystemTraits traits_of_magic(std::uint64_t magic) {
  // f_type is signed on some architectures: compare as 32 bits.
  const std::uint64_t low = magic & 0xFFFFFFFFULL;
  for (const KnownMagic& known : kKnown) {
    if (known.magic == low) return known.traits;
  }
  return {"a local file system", true, true};
}

Result<std::unique_ptr<PosixFileSystem>> PosixFileSystem::create(const std::string& root) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(root.empty() ? "." : root, error);
  if (error) return errno_error("cannot find '" + root + "'", error.value());
  std::string text = absolute.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  struct stat info {};
  if (::stat(text.c_str(), &info) != 0) return errno_error("cannot watch '" + text + "'", errno);
  if (!S_ISDIR(info.st_mode))
    return Error{ErrorCode::kInvalidArgument, "cannot watch '" + text + "': it is not a directory", ENOTDIR};
  if (::access(text.c_str(), R_OK | X_OK) != 0)
    return errno_error("cannot watch '" + text + "': it cannot be listed", errno);
  choose_lease_signal();
  auto result = std::unique_ptr<PosixFileSystem>(new PosixFileSystem(std::move(text)));
  (void)result->events_are_reliable();
  return result;
}

std::string PosixFileSystem::absolute(const std::string& path) const {
  if (path.empty()) return root_;
  if (path.front() == '/') return path;
  std::string result;
  result.reserve(root_.size() + 1 + path.size());
  result += root_;
  if (result.back() != '/') result += '/';
  result += path;
  return result;
}

Result<FileStat> PosixFileSystem::stat(const std::string& path) {
  struct stat info {};
  if (::stat(absolute(path).c_str(), &info) != 0) return errno_error("cannot read '" + path + "'", errno);
  return convert(info);
}

Result<FileStat> PosixFileSystem::lstat(const std::string& path) {
  struct stat info {};
  if (::lstat(absolute(path).c_str(), &info) != 0) return errno_error("cannot read '" + path + "'", errno);
  return convert(info);
}

Result<std::vector<DirectoryEntry>> PosixFileSystem::list(const std::string& path) {
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(absolute(path).c_str()));
  if (directory == nullptr) return errno_error("cannot list the directory '" + path + "'", errno);
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const struct dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    entries.push_back({std::string(name), type_of(*entry, ::dirfd(directory.get()))});
  }
  if (errno != 0) return errno_error("cannot list the directory '" + path + "'", errno);
  return entries;
}

Result<std::unique_ptr<OpenFile>> PosixFileSystem::open(const std::string& path) {
  // O_NONBLOCK: neither a FIFO nor a writer's lease may stop us.
  const int fd = ::open(absolute(path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    const int err = errno;
    Error error = errno_error("cannot read '" + path + "'", err);
    if (err == ELOOP || err == ENXIO || err == ENODEV) error.code = ErrorCode::kConflict;
    if (err == EWOULDBLOCK || err == ETXTBSY) error.code = ErrorCode::kUnavailable;
    return error;
  }
  auto file = std::make_unique<PosixOpenFile>(fd, path);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error("cannot read '" + path + "'", errno);
  if (!S_ISREG(info.st_mode)) return Error{ErrorCode::kConflict, "'" + path + "' is not a regular file", 0};
  return std::unique_ptr<OpenFile>(std::move(file));
}

Result<std::string> PosixFileSystem::resolve(const std::string& path) {
  char buffer[PATH_MAX];
  if (::realpath(absolute(path).c_str(), buffer) == nullptr)
    return errno_error("cannot follow '" + path + "'", errno);
  std::string target = buffer;
  if (::realpath(root_.c_str(), buffer) == nullptr)
    return errno_error("cannot follow '" + root_ + "'", errno);
  std::string base = buffer;
  if (target == base) return std::string();
  if (base.back() != '/') base += '/';
  if (target.starts_with(base)) return target.substr(base.size());
  return target;
}

Status PosixFileSystem::create_cookie(const std::string& path) {
  const int fd = ::open(absolute(path).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return errno_error("cannot create '" + path + "'", errno);
  ::close(fd);
  return {};
}

Status PosixFileSystem::remove_cookie(const std::string& path) {
  if (::unlink(absolute(path).c_str()) != 0 && errno != ENOENT)
    return errno_error("cannot remove '" + path + "'", errno);
  return {};
}

bool PosixFileSystem::events_are_reliable() {
  events_reliable_ = traits_at(root_).events_reliable;
  return events_reliable_;
}

std::int64_t PosixFileSystem::stamp_now() {
  if (!events_reliable_) return 0;
  struct timespec now {};
  if (::clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) return 0;  // what the kernel stamps inodes with
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

std::string PosixFileSystem::why_no_lease(const std::string& path) {
  const FileSystemTraits traits = traits_at(absolute(path));
  if (traits.name == "overlayfs")
    return "overlayfs does not tell about a writer that keeps only a mapping of the file";
  if (!traits.lease_proves)
    return "on " + std::string(traits.name) + " others can write without this kernel's knowledge";
  struct stat info {};
  if (::stat(absolute(path).c_str(), &info) == 0 && info.st_uid != ::geteuid())
    return "the file belongs to another user (uid " + std::to_string(info.st_uid) +
           "), and only its owner or a process with CAP_LEASE may ask the kernel about writers";
  return "the kernel grants no lease on " + std::string(traits.name);
}

}  // namespace moddev::watcher
