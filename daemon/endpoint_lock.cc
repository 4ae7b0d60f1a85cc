#include "daemon/endpoint_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "daemon/file_lock.h"
#include "protocol/endpoint.h"

namespace moddev::daemon {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// The pid in the lock file, for the message only.
std::string holder_of(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t length = ::pread(descriptor, text.data(), text.size() - 1, 0);
  std::string pid;
  for (ssize_t i = 0;
       i < length && text[static_cast<std::size_t>(i)] >= '0' && text[static_cast<std::size_t>(i)] <= '9';
       ++i) {
    pid += text[static_cast<std::size_t>(i)];
  }
  return pid.empty() ? "" : " (pid " + pid + ")";
}

Status remove_stale_socket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return errno_error("Cannot look at " + path, errno);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Error{
        ErrorCode::kConflict,
        path + " is in the way: it is no socket. Remove it, or choose another endpoint with --bind."};
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return errno_error("Cannot remove the old socket " + path, errno);
  return {};
}

}  // namespace

Result<EndpointLock> EndpointLock::take(const std::string& socket_path) {
  MODDEV_TRY(ensure_private_directory(directory_of(socket_path), ::geteuid()));
  const std::string lock_path = socket_path + ".lock";
  const int descriptor = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return errno_error("Cannot open the lock file " + lock_path, errno);
  EndpointLock lock(descriptor, {});
  if (!lock_file(descriptor)) {
    if (errno != EWOULDBLOCK) return errno_error("Cannot lock " + lock_path, errno);
    return Error{ErrorCode::kAlreadyExists, "Another moddev daemon" + holder_of(descriptor) +
                                                " serves ipc://" + socket_path +
                                                " already. Stop it, or choose another endpoint with --bind."};
  }
  MODDEV_TRY(remove_stale_socket(socket_path));
  MODDEV_TRY(remove_stale_socket(socket_path + std::string(kEventsSuffix)));
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(descriptor, 0) != 0 || ::pwrite(descriptor, pid.data(), pid.size(), 0) < 0) {
    return errno_error("Cannot write the lock file " + lock_path, errno);
  }
  lock.socket_path_ = socket_path;
  return lock;
}

EndpointLock::EndpointLock(int descriptor, std::string socket_path)
    : descriptor_(descriptor), socket_path_(std::move(socket_path)) {}

EndpointLock::EndpointLock(EndpointLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), socket_path_(std::move(other.socket_path_)) {
  other.socket_path_.clear();
}

EndpointLock& EndpointLock::operator=(EndpointLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(socket_path_, other.socket_path_);
  return *this;
}

EndpointLock::~EndpointLock() {
  if (descriptor_ < 0) return;
  if (!socket_path_.empty()) {
    ::unlink(socket_path_.c_str());
    ::unlink((socket_path_ + std::string(kEventsSuffix)).c_str());
  }
  ::close(descriptor_);
}

}  // namespace moddev::daemon
