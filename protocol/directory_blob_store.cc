#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>

#include "protocol/blob_store.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;

/// Closes what it holds.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

Status write_all(int fd, std::span<const std::byte> data, const std::string& what) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("cannot write " + what, errno);
    data = data.subspan(static_cast<std::size_t>(n));
  }
  return {};
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

/// Temporaries are named <pid>-<counter>: those of a process that is gone belong to nobody.
void remove_abandoned(const fs::path& directory) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const auto [end, parsed] = std::from_chars(name.data(), name.data() + name.size(), pid);
    const bool ours = parsed == std::errc() && end != name.data() && *end == '-';
    if (ours && pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) {
      std::error_code ignored;
      fs::remove(entry.path(), ignored);
    }
  }
}

std::atomic<std::uint64_t> g_temporary_counter{0};

class DirectoryBlobWriter final : public BlobWriter {
 public:
  DirectoryBlobWriter(const DirectoryBlobStore& store, fs::path temporary, int fd)
      : store_(store), temporary_(std::move(temporary)), fd_(fd) {}
  ~DirectoryBlobWriter() override {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  Status write(std::span<const std::byte> data) override {
    hasher_.update(data);
    size_ += data.size();
    return write_all(fd_.get(), data, "'" + temporary_.string() + "'");
  }
  [[nodiscard]] std::uint64_t size() const override { return size_; }

  Result<Digest> finish() override {
    digest_ = hasher_.finish();
    return digest_;
  }

  Status commit() override {
    MODDEV_ASSERT(!temporary_.empty() && !digest_.is_zero(), "commit() once, after finish()");
    const fs::path target = store_.path_of(digest_);
    struct stat info {};
    if (::stat(target.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.st_size) == size_) {
      ::unlink(temporary_.c_str());
      temporary_.clear();
      return {};
    }
    if (::fchmod(fd_.get(), 0400) != 0)
      return errno_error("cannot protect '" + temporary_.string() + "'", errno);
    fd_.reset();
    if (::rename(temporary_.c_str(), target.c_str()) != 0) {
      if (errno != ENOENT) return errno_error("cannot create '" + target.string() + "'", errno);
      MODDEV_TRY(make_private_directory(target.parent_path()));
      if (::rename(temporary_.c_str(), target.c_str()) != 0) {
        return errno_error("cannot create '" + target.string() + "'", errno);
      }
    }
    temporary_.clear();
    return {};
  }

 private:
  const DirectoryBlobStore& store_;
  fs::path temporary_;
  Descriptor fd_;
  Hasher hasher_;
  std::uint64_t size_ = 0;
  Digest digest_;
};

}  // namespace

DirectoryBlobStore::DirectoryBlobStore(fs::path root) : root_(std::move(root)) {}
DirectoryBlobStore::~DirectoryBlobStore() = default;

Result<std::unique_ptr<DirectoryBlobStore>> DirectoryBlobStore::open(const fs::path& root) {
  MODDEV_TRY(make_private_directory(root));
  MODDEV_TRY(make_private_directory(root / "tmp"));
  remove_abandoned(root / "tmp");
  return std::unique_ptr<DirectoryBlobStore>(new DirectoryBlobStore(root));
}

fs::path DirectoryBlobStore::path_of(const Digest& digest) const {
  const std::string hex = digest.hex();
  return root_ / hex.substr(0, 2) / hex;
}

Result<std::unique_ptr<BlobWriter>> DirectoryBlobStore::create() {
  const fs::path temporary =
      root_ / "tmp" / (std::to_string(::getpid()) + "-" + std::to_string(g_temporary_counter.fetch_add(1)));
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno_error("cannot create '" + temporary.string() + "'", errno);
  return std::unique_ptr<BlobWriter>(std::make_unique<DirectoryBlobWriter>(*this, temporary, fd));
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

Result<Bytes> DirectoryBlobStore::read_range(const Digest& digest, std::uint64_t offset,
                                             std::uint64_t length) const {
  const Descriptor file(::open(path_of(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return errno_error("the blob " + digest.to_string() + " cannot be read", errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0)
    return errno_error("the blob " + digest.to_string() + " cannot be read", errno);
  const auto total = static_cast<std::uint64_t>(info.st_size);
  if (offset >= total) return Bytes{};
  Bytes bytes(static_cast<std::size_t>(std::min(length, total - offset)));
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n =
        ::pread(file.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("the blob " + digest.to_string() + " cannot be read", errno);
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

Result<SharedBytes> DirectoryBlobStore::read(const Digest& digest) {
  auto bytes = read_range(digest, 0, UINT64_MAX);
  if (!bytes) return bytes.error();
  if (digest_of(*bytes) != digest) {
    const fs::path path = path_of(digest);
    const fs::path aside = root_ / "tmp" / (digest.hex() + ".damaged");
    ::rename(path.c_str(), aside.c_str());
    return Error{ErrorCode::kCorrupt,
                 "the stored bytes of " + digest.to_string() + " were damaged; they are kept as '" +
                     aside.string() + "'",
                 0};
  }
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
