#include "client/src/last_epoch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "client/src/limits.h"
#include "protocol/codec.h"
#include "protocol/descriptor.h"

namespace moddev::client {
namespace {

constexpr std::string_view kMagic = "moddev last epoch 1\n";
constexpr std::string_view kSignedMagic = "moddev last epoch 2\n";
static_assert(kMagic.size() == kSignedMagic.size());

/// Up to `size` bytes from the beginning.
Result<Bytes> read_all(int descriptor, std::size_t size, const std::string& name) {
  Bytes bytes(size);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(descriptor, bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("Cannot read " + name, errno);
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

/// Makes the file as young as one written now, if it holds these bytes already: a fleet on one machine has
/// one file, and each of its processes wants the same in it.
bool renewed(const std::filesystem::path& file, const Bytes& bytes) {
  const Descriptor there(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (there.get() < 0 || ::fstat(there.get(), &status) != 0) return false;
  if (static_cast<std::uint64_t>(status.st_size) != bytes.size()) return false;
  const auto content = read_all(there.get(), bytes.size(), file.string());
  return content && *content == bytes && ::futimens(there.get(), nullptr) == 0;
}

}  // namespace

Bytes encode_remembered(const Remembered& what) {
  Bytes bytes;
  const auto add = [&bytes](std::span<const std::byte> part) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  };
  add(as_bytes(what.statement ? kSignedMagic : kMagic));
  add(std::as_bytes(std::span(what.repo.bytes)));
  if (what.statement) add(std::as_bytes(std::span(what.statement->bytes)));
  add(encode_manifest(what.manifest));
  const Digest sum = digest_of(bytes);
  add(std::as_bytes(std::span(sum.bytes)));
  return bytes;
}

Result<Remembered> decode_remembered(std::span<const std::byte> bytes) {
  constexpr std::size_t kIdBytes = sizeof(Uuid::bytes);
  constexpr std::size_t kSumBytes = sizeof(Digest::bytes);
  const auto magic = [&](std::string_view text) {
    const auto expected = as_bytes(text);
    return bytes.size() >= expected.size() && std::equal(expected.begin(), expected.end(), bytes.begin());
  };
  const bool with_statement = magic(kSignedMagic);
  const std::size_t head = kMagic.size() + kIdBytes + (with_statement ? SignedStatement::kBytes : 0);
  if (!(with_statement || magic(kMagic)) || bytes.size() < head + kSumBytes) {
    return Error{ErrorCode::kCorrupt, "It is no record of an epoch."};
  }
  const auto body = bytes.first(bytes.size() - kSumBytes);
  const auto sum = Digest::from_bytes(bytes.last(kSumBytes));
  if (!sum || *sum != digest_of(body)) return Error{ErrorCode::kCorrupt, "Its checksum is wrong."};
  Remembered remembered;
  std::memcpy(remembered.repo.bytes.data(), body.data() + kMagic.size(), kIdBytes);
  if (with_statement) {
    SignedStatement& statement = remembered.statement.emplace();
    std::memcpy(statement.bytes.data(), body.data() + kMagic.size() + kIdBytes, SignedStatement::kBytes);
  }
  auto manifest = decode_manifest(body.subspan(head));
  if (!manifest) return manifest.error();
  remembered.manifest = std::move(*manifest);
  return remembered;
}

std::filesystem::path remembered_path(const std::filesystem::path& cache_directory,
                                      const std::string& endpoint, const std::vector<PublicKey>& signers) {
  std::string text = endpoint;
  for (const PublicKey& signer : signers) text += '\n' + signer.to_string();
  return cache_directory / "last" / digest_of(text).hex().substr(0, 32);
}

Status write_remembered(const std::filesystem::path& file, const Remembered& what) {
  const Bytes bytes = encode_remembered(what);
  if (renewed(file, bytes)) return {};
  const std::filesystem::path directory = file.parent_path();
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error("Cannot make " + directory.string(), errno);
  }
  // Processes of one user may write at once; each has its own temporary, and the last rename stays.
  const std::string temporary = file.string() + "." + std::to_string(::getpid()) + ".tmp";
  {
    const Descriptor out(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (out.get() < 0) return errno_error("Cannot write " + temporary, errno);
    if (Status written = write_all(out.get(), bytes, temporary); !written) {
      ::unlink(temporary.c_str());
      return written;
    }
  }
  if (::rename(temporary.c_str(), file.c_str()) != 0) {
    const int why = errno;
    ::unlink(temporary.c_str());
    return errno_error("Cannot write " + file.string(), why);
  }
  return {};
}

Result<std::optional<Remembered>> read_remembered(const std::filesystem::path& file,
                                                  std::chrono::seconds grace, WallTime now) {
  const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (in.get() < 0) {
    if (errno == ENOENT) return std::optional<Remembered>();
    return errno_error("Cannot read " + file.string(), errno);
  }
  struct stat status {};
  if (::fstat(in.get(), &status) != 0) return errno_error("Cannot read " + file.string(), errno);
  const WallTime written(std::chrono::seconds(status.st_mtim.tv_sec) +
                         std::chrono::nanoseconds(status.st_mtim.tv_nsec));
  if (now - written >= grace) return std::optional<Remembered>();
  if (static_cast<std::uint64_t>(status.st_size) > limits::kHeaderBytes) {
    return Error{ErrorCode::kLimit, file.string() + " is larger than " +
                                        std::to_string(limits::kHeaderBytes) + " bytes (kHeaderBytes)."};
  }
  const auto bytes = read_all(in.get(), static_cast<std::size_t>(status.st_size), file.string());
  if (!bytes) return bytes.error();
  auto remembered = decode_remembered(*bytes);
  if (!remembered) return remembered.error().with_context(file.string());
  return std::optional<Remembered>(std::move(*remembered));
}

}  // namespace moddev::client
