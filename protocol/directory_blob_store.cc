#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <functional>
#include <mutex>
#include <optional>
#include <set>

#include "protocol/background_hasher.h"
#include "protocol/blob_store.h"
#include "protocol/blob_verification.h"
#include "protocol/descriptor.h"
#include "protocol/limits.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDamagedSuffix = ".damaged";

/// The directories that a blob can be in, and how many of them make_ready() makes in one call.
constexpr unsigned kShards = 256;
constexpr unsigned kShardsAtOnce = 4;

std::string shard_name(unsigned shard) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  return {kDigits[shard / 16], kDigits[shard % 16]};
}

fs::path path_in(const fs::path& root, const Digest& digest) {
  const std::string hex = digest.hex();
  return root / hex.substr(0, 2) / hex;
}

Status make_private_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error("cannot create the directory '" + path.string() + "'", errno);
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return errno_error("cannot read '" + path.string() + "'", errno);
  if (!S_ISDIR(info.st_mode)) {
    return Error{ErrorCode::kAlreadyExists, "'" + path.string() + "' is not a directory", ENOTDIR};
  }
  return {};
}

/// Temporaries are named <pid>-<counter> and locked by their writer: those of a process that is gone belong
/// to nobody. The lock is asked too, because a process of another container may live under a number that is
/// free here.
bool is_abandoned(const fs::path& path, const std::string& name) {
  pid_t pid = 0;
  const auto [end, parsed] = std::from_chars(name.data(), name.data() + name.size(), pid);
  if (parsed != std::errc() || end == name.data() + name.size() || *end != '-' || pid <= 0) return false;
  if (::kill(pid, 0) == 0 || errno != ESRCH) return false;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
}

void clean(const fs::path& directory) {
  std::error_code error;
  std::size_t damaged = 0;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    const bool too_many = name.ends_with(kDamagedSuffix) && ++damaged > limits::kDamagedBlobsKept;
    if (too_many || is_abandoned(entry.path(), name)) ::unlink(entry.path().c_str());
  }
}

FileStamp stamp_of(const struct stat& info) {
  const auto ns = [](const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; };
  return {info.st_ino, static_cast<std::uint64_t>(info.st_size), ns(info.st_mtim), ns(info.st_ctim)};
}

/// Fewer at the end of the file.
Result<Bytes> read_at(int file, std::uint64_t offset, std::size_t length) {
  Bytes bytes(length);
  std::size_t have = 0;
  while (have < length) {
    const ssize_t n = ::pread(file, bytes.data() + have, length - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("cannot be read", errno);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

std::atomic<std::uint64_t> g_temporary_counter{0};

/// A file on its way: unnamed to everybody but its writer.
struct Temporary {
  fs::path path;
  Descriptor file;

  Temporary() = default;
  ~Temporary() {
    if (!path.empty()) ::unlink(path.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  /// Somebody removed the file, or the directory with it.
  [[nodiscard]] bool removed() const {
    struct stat info {};
    return ::fstat(file.get(), &info) != 0 || info.st_nlink == 0;
  }

  static Result<std::unique_ptr<Temporary>> create(const fs::path& root) {
    const fs::path path =
        root / "tmp" / (std::to_string(::getpid()) + "-" + std::to_string(g_temporary_counter.fetch_add(1)));
    // Who creates a file may write to it whatever its mode says (open(2)): it is read-only from the start.
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = ::open(path.c_str(), kFlags, 0400);
    if (fd < 0 && errno == ENOENT) {
      // Somebody removed the directories, as people do with caches.
      MODDEV_TRY(make_private_directory(root));
      MODDEV_TRY(make_private_directory(root / "tmp"));
      fd = ::open(path.c_str(), kFlags, 0400);
    }
    if (fd < 0) return errno_error("cannot create '" + path.string() + "'", errno);
    auto temporary = std::make_unique<Temporary>();
    temporary->path = path;
    temporary->file.reset(fd);
    (void)::flock(fd, LOCK_EX | LOCK_NB);
    return temporary;
  }
};

}  // namespace

/// What a store and its writers share; writers may outlive the store.
struct DirectoryBlobStore::State {
  explicit State(fs::path path) : root(std::move(path)) {}

  const fs::path root;
  std::mutex mutex;
  std::vector<Digest> unsynced;
  bool too_many_unsynced = false;
  BlobVerification verification;
  // Made ahead: a file for the next blob, and the directories before this one.
  std::unique_ptr<Temporary> ready;
  unsigned next_shard = 0;

  void remember(const Digest& digest) {
    const std::lock_guard lock(mutex);
    if (unsynced.size() < limits::kUnsyncedBlobs) {
      unsynced.push_back(digest);
    } else {
      too_many_unsynced = true;
    }
  }
  Result<std::unique_ptr<Temporary>> temporary() {
    {
      const std::lock_guard lock(mutex);
      if (ready != nullptr && !ready->removed()) return std::move(ready);
      ready.reset();
    }
    return Temporary::create(root);
  }
};

/// Keeps small blobs in memory until they are committed: most are small, and one that is there already then
/// costs no write at all.
class DirectoryBlobStore::Writer final : public BlobWriter {
 public:
  explicit Writer(std::shared_ptr<State> state) : state_(std::move(state)) {}

  Status write(std::span<const std::byte> data) override {
    MODDEV_ASSERT(!finished_, "no write() after finish()");
    if (!beside_ && size_ >= kHashBeside) beside_.emplace(std::move(hasher_));
    if (beside_) {
      beside_->update(data);
    } else {
      hasher_.update(data);
    }
    size_ += data.size();
    if (temporary_ == nullptr && size_ <= limits::kBlobWriterBuffer) {
      buffer_.insert(buffer_.end(), data.begin(), data.end());
      return {};
    }
    MODDEV_TRY(flush());
    return write_all(temporary_->file.get(), data, "'" + temporary_->path.string() + "'");
  }
  [[nodiscard]] std::uint64_t size() const override { return size_; }

  Result<Digest> finish() override {
    MODDEV_ASSERT(!finished_, "finish() once");
    finished_ = true;
    digest_ = beside_ ? beside_->finish() : hasher_.finish();
    beside_.reset();
    return digest_;
  }

  Status commit() override {
    MODDEV_ASSERT(finished_ && !committed_, "commit() once, after finish()");
    committed_ = true;
    const fs::path target = path_in(state_->root, digest_);
    if (temporary_ != nullptr || !is_there(target)) {
      MODDEV_TRY(flush());
      MODDEV_TRY(give_name(target));
    }
    state_->remember(digest_);  // a blob that was there may not be durable either
    return {};
  }

 private:
  /// Whether the bytes that were kept are in this file: a size says nothing of damage.
  bool is_there(const fs::path& target) {
    const Descriptor file(::open(target.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (file.get() < 0 || ::fstat(file.get(), &info) != 0) return false;
    if (static_cast<std::uint64_t>(info.st_size) != size_) return false;
    const auto there = read_at(file.get(), 0, buffer_.size());
    if (!there || *there != buffer_) return false;
    state_->verification.learn(digest_, stamp_of(info));
    return true;
  }

  /// Opens the temporary, unless it is open, and writes what was kept.
  Status flush() {
    if (temporary_ != nullptr) return {};
    auto temporary = state_->temporary();
    if (!temporary) return temporary.error();
    temporary_ = std::move(*temporary);
    MODDEV_TRY(write_all(temporary_->file.get(), buffer_, "'" + temporary_->path.string() + "'"));
    buffer_ = Bytes();
    return {};
  }

  Status give_name(const fs::path& target) {
    if (::rename(temporary_->path.c_str(), target.c_str()) != 0) {
      if (errno != ENOENT) return errno_error("cannot create '" + target.string() + "'", errno);
      // The first blob of its shard.
      MODDEV_TRY(make_private_directory(target.parent_path()));
      if (::rename(temporary_->path.c_str(), target.c_str()) != 0) {
        return errno_error("cannot create '" + target.string() + "'", errno);
      }
    }
    temporary_->path.clear();
    struct stat info {};
    if (::fstat(temporary_->file.get(), &info) == 0) state_->verification.learn(digest_, stamp_of(info));
    return {};
  }

  std::shared_ptr<State> state_;
  std::unique_ptr<Temporary> temporary_;
  Bytes buffer_;
  Hasher hasher_;
  std::optional<BackgroundHasher> beside_;  // has taken over from hasher_
  std::uint64_t size_ = 0;
  Digest digest_;
  bool finished_ = false;
  bool committed_ = false;
};

DirectoryBlobStore::DirectoryBlobStore(fs::path root)
    : root_(root), state_(std::make_shared<State>(std::move(root))) {}
DirectoryBlobStore::~DirectoryBlobStore() = default;

Result<std::unique_ptr<DirectoryBlobStore>> DirectoryBlobStore::open(const fs::path& root) {
  MODDEV_TRY(make_private_directory(root));
  MODDEV_TRY(make_private_directory(root / "tmp"));
  clean(root / "tmp");
  return std::unique_ptr<DirectoryBlobStore>(new DirectoryBlobStore(root));
}

fs::path DirectoryBlobStore::path_of(const Digest& digest) const {
  return path_in(root_, digest);
}

Result<std::unique_ptr<BlobWriter>> DirectoryBlobStore::create() {
  return std::unique_ptr<BlobWriter>(std::make_unique<Writer>(state_));
}

bool DirectoryBlobStore::make_ready() {
  unsigned shard = 0;
  unsigned last_shard = 0;
  bool file_is_ready = false;
  {
    const std::lock_guard lock(state_->mutex);
    shard = state_->next_shard;
    last_shard = state_->next_shard = std::min(kShards, shard + kShardsAtOnce);
    file_is_ready = state_->ready != nullptr;
  }
  // Without the lock, because this can take long; an error shows when the file or directory is really needed.
  for (; shard < last_shard; ++shard) (void)::mkdir((root_ / shard_name(shard)).c_str(), 0700);
  const bool all_shards = last_shard == kShards;
  if (file_is_ready) return all_shards;
  auto temporary = Temporary::create(root_);
  const std::lock_guard lock(state_->mutex);
  if (temporary.ok() && state_->ready == nullptr) state_->ready = std::move(*temporary);
  return all_shards;
}

Status DirectoryBlobStore::sync() {
  std::vector<Digest> digests;
  bool everything = false;
  {
    const std::lock_guard lock(state_->mutex);
    digests.swap(state_->unsynced);
    everything = std::exchange(state_->too_many_unsynced, false);
  }
  const auto again = [&](const std::string& what, int err) {
    for (const Digest& digest : digests) state_->remember(digest);
    return errno_error("cannot make '" + what + "' durable", err);
  };
  const auto flush = [&](const fs::path& path, int (*how)(int)) -> Status {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return errno == ENOENT ? Status() : again(path.string(), errno);  // removed since
    if (how(file.get()) != 0) return again(path.string(), errno);
    return {};
  };
  if (everything) return flush(root_, ::syncfs);
  if (digests.empty()) return {};
  std::set<fs::path> directories{root_};
  for (const Digest& digest : digests) {
    const fs::path path = path_of(digest);
    MODDEV_TRY(flush(path, ::fdatasync));
    directories.insert(path.parent_path());
  }
  for (const auto& directory : directories) MODDEV_TRY(flush(directory, ::fsync));
  return {};
}

bool DirectoryBlobStore::contains(const Digest& digest) const {
  return ::access(path_of(digest).c_str(), F_OK) == 0;
}

Result<std::uint64_t> DirectoryBlobStore::size(const Digest& digest) const {
  struct stat info {};
  if (::stat(path_of(digest).c_str(), &info) != 0) {
    return errno_error("the blob " + digest.to_string() + " cannot be read", errno);
  }
  return static_cast<std::uint64_t>(info.st_size);
}

Result<Bytes> DirectoryBlobStore::read_file(const Digest& digest, std::uint64_t offset, std::uint64_t length,
                                            FileStamp& stamp) const {
  const Descriptor file(::open(path_of(digest).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0)
    return errno_error("the blob " + digest.to_string() + " cannot be read", errno);
  stamp = stamp_of(info);
  if (offset >= stamp.size) return Bytes{};
  auto bytes = read_at(file.get(), offset, static_cast<std::size_t>(std::min(length, stamp.size - offset)));
  if (!bytes) return bytes.error().with_context("the blob " + digest.to_string());
  return bytes;
}

Result<Bytes> DirectoryBlobStore::read_range(const Digest& digest, std::uint64_t offset,
                                             std::uint64_t length) const {
  FileStamp stamp;
  auto bytes = read_file(digest, offset, length, stamp);
  if (bytes && !bytes->empty() && !state_->verification.pass(digest, stamp, offset, *bytes))
    return set_aside(digest);
  return bytes;
}

Error DirectoryBlobStore::set_aside(const Digest& digest) const {
  const fs::path path = path_of(digest);
  const fs::path aside = root_ / "tmp" / (digest.hex() + std::string(kDamagedSuffix));
  ::rename(path.c_str(), aside.c_str());
  return {ErrorCode::kCorrupt,
          "the stored bytes of " + digest.to_string() + " were damaged; they are kept as '" + aside.string() +
              "'",
          0};
}

Result<SharedBytes> DirectoryBlobStore::read(const Digest& digest) {
  FileStamp stamp;
  auto bytes = read_file(digest, 0, UINT64_MAX, stamp);
  if (!bytes) return bytes.error();
  if (digest_of(*bytes) != digest) return set_aside(digest);
  state_->verification.learn(digest, stamp);
  return share(std::move(*bytes));
}

Result<std::vector<Digest>> DirectoryBlobStore::list() const {
  std::vector<Digest> digests;
  std::error_code error;
  for (const auto& shard : fs::directory_iterator(root_, error)) {
    if (shard.path().filename().string().size() != 2) continue;
    std::error_code inner;
    for (const auto& entry : fs::directory_iterator(shard.path(), inner)) {
      if (auto digest = Digest::parse(entry.path().filename().string())) digests.push_back(*digest);
    }
  }
  if (error) return errno_error("cannot list '" + root_.string() + "'", error.value());
  return digests;
}

Status DirectoryBlobStore::remove(const Digest& digest) {
  if (::unlink(path_of(digest).c_str()) != 0 && errno != ENOENT) {
    return errno_error("cannot remove the blob " + digest.to_string(), errno);
  }
  return {};
}

}  // namespace moddev
