// Files to modules: which module each file is an artifact of, which files clash, what a module depends on.
// Pure but for reading blobs. Keeps the set of files that are there; the versioner turns the set of modules
// into versions.
#pragma once

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
  };
  /// Takes in a batch. Two different files for one module name: both are named in a rejection, the module
  /// stays as it was. Programs (ELF executables) are no modules and are passed over silently. A .so that is
  /// no shared library is rejected; the module keeps its last good content.
  Outcome apply(const watcher::Batch& batch);

  /// What the directory holds, as far as it is acceptable.
  [[nodiscard]] const ModuleSet& modules() const { return modules_; }
  /// Adds the digests of all files, also of those that are no modules: they may become some.
  void add_digests(std::set<Digest>& to) const;

 private:
  /// One file that could be an artifact.
  struct File {
    std::string real_path;
    Digest digest;
    std::uint64_t size = 0;
  };
  /// What the bytes of a native file say, kept per digest: reading a large library twice is slow.
  struct NativeFacts {
    /// Empty for a shared library; else why it is none. A program is `program` and no reason for a complaint.
    std::string refusal;
    bool program = false;
    std::string soname;
    std::vector<std::string> needed;
  };

  const NativeFacts& facts_of(const Digest& digest);
  /// The file that stands for `name`: the only one, or the one that the others are symlinks to. Null when
  /// files clash.
  [[nodiscard]] const std::string* choose(const std::string& name) const;
  void settle(const std::string& name, Outcome& outcome);
  void connect();

  CatalogOptions options_;
  BlobStore& blobs_;
  std::map<std::string, File> files_;                                  // by path
  std::map<std::string, std::set<std::string>, std::less<>> by_name_;  // module to paths
  std::map<Digest, NativeFacts> facts_;
  ModuleSet modules_;
};

}  // namespace moddev::daemon
