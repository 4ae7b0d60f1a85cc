// What is known of the directory: every directory that is watched, every file in it that was proven, with the
// digest that was handed out for it. Compact, because it holds 100,000 files: one sorted array a directory.
// Pure bookkeeping; paths are relative, without "." and "..".
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/clock.h"
#include "protocol/digest.h"
#include "watcher/file_system.h"

namespace moddev::watcher {

/// One file as it was last proven.
struct KnownFile {
  std::string name;
  /// Of the file itself, also when a symlink led to it.
  FileStat stat;
  Digest digest;  // of the content that was last proven
  Digest given;   // of the content that was last handed out; zero: never, or its removal was
  /// The stat was taken so soon after the content changed that equal stats prove nothing yet.
  bool fresh = true;
  /// `given` is not what the path holds, or nobody knows: what is found next is told in any case.
  bool doubtful = false;
  /// Proven under a lease.
  bool leased = false;
  /// Proven by a former run, and not seen yet by this one.
  bool trusted = false;
  TimePoint proven_at{};
};

class Tree {
 public:
  struct Directory {
    std::vector<KnownFile> files;  // sorted by name
    bool gone = false;             // kept until the removal of its files is handed out
  };

  /// "" and "a" for "a", "a/b" and "c" for "a/b/c".
  [[nodiscard]] static std::pair<std::string_view, std::string_view> split(std::string_view path);
  [[nodiscard]] static std::string join(std::string_view directory, std::string_view name);

  Directory& add_directory(const std::string& path);
  [[nodiscard]] Directory* directory(std::string_view path);
  [[nodiscard]] bool has_directory(std::string_view path) const { return directories_.contains(path); }
  /// The directory and all below, in order.
  [[nodiscard]] std::vector<std::string> subtree(std::string_view path) const;
  /// The direct subdirectories' names.
  [[nodiscard]] std::vector<std::string> subdirectories(std::string_view path) const;
  void remove_directory(std::string_view path);

  [[nodiscard]] KnownFile* find(std::string_view path);
  /// The file's record, made if need be; null when its directory is not known.
  KnownFile* add_file(std::string_view path);
  void remove_file(std::string_view path);

  [[nodiscard]] std::size_t file_count() const { return file_count_; }
  [[nodiscard]] std::size_t directory_count() const { return directories_.size(); }
  [[nodiscard]] const std::map<std::string, Directory, std::less<>>& directories() const {
    return directories_;
  }

 private:
  std::map<std::string, Directory, std::less<>> directories_;
  std::size_t file_count_ = 0;
};

}  // namespace moddev::watcher
