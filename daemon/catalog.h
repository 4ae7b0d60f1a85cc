// Files to modules: which module each file is an artifact of, which files clash, what a module depends on.
// Pure but for reading blobs. Keeps the set of files that are there; the versioner turns the set of modules
// into versions.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "protocol/blob_store.h"
#include "protocol/manifest.h"
#include "watcher/watcher.h"

namespace moddev::daemon {

/// A module as the directory holds it now: a ModuleEntry without version and time.
struct ModuleContent {
  ModuleKind kind = ModuleKind::kBlob;
  Digest digest;
  std::uint64_t size = 0;
  std::string path;
  std::vector<std::string> depends_on;
  friend bool operator==(const ModuleContent&, const ModuleContent&) = default;
};
using ModuleSet = std::map<std::string, ModuleContent, std::less<>>;

struct CatalogOptions {
  /// Dependencies from moddev.toml: module to the modules it needs, in addition to those that the files tell.
  std::map<std::string, std::vector<std::string>> extra_dependencies;
};

class Catalog {
 public:
  Catalog(CatalogOptions options, BlobStore& blobs);

  struct Outcome {
    std::vector<watcher::Rejection> rejections;
    std::vector<watcher::Warning> warnings;
    /// Whether modules() may differ from before.
    bool changed = false;
    /// Whether kept() does.
    bool kept_changed = false;
  };
  /// Whether nothing is at a path at the moment, and it is not known yet whether it is removed.
  using IsAway = std::function<bool(const std::string& path)>;

  /// A former run knew this file. Until a batch tells more, it counts as there with other bytes.
  void remember(const std::string& name, const ModuleContent& content);

  /// Takes in a batch. Two different files for one module name: both are named in a rejection, and the module
  /// is kept as it was; but a file that is away clashes with nothing. A library with a version in its name
  /// and a symlink to it are one module, whose content is where the shortest link leads. Programs (ELF
  /// executables) are no modules and are passed over silently, unless they are named like a library: these,
  /// and a .so that is no shared library, are rejected, and the module is kept.
  Outcome apply(const watcher::Batch& batch, const IsAway& is_away = nobody_is_away);
  /// The file at `path` is there with other bytes, which cannot be had: its module is kept.
  Outcome doubt(const std::string& path, const IsAway& is_away = nobody_is_away);
  /// Decides again where a file was away that is not any more.
  Outcome look_again(const IsAway& is_away);

  /// What the directory holds, as far as it is acceptable. Of modules in kept(): what it held before.
  [[nodiscard]] const ModuleSet& modules() const { return modules_; }
  /// Modules whose file is there and not acceptable: they stay as they are live.
  [[nodiscard]] const std::set<std::string, std::less<>>& kept() const { return kept_; }
  /// The rejections that still hold.
  [[nodiscard]] std::vector<watcher::Unpublished> unpublished() const;
  /// Adds the digests of all files, also of those that are no modules: they may become some.
  void add_digests(std::set<Digest>& to) const;

 private:
  /// One file that could be an artifact.
  struct File {
    std::string real_path;
    Digest digest;
    std::uint64_t size = 0;
    bool doubtful = false;  // it holds other bytes, which cannot be had
  };
  struct Refusal {
    std::string path;
    std::string reason;
    TimePoint since{};
  };
  /// What the bytes of a native file say, kept per digest: reading a large library twice is slow.
  struct NativeFacts {
    /// Empty for a shared library; else why it is none. A program is `program` and no reason for a complaint.
    std::string refusal;
    bool program = false;
    std::string soname;
    std::vector<std::string> needed;
  };

  static bool nobody_is_away(const std::string&) { return false; }
  const NativeFacts& facts_of(const Digest& digest);
  /// The file that stands for `name`: the only one, or the link that leads to it. Null when files clash.
  [[nodiscard]] const std::string* choose(const std::vector<const std::string*>& paths) const;
  [[nodiscard]] const std::string* choose_beside(const std::vector<const std::string*>& paths) const;
  void settle(const std::string& name, const IsAway& is_away, TimePoint since, Outcome& outcome);
  void take(const std::string& name, const std::string& path, ModuleKind kind, Outcome& outcome);
  void drop(const std::string& name, Outcome& outcome);
  void keep(const std::string& name, Outcome& outcome);
  void refuse(const std::string& key, Refusal refusal, Outcome& outcome);
  void connect();

  CatalogOptions options_;
  BlobStore& blobs_;
  std::map<std::string, File> files_;                                  // by path
  std::map<std::string, std::set<std::string>, std::less<>> by_name_;  // module to paths
  std::map<Digest, NativeFacts> facts_;
  NativeFacts unread_;  // of a blob that could not be read this time
  ModuleSet modules_;
  std::set<std::string, std::less<>> kept_;
  std::map<std::string, Refusal> refusals_;  // by module, or by path where that gives no name
  /// Modules that were decided without a file that was away.
  std::map<std::string, TimePoint> provisional_;
};

}  // namespace moddev::daemon
