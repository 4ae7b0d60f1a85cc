// The FileSystem seam: everything that the watcher asks of the disk. The real one is posix_file_system; the
// fake of the simulation has writers, torn files and leases of its own. Paths are relative to the watched
// directory, with '/'; "" is the directory itself; a path that starts with '/' is absolute.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/result.h"

namespace moddev::watcher {

enum class FileType : std::uint8_t { kRegular, kDirectory, kSymlink, kOther };

/// What stat(2) tells. Equal values do not prove equal content (a store through a mapping to an already
/// dirty page leaves mtime as it is); different values prove that something happened.
struct FileStat {
  FileType type = FileType::kOther;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint32_t links = 1;
  bool executable = false;
  friend bool operator==(const FileStat&, const FileStat&) = default;
};

struct DirectoryEntry {
  std::string name;
  FileType type = FileType::kOther;
};

/// What the kernel says about writers of an open file.
enum class LeaseState : std::uint8_t {
  kHeld,     // no descriptor open for writing and no shared writable mapping exists, and a new writer has to
             // wait
  kWriters,  // EAGAIN: somebody can still write
  kUnsupported,  // not our file, or a file system that grants none or whose word means nothing
  kBroken,       // was held, and a writer came: the copy is worthless
};

/// A file opened for reading. Dropping it gives back lease and descriptor.
class OpenFile {
 public:
  virtual ~OpenFile() = default;
  [[nodiscard]] virtual Result<FileStat> stat() = 0;
  /// Tries to take the read lease (fcntl(2), F_SETLEASE).
  virtual LeaseState take_lease() = 0;
  /// kHeld or kBroken after a take_lease() that returned kHeld.
  [[nodiscard]] virtual LeaseState lease() = 0;
  /// Reads up to buffer.size() bytes at `offset`; 0 at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> buffer) = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Follows symlinks. Errors: kNotFound, kPermission, kIo.
  virtual Result<FileStat> stat(const std::string& path) = 0;
  /// Does not follow the last symlink.
  virtual Result<FileStat> lstat(const std::string& path) = 0;
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
  /// Opens a regular file; never waits, and does not follow a symlink at the end. Errors: kNotFound;
  /// kConflict when it is no regular file (lstat() tells what it is); kUnavailable when a writer holds it
  /// exclusively; kPermission, kIo.
  virtual Result<std::unique_ptr<OpenFile>> open(const std::string& path) = 0;
  /// Where a symlink chain ends: relative when inside the watched directory, else absolute.
  virtual Result<std::string> resolve(const std::string& path) = 0;
  /// Creates and removes an empty file: the cookie of a sync barrier.
  virtual Status create_cookie(const std::string& path) = 0;
  virtual Status remove_cookie(const std::string& path) = 0;
  /// Whether the directory's file system reports other machines' writes to us at all (not NFS, FUSE,
  /// virtiofs, 9p ...).
  [[nodiscard]] virtual bool events_are_reliable() = 0;
  /// The time stamp that a file written now would get, in ns since the Unix epoch; 0 when that is not known
  /// (the clock of another machine).
  [[nodiscard]] virtual std::int64_t stamp_now() = 0;
  /// Why take_lease() said kUnsupported for `path`, as the end of a sentence: "'nfs' does not tell about
  /// writers".
  [[nodiscard]] virtual std::string why_no_lease(const std::string& path) = 0;
};

}  // namespace moddev::watcher
