#include "client/src/host_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "client/src/last_epoch.h"
#include "client/src/limits.h"
#include "protocol/descriptor.h"
#include "protocol/uuid.h"

namespace moddev::client {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUsers = "users";
constexpr const char* kFetching = "fetching";
constexpr const char* kCollecting = "collecting";
constexpr const char* kLast = "last";
constexpr std::string_view kMovedPrefix = "collected-";

Status make_directory(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return errno_error("Cannot make " + path.string(), errno);
}

/// What a user's file holds. Only its user writes to it; `change` is odd while he does.
struct Table {
  std::atomic<std::uint64_t> change;
  std::atomic<std::uint64_t> count;
  std::uint64_t process;  // its id, for people
  std::uint64_t unused[5];
  Digest digests[1];  // as many as fit into the file
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && offsetof(Table, digests) == 64);
constexpr std::size_t kTableHeader = offsetof(Table, digests);
constexpr std::size_t kFirstTableBytes = 4096;

class User final : public CacheUse {
 public:
  User(fs::path file, int descriptor, int fetching)
      : file_(std::move(file)), descriptor_(descriptor), fetching_(fetching) {}
  ~User() override {
    if (table_ != nullptr) ::munmap(table_, bytes_);
    ::unlink(file_.c_str());
  }

  bool begin_fetch(const Digest& digest) override { return lock(digest, F_WRLCK); }
  void end_fetch(const Digest& digest) override { (void)lock(digest, F_UNLCK); }

  void use(const std::vector<Digest>& digests) override {
    if (!reserve(digests.size())) return;  // a collector may take them: they are fetched again
    const std::uint64_t change = table_->change.load(std::memory_order_relaxed);
    table_->change.store(change + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    std::copy(digests.begin(), digests.end(), table_->digests);
    table_->count.store(digests.size(), std::memory_order_relaxed);
    table_->change.store(change + 2, std::memory_order_release);
    // Before the blobs are looked for. A system call follows, and orders this for other processes.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }

  bool reserve(std::size_t digests) {
    std::size_t needed = kFirstTableBytes;
    while (needed < kTableHeader + digests * sizeof(Digest)) needed *= 2;
    if (table_ != nullptr && needed <= bytes_) return true;
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(needed)) != 0) return false;
    // Blocks for it now: a full disk would be a SIGBUS later.
    if (::posix_fallocate(descriptor_.get(), 0, static_cast<off_t>(needed)) != 0) return false;
    void* mapped = ::mmap(nullptr, needed, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_.get(), 0);
    if (mapped == MAP_FAILED) return false;
    if (table_ != nullptr) ::munmap(table_, bytes_);
    table_ = static_cast<Table*>(mapped);
    table_->process = static_cast<std::uint64_t>(::getpid());
    bytes_ = needed;
    return true;
  }

 private:
  /// One byte of the file of fetches stands for a digest; two that share it wait for each other, that is all.
  [[nodiscard]] bool lock(const Digest& digest, short type) const {
    std::uint64_t at = 0;
    std::memcpy(&at, digest.bytes.data(), sizeof at);
    struct flock request {};
    request.l_type = type;
    request.l_whence = SEEK_SET;
    request.l_start = static_cast<off_t>(at >> 2);
    request.l_len = 1;
    while (::fcntl(fetching_.get(), F_OFD_SETLK, &request) != 0) {
      if (errno == EINTR) continue;
      // Without locks (a file system that has none) everyone fetches for himself.
      return errno != EAGAIN && errno != EACCES;
    }
    return true;
  }

  fs::path file_;
  Descriptor descriptor_;
  Descriptor fetching_;
  Table* table_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Who needs what. A process of an older moddev counts as 0.
using Users = std::map<Digest, std::vector<pid_t>>;

/// Appends the digests of one user's file. While he changes it, what is read is read again: it takes him
/// microseconds, and if he was stopped or is gone in the middle of it, all that his file has room for counts.
void read_user(int descriptor, Users& used) {
  struct stat info {};
  if (::fstat(descriptor, &info) != 0 || info.st_size < static_cast<off_t>(kFirstTableBytes)) return;
  const auto bytes = static_cast<std::size_t>(info.st_size);
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  if (mapped == MAP_FAILED) return;
  const auto* table = static_cast<const Table*>(mapped);
  const std::size_t room = (bytes - kTableHeader) / sizeof(Digest);
  std::vector<Digest> found;
  for (unsigned attempt = 0; attempt < limits::kTableReads; ++attempt) {
    const std::uint64_t before = table->change.load(std::memory_order_acquire);
    const bool last = attempt + 1 == limits::kTableReads;
    const std::size_t count =
        last ? room : std::min<std::size_t>(table->count.load(std::memory_order_relaxed), room);
    found.assign(table->digests, table->digests + count);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && table->change.load(std::memory_order_relaxed) == before) break;
  }
  for (const Digest& digest : found) used[digest].push_back(static_cast<pid_t>(table->process));
  ::munmap(mapped, bytes);
}

/// What live processes use. With `clean`, files of those that are gone are removed.
Users used_by_processes(const fs::path& root, bool clean) {
  Users used;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / kUsers, error)) {
    const Descriptor file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (file.get() < 0) continue;
    // Its user holds this lock for as long as he lives.
    if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
      if (clean) ::unlink(entry.path().c_str());
      continue;
    }
    read_user(file.get(), used);
  }
  return used;
}

/// What ran last at each endpoint.
std::vector<Manifest> remembered_manifests(const fs::path& root, WallTime now) {
  std::vector<Manifest> manifests;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / kLast, error)) {
    auto remembered = read_remembered(entry.path(), limits::kRememberedAge, now);
    if (remembered && *remembered) manifests.push_back(std::move((*remembered)->manifest));
  }
  return manifests;
}

void forget_old(const fs::path& root, WallTime now) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / kLast, error)) {
    const auto remembered = read_remembered(entry.path(), limits::kRememberedAge, now);
    if (!remembered || !*remembered) ::unlink(entry.path().c_str());
  }
}

/// Of a collector that was killed.
void remove_leftovers(const fs::path& root) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root, error)) {
    if (entry.path().filename().string().starts_with(kMovedPrefix)) ::unlink(entry.path().c_str());
  }
}

Result<std::vector<CachedBlob>> blob_files(const DirectoryBlobStore& store) {
  auto digests = store.list();
  if (!digests) return digests.error();
  std::vector<CachedBlob> files;
  for (const Digest& digest : *digests) {
    struct stat info {};
    if (::stat(store.path_of(digest).c_str(), &info) != 0) continue;
    const timespec& at = std::pair(info.st_atim.tv_sec, info.st_atim.tv_nsec) >
                                 std::pair(info.st_mtim.tv_sec, info.st_mtim.tv_nsec)
                             ? info.st_atim
                             : info.st_mtim;
    CachedBlob& blob = files.emplace_back();
    blob.digest = digest;
    blob.size = static_cast<std::uint64_t>(info.st_size);
    blob.used_at = WallTime(std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec));
  }
  std::sort(files.begin(), files.end(),
            [](const CachedBlob& a, const CachedBlob& b) { return a.used_at < b.used_at; });
  return files;
}

}  // namespace

Result<std::shared_ptr<CacheUse>> join_host_cache(const fs::path& root) {
  MODDEV_TRY(make_directory(root / kUsers));
  const fs::path fetching = root / kFetching;
  const int fetches = ::open(fetching.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fetches < 0) return errno_error("Cannot open " + fetching.string(), errno);
  const fs::path file = root / kUsers / Uuid::random().to_string();
  const int own = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (own < 0) {
    const int why = errno;
    ::close(fetches);
    return errno_error("Cannot make " + file.string(), why);
  }
  auto user = std::make_shared<User>(file, own, fetches);
  if (::flock(own, LOCK_EX | LOCK_NB) != 0) return errno_error("Cannot lock " + file.string(), errno);
  if (!user->reserve(0)) return errno_error("Cannot write " + file.string(), errno);
  return std::shared_ptr<CacheUse>(std::move(user));
}

Result<std::unique_ptr<HostCache>> HostCache::open(const fs::path& root, const fs::path& images) {
  if (::access((root / "blobs").c_str(), F_OK) != 0) {
    return errno_error("There is no cache at " + root.string(), errno);
  }
  auto blobs = DirectoryBlobStore::open(root / "blobs");
  if (!blobs) return blobs.error();
  return std::unique_ptr<HostCache>(new HostCache(root, images, std::move(*blobs)));
}

Result<std::vector<CachedBlob>> HostCache::list() const {
  auto blobs = blob_files(*blobs_);
  if (!blobs) return blobs.error();
  Users users = used_by_processes(root_, false);
  const std::vector<Manifest> manifests = remembered_manifests(root_, SystemClock().wall_now());
  for (CachedBlob& blob : *blobs) {
    if (const auto found = users.find(blob.digest); found != users.end()) {
      blob.in_use = true;
      std::erase(found->second, 0);
      std::sort(found->second.begin(), found->second.end());
      blob.processes = std::move(found->second);
    }
    for (const Manifest& manifest : manifests) {
      for (const auto& [name, module] : manifest.modules) {
        if (module.digest == blob.digest) blob.ran_last.emplace_back(name, module.version);
      }
    }
    std::sort(blob.ran_last.begin(), blob.ran_last.end());
    blob.ran_last.erase(std::unique(blob.ran_last.begin(), blob.ran_last.end()), blob.ran_last.end());
    blob.in_use |= !blob.ran_last.empty();
  }
  return blobs;
}

Result<CacheCheck> HostCache::verify() {
  auto digests = blobs_->list();
  if (!digests) return digests.error();
  CacheCheck check;
  for (const Digest& digest : *digests) {
    const auto bytes = blobs_->read(digest);
    if (!bytes && bytes.error().code == ErrorCode::kNotFound) continue;  // collected meanwhile
    if (!bytes && bytes.error().code != ErrorCode::kCorrupt) return bytes.error();
    ++check.blobs;
    if (bytes) {
      check.bytes += (*bytes)->size();
    } else {
      check.damaged.push_back(digest);
    }
  }
  return check;
}

Result<CacheCollection> HostCache::collect(std::uint64_t keep_bytes, WallTime now, Duration unused_for) {
  const fs::path lock_file = root_ / kCollecting;
  const Descriptor lock(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.get() < 0) return errno_error("Cannot open " + lock_file.string(), errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{ErrorCode::kUnavailable,
                 "Another process collects " + root_.string() + " just now; nothing was done."};
  }
  remove_leftovers(root_);
  auto files = blob_files(*blobs_);
  if (!files) return files.error();
  forget_old(root_, now);
  std::set<Digest> remembered;
  for (const Manifest& manifest : remembered_manifests(root_, now)) {
    for (const auto& [name, module] : manifest.modules) remembered.insert(module.digest);
  }

  CacheCollection result;
  for (const CachedBlob& file : *files) {
    result.kept_bytes += file.size;
    ++result.kept;
  }
  Users used = used_by_processes(root_, true);
  for (const CachedBlob& file : *files) {
    if (result.kept_bytes <= keep_bytes && now - file.used_at <= unused_for) break;
    const Digest& digest = file.digest;
    if (used.contains(digest) || remembered.contains(digest)) {
      ++result.in_use;
      continue;
    }
    const fs::path path = blobs_->path_of(digest);
    const fs::path moved = root_ / (std::string(kMovedPrefix) + digest.hex());
    if (::rename(path.c_str(), moved.c_str()) != 0) continue;
    used = used_by_processes(root_, false);
    if (used.contains(digest)) {
      // The same bytes may have come again meanwhile; then this changes nothing.
      if (::rename(moved.c_str(), path.c_str()) != 0) ::unlink(moved.c_str());
      ++result.in_use;
      continue;
    }
    ::unlink(moved.c_str());
    ++result.removed;
    --result.kept;
    result.removed_bytes += file.size;
    result.kept_bytes -= file.size;
  }
  std::error_code error;
  if (fs::exists(images_, error)) {
    auto images = collect_images(images_, keep_bytes, now, unused_for);
    if (images) result.images = *images;
  }
  return result;
}

}  // namespace moddev::client
