// The files of modules that this user's machine still has, current or former: in the states of his daemons
// and in the cache of his executors. Found by build-id, by module and version, or by the name of the private
// copy that an executor loads. Reads only; no daemon need run.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/digest.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev::tools {

/// Digits of a build-id that are enough to name one.
inline constexpr std::size_t kFewestBuildIdDigits = 6;
/// Names told of files that fit equally.
inline constexpr std::size_t kFilesTold = 5;

struct RetainedFile {
  std::filesystem::path path;
  std::string build_id;
  // Of the artifact; empty and 0 when no journal knows it.
  std::string module;
  Version version = 0;
};

/// One version that a journal knows.
struct KnownVersion {
  std::string module;
  Version version = 0;
  Digest digest;
  std::string artifact;  // the file's name
};

/// `states`: directories with a journal.sqlite and blobs; `caches`: directories with blobs.
class RetainedFiles {
 public:
  RetainedFiles(std::vector<std::filesystem::path> states, std::vector<std::filesystem::path> caches);

  /// A build-id or its beginning. Errors: kNotFound, kConflict.
  [[nodiscard]] Result<RetainedFile> by_build_id(std::string_view digits) const;
  /// `module` as match_name() takes it; version 0 is the newest. Errors: kNotFound, kConflict (several
  /// directories have one).
  [[nodiscard]] Result<RetainedFile> by_version(std::string_view module, Version version) const;
  /// The artifact that libscorer.1a2b3c4d5e6f7a8b.so was made from. Errors: kNotFound.
  [[nodiscard]] Result<RetainedFile> by_image(std::string_view file_name) const;

  /// A file that is there, with what the journals know of it when it is an executor's private copy.
  [[nodiscard]] RetainedFile described(const std::filesystem::path& path) const;

  /// What the journals say of these bytes, newest version first.
  [[nodiscard]] std::vector<KnownVersion> versions_of(const Digest& digest) const;
  /// Why a journal could not be read; for a person.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  void read_journal(const std::filesystem::path& state);
  [[nodiscard]] Result<RetainedFile> file_of(const Digest& digest) const;

  std::vector<std::filesystem::path> stores_;
  std::vector<KnownVersion> versions_;
  std::map<std::string, Digest, std::less<>> images_;  // file name to artifact
  std::vector<std::string> problems_;
};

/// Those of this user: below state_root() and in the default cache. `cache` instead of the default one when
/// it is not empty.
[[nodiscard]] RetainedFiles retained_files_of_user(const std::string& cache);

}  // namespace moddev::tools
