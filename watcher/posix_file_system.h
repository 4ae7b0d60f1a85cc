// The FileSystem of Linux. Knows which file systems tell the truth about writers and about events; decides
// nothing about files. Thread: any one at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "watcher/file_system.h"

namespace moddev::watcher {

/// What is known of a kind of file system, by the magic number of statfs(2).
struct FileSystemTraits {
  std::string_view name;
  /// A granted read lease proves that nobody can write. Not on overlayfs: it does not see a shared mapping
  /// whose descriptor was closed.
  bool lease_proves = true;
  /// inotify reports every writer. Not where other machines or the host write behind this kernel's back.
  bool events_reliable = true;
};
[[nodiscard]] FileSystemTraits traits_of_magic(std::uint64_t magic);

class PosixFileSystem final : public FileSystem {
 public:
  /// `root` need not stay the same directory: each call goes through its path anew. Also sees to it that the
  /// signal of a broken lease is ignored in this process. Errors: kNotFound, kInvalidArgument when it is no
  /// directory, kPermission when it cannot be listed.
  static Result<std::unique_ptr<PosixFileSystem>> create(const std::string& root);

  Result<FileStat> stat(const std::string& path) override;
  Result<FileStat> lstat(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  Result<std::unique_ptr<OpenFile>> open(const std::string& path) override;
  Result<std::string> resolve(const std::string& path) override;
  Status create_cookie(const std::string& path) override;
  Status remove_cookie(const std::string& path) override;
  [[nodiscard]] bool events_are_reliable() override;
  [[nodiscard]] std::int64_t stamp_now() override;
  [[nodiscard]] std::string why_no_lease(const std::string& path) override;

  /// Absolute, without "." and "..", its symlinks unresolved.
  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  explicit PosixFileSystem(std::string root) : root_(std::move(root)) {}
  [[nodiscard]] std::string absolute(const std::string& path) const;
  std::string root_;
  bool events_reliable_ = true;
};

}  // namespace moddev::watcher
