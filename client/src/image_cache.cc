#include "client/src/image_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "protocol/descriptor.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCompareBytes = 64UL * 1024;
constexpr const char* kLockFile = ".in-use";
/// Names of temporaries start so; collect_images() removes those that are older than any write takes.
constexpr std::string_view kTemporaryPrefix = ".tmp-";
constexpr std::int64_t kTemporaryAgeSeconds = 600;

/// How long a process that is deleting an image is waited for.
constexpr int kLockAttempts = 1000;
constexpr long kLockPauseNanoseconds = 1'000'000;

std::atomic<std::uint64_t> g_temporary_counter{0};

/// Whether the file has exactly these bytes. A file that cannot be read has not.
bool has_bytes(int fd, const PatchedImage& image) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (static_cast<std::uint64_t>(info.st_size) != image.size()) return false;
  // Aligned also for mold 1.10: with thread-local data that may begin anywhere, and code that ends within the
  // last bytes of a page, its GNU_RELRO begins in the hole between two segments, and the program does not
  // start ("cannot apply additional memory protection after relocation").
  alignas(64) static thread_local std::array<std::byte, kCompareBytes> buffer;
  for (std::span<const std::byte> rest : image.pieces()) {
    while (!rest.empty()) {
      const ssize_t got = ::read(fd, buffer.data(), std::min(buffer.size(), rest.size()));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      const auto n = static_cast<std::size_t>(got);
      if (std::memcmp(buffer.data(), rest.data(), n) != 0) return false;
      rest = rest.subspan(n);
    }
  }
  return true;
}

bool file_has_bytes(const std::string& path, const PatchedImage& image) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file.get() >= 0 && has_bytes(file.get(), image);
}

Status write_pieces(int fd, const PatchedImage& image, const std::string& path) {
  std::vector<iovec> vectors;
  for (const auto piece : image.pieces()) {
    vectors.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  }
  std::size_t first = 0;
  while (first < vectors.size()) {
    const int count = static_cast<int>(std::min<std::size_t>(vectors.size() - first, IOV_MAX));
    const ssize_t written = ::writev(fd, vectors.data() + first, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error("cannot write the private copy '" + path + "'", errno);
    auto done = static_cast<std::size_t>(written);
    while (first < vectors.size() && done >= vectors[first].iov_len) done -= vectors[first++].iov_len;
    if (first < vectors.size()) {
      vectors[first].iov_base = static_cast<std::byte*>(vectors[first].iov_base) + done;
      vectors[first].iov_len -= done;
    }
  }
  return {};
}

/// A path's byte in the lock file (FNV-1a of its last part). Two images that share one are only both kept.
off_t lock_byte(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : slash == std::string_view::npos ? path : path.substr(slash + 1)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  return static_cast<off_t>(hash >> 2);
}

/// Open-file-description locks (fcntl(2)): of the descriptor, so several loaders of one process do not undo
/// each other's, and gone with the process.
int set_lock(int fd, short type, off_t at) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  int result = 0;
  do {
    result = ::fcntl(fd, F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

std::string canonical_or_same(const fs::path& directory) {
  std::error_code error;
  const fs::path real = fs::canonical(directory, error);
  return error ? directory.string() : real.string();
}

}  // namespace

fs::path default_image_directory() {
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/') {
    struct statvfs info {};
    if (::access(runtime, W_OK | X_OK) == 0 && ::statvfs(runtime, &info) == 0 &&
        (info.f_flag & ST_NOEXEC) == 0) {
      return fs::path(runtime) / "moddev" / "images";
    }
  }
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return fs::path(cache) / "moddev" / "images";
  }
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return fs::path(home) / ".cache" / "moddev" / "images";
  return fs::path("/tmp") / ("moddev-" + std::to_string(::geteuid())) / "images";
}

Result<ImageCache> ImageCache::open(const fs::path& directory) {
  std::error_code error;
  // Each directory that is missing becomes private, not only the last.
  std::vector<fs::path> missing;
  for (fs::path path = directory; !path.empty() && !fs::exists(path, error); path = path.parent_path()) {
    missing.push_back(path);
    if (path == path.parent_path()) break;
  }
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) {
    if (::mkdir(path->c_str(), 0700) != 0 && errno != EEXIST) {
      return errno_error("cannot create the directory for private copies '" + path->string() + "'", errno);
    }
  }
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) {
    return errno_error("cannot read the directory for private copies '" + directory.string() + "'", errno);
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error{ErrorCode::kAlreadyExists, "'" + directory.string() + "' is not a directory", ENOTDIR};
  }
  if (info.st_uid != ::geteuid() || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{
        ErrorCode::kPermission,
        "modules are not loaded from '" + directory.string() +
            "': other users may write there and so decide what this process runs; use a directory of your "
            "own with mode 0700",
        EPERM};
  }
  struct statvfs mount {};
  if (::statvfs(directory.c_str(), &mount) == 0 && (mount.f_flag & ST_NOEXEC) != 0) {
    return Error{ErrorCode::kUnsupported,
                 "modules cannot be loaded from '" + directory.string() +
                     "': its file system is mounted noexec; choose another directory for private copies",
                 EACCES};
  }
  const std::string real = canonical_or_same(directory);
  const int locks = ::open((real + "/" + kLockFile).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (locks < 0) return errno_error("cannot create '" + real + "/" + kLockFile + "'", errno);
  return ImageCache(real, locks);
}

ImageCache::ImageCache(ImageCache&& other) noexcept
    : directory_(std::move(other.directory_)), locks_(std::exchange(other.locks_, -1)) {}

ImageCache& ImageCache::operator=(ImageCache&& other) noexcept {
  std::swap(directory_, other.directory_);
  std::swap(locks_, other.locks_);
  return *this;
}

ImageCache::~ImageCache() {
  if (locks_ >= 0) ::close(locks_);
}

std::string image_file_name(std::string_view file_name, std::string_view key) {
  constexpr std::string_view kHarmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
  constexpr std::size_t kMostNameBytes = 150;
  std::string name(file_name.substr(0, kMostNameBytes));
  for (char& c : name) {
    if (kHarmless.find(c) == std::string_view::npos) c = '_';
  }
  if (name.empty() || name.front() == '.') name.insert(0, "_");
  // libscorer.so.1.2 becomes libscorer.<key>.so: debuggers know libraries by such names.
  if (const std::size_t suffix = name.find(".so"); suffix != std::string::npos) name.resize(suffix);
  name += '.';
  name += key;
  name += ".so";
  return name;
}

std::string ImageCache::path_of(std::string_view file_name, std::string_view key) const {
  return directory_.string() + '/' + image_file_name(file_name, key);
}

Status ImageCache::put(const std::string& path, const PatchedImage& image) const {
  if (file_has_bytes(path, image)) return {};
  const std::string temporary = directory_.string() + "/" + std::string(kTemporaryPrefix) +
                                std::to_string(::getpid()) + "-" +
                                std::to_string(g_temporary_counter.fetch_add(1));
  {
    // The mode holds for later opens only: nobody can open the file for writing, we can.
    const Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0500));
    if (file.get() < 0)
      return errno_error("cannot create a private copy in '" + directory_.string() + "'", errno);
    if (auto written = write_pieces(file.get(), image, path); !written) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  // Another process may have been faster with the same bytes: its file is used, so that memory is shared.
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST && file_has_bytes(path, image)) {
    ::unlink(temporary.c_str());
    return {};
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary.c_str());
    return errno_error("cannot create the private copy '" + path + "'", reason);
  }
  return {};
}

Status ImageCache::lock(const std::string& path) {
  // Only who deletes the file holds another lock, for the moment that it takes.
  int reason = 0;
  for (int attempt = 0; attempt < kLockAttempts; ++attempt) {
    reason = set_lock(locks_, F_RDLCK, lock_byte(path));
    if (reason == 0) return {};
    if (reason != EAGAIN && reason != EACCES) break;
    const timespec pause{0, kLockPauseNanoseconds};
    ::nanosleep(&pause, nullptr);
  }
  return errno_error("cannot lock the private copy '" + path + "'", reason);
}

void ImageCache::release(const std::string& path) {
  if (set_lock(locks_, F_WRLCK, lock_byte(path)) == 0) ::unlink(path.c_str());
  // Fails only for a descriptor that is not ours any more; then there is no lock either.
  (void)set_lock(locks_, F_UNLCK, lock_byte(path));
}

Result<CollectedImages> collect_images(const fs::path& directory, std::uint64_t keep_bytes, WallTime now,
                                       Duration unused_for) {
  struct Image {
    std::string path;
    std::uint64_t size = 0;
    timespec used{};
  };
  const Descriptor locks(::open((directory / kLockFile).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (locks.get() < 0) {
    return errno_error("'" + directory.string() + "' is no directory of private copies", errno);
  }
  std::vector<Image> images;
  CollectedImages result;
  std::error_code error;
  const auto seconds = ::time(nullptr);
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (name.starts_with(kTemporaryPrefix) && seconds - info.st_mtim.tv_sec > kTemporaryAgeSeconds) {
      ::unlink(entry.path().c_str());
    }
    if (name.empty() || name.front() == '.') continue;
    images.push_back({entry.path().string(), static_cast<std::uint64_t>(info.st_size), info.st_atim});
    result.kept_bytes += images.back().size;
  }
  if (error) return errno_error("cannot list '" + directory.string() + "'", error.value());
  std::sort(images.begin(), images.end(), [](const Image& a, const Image& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Image& image : images) {
    const WallTime used(std::chrono::seconds(image.used.tv_sec) +
                        std::chrono::nanoseconds(image.used.tv_nsec));
    if (result.kept_bytes <= keep_bytes && now - used <= unused_for) break;
    // An exclusive lock is granted only when no process uses the image, and keeps others from starting to.
    if (set_lock(locks.get(), F_WRLCK, lock_byte(image.path)) != 0) {
      ++result.in_use;
      continue;
    }
    if (::unlink(image.path.c_str()) == 0) {
      ++result.removed;
      result.removed_bytes += image.size;
      result.kept_bytes -= image.size;
    }
    (void)set_lock(locks.get(), F_UNLCK, lock_byte(image.path));
  }
  return result;
}

}  // namespace moddev
