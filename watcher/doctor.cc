#include "watcher/doctor.h"

#include <sys/statvfs.h>

#include <deque>
#include <fstream>
#include <memory>

#include "protocol/elf_image.h"
#include "watcher/completeness.h"
#include "watcher/ignore_rules.h"
#include "watcher/inotify_source.h"
#include "watcher/limits.h"
#include "watcher/posix_file_system.h"
#include "watcher/tree.h"

namespace moddev::watcher {
namespace {

using Level = Finding::Level;

/// Less than this, and a few builds of large modules fill the disk.
constexpr std::uint64_t kTightBytes = 1ULL << 30;
constexpr std::uint64_t kMissingBytes = 64ULL << 20;
/// Modules that are read; a directory with more is judged by these.
constexpr std::size_t kModulesRead = 200;
constexpr std::uint64_t kModuleBytesRead = 512ULL << 20;

struct Survey {
  std::size_t directories = 0;
  std::size_t files = 0;
  std::vector<std::string> natives;
};

Survey walk(PosixFileSystem& files, const IgnoreRules& rules) {
  Survey survey;
  std::deque<std::string> queue = {""};
  while (!queue.empty()) {
    const std::string path = std::move(queue.front());
    queue.pop_front();
    auto entries = files.list(path);
    if (!entries) continue;
    ++survey.directories;
    for (const DirectoryEntry& entry : *entries) {
      const std::string child = Tree::join(path, entry.name);
      const bool directory = entry.type == FileType::kDirectory;
      if (rules.ignored(child, directory)) continue;
      if (directory) {
        queue.push_back(child);
      } else if (entry.type == FileType::kRegular) {
        ++survey.files;
        if (has_native_name(child)) survey.natives.push_back(child);
      }
    }
  }
  return survey;
}

std::uint64_t number_in(const std::string& path, std::uint64_t otherwise) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : otherwise;
}

Finding check_events(PosixFileSystem& files) {
  if (files.events_are_reliable())
    return {Level::kGood, "events", "the file system reports every change", ""};
  return {Level::kNote, "events",
          "the file system of '" + files.root() +
              "' does not report changes that other machines make, so they are found by polling, later and "
              "at more cost",
          "build into a local directory"};
}

Finding check_lease(PosixFileSystem& files) {
  if (number_in("/proc/sys/fs/leases-enable", 1) == 0) {
    return {Level::kNote, "lease",
            "the kernel grants no leases (fs.leases-enable = 0), so a file counts as finished only after a "
            "quiet time of " +
                std::to_string(to_us(limits::kFallbackQuiet) / 1000) + " ms",
            "sudo sysctl -w fs.leases-enable=1"};
  }
  static constexpr const char* kProbe = ".moddev-doctor";
  (void)files.remove_cookie(kProbe);
  if (Status made = files.create_cookie(kProbe); !made) {
    return {Level::kNote, "lease",
            "no file can be made in the directory, so it is not known whether the kernel can prove files "
            "finished (" +
                made.error().message + ")",
            ""};
  }
  LeaseState state = LeaseState::kUnsupported;
  if (auto file = files.open(kProbe)) state = (*file)->take_lease();
  const std::string why = state == LeaseState::kUnsupported ? files.why_no_lease(kProbe) : std::string();
  (void)files.remove_cookie(kProbe);
  if (state != LeaseState::kUnsupported)
    return {Level::kGood, "lease", "the kernel can prove that a file is finished (read lease)", ""};
  return {Level::kNote, "lease",
          "the kernel cannot prove that a file is finished: " + why + ". A quiet time of " +
              std::to_string(to_us(limits::kFallbackQuiet) / 1000) +
              " ms is used instead: changes come later, and a writer that pauses for longer can be caught in "
              "the middle",
          "build into a directory of your own on a local file system"};
}

Finding check_instances() {
  auto source = InotifySource::create("/");
  if (source) return {Level::kGood, "instances", "an inotify instance is available", ""};
  return {Level::kNote, "instances", source.error().message + "; until then changes are found by polling",
          ""};
}

void check_space(const std::string& where, std::vector<Finding>& findings) {
  struct statvfs info {};
  if (where.empty() || ::statvfs(where.c_str(), &info) != 0) return;
  findings.push_back(judge_space(where, static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize));
}

Result<Bytes> read_whole(PosixFileSystem& files, const std::string& path) {
  auto file = files.open(path);
  if (!file) return file.error();
  auto stat = (*file)->stat();
  if (!stat) return stat.error();
  Bytes bytes(static_cast<std::size_t>(stat->size));
  std::size_t have = 0;
  while (have < bytes.size()) {
    auto got = (*file)->read(have, std::span(bytes).subspan(have));
    if (!got) return got.error();
    if (*got == 0) break;
    have += *got;
  }
  bytes.resize(have);
  return bytes;
}

/// What the flags that a library was built with mean for reloading it.
void check_module(const std::string& path, std::span<const std::byte> bytes, std::vector<Finding>& findings) {
  const auto problem = [&](Level level, const char* code, const std::string& message, const char* advice) {
    findings.push_back({level, code, "'" + path + "' " + message, advice});
  };
  if (Status whole = check_complete(path, bytes); !whole)
    return problem(Level::kProblem, "module-torn", "is not whole: " + whole.error().message, "link it again");
  if (!looks_like_elf(bytes)) return;
  const auto image = read_elf(bytes);
  if (!image)
    return problem(Level::kProblem, "module-unreadable", "cannot be used: " + image.error().message, "");
  if (image->type != ElfImage::Type::kSharedLibrary) return;
  if (image->build_id.empty())
    problem(Level::kNote, "module-build-id",
            "has no build-id: a link that was killed in the middle cannot always be told from a finished one",
            "link with -Wl,--build-id");
  if (!image->unique_symbols.empty())
    problem(Level::kProblem, "module-gnu-unique",
            "has " + std::to_string(image->unique_symbols.size()) + " unique symbols, e.g. " +
                image->unique_symbols.front() +
                ": a new version would silently use the old one's statics, and the old one could never be "
                "unloaded",
            "compile with -fno-gnu-unique, or use moddev_add_module()");
  if (image->nodelete)
    problem(Level::kNote, "module-nodelete", "is marked NODELETE: old versions stay in memory",
            "link without -z nodelete");
}

}  // namespace

std::string_view to_string(Finding::Level level) {
  switch (level) {
    case Level::kGood:
      return "good";
    case Level::kNote:
      return "note";
    case Level::kProblem:
      return "problem";
  }
  return "problem";
}

Finding judge_watches(std::uint64_t limit, std::uint64_t needed) {
  if (limit == 0) return {Level::kNote, "watches", "the limit of inotify watches cannot be read", ""};
  // The limit is the user's, and editors and other tools take their share.
  if (needed * 10 <= limit * 9)
    return {Level::kGood, "watches",
            std::to_string(needed) + " directories need a watch each, of " + std::to_string(limit) +
                " that the user may have",
            ""};
  const std::string advice = inotify_limit_advice("max_user_watches", limit, needed);
  return {Level::kNote, "watches",
          std::to_string(needed) + " directories need a watch each, and the user may have " +
              std::to_string(limit) +
              " in all programs together: what is left over is listed every second instead",
          advice.substr(advice.find("sudo "))};
}

Finding judge_space(const std::string& where, std::uint64_t free_bytes) {
  const std::string free = std::to_string(free_bytes >> 20) + " MiB are free in '" + where + "'";
  if (free_bytes < kMissingBytes)
    return {Level::kProblem, "space", free + ": new versions cannot be kept", "free some space"};
  if (free_bytes < kTightBytes)
    return {Level::kNote, "space", free + ": a few builds may fill it", "free some space"};
  return {Level::kGood, "space", free, ""};
}

std::vector<Finding> examine(const std::string& directory, const DoctorOptions& options) {
  std::vector<Finding> findings;
  auto opened = PosixFileSystem::create(directory);
  if (!opened) return {{Level::kProblem, "directory", opened.error().message, ""}};
  PosixFileSystem& files = **opened;
  const Survey survey = walk(files, IgnoreRules(options.ignore));
  findings.push_back({Level::kGood, "directory",
                      "'" + files.root() + "' has " + std::to_string(survey.directories) +
                          " directories and " + std::to_string(survey.files) + " files that are not ignored",
                      ""});
  findings.push_back(check_events(files));
  findings.push_back(check_lease(files));
  findings.push_back(judge_watches(inotify_limit("max_user_watches"), survey.directories));
  findings.push_back(check_instances());
  check_space(files.root(), findings);
  check_space(options.store, findings);
  std::size_t read = 0;
  for (const std::string& path : survey.natives) {
    if (++read > kModulesRead) break;
    auto stat = files.lstat(path);
    if (!stat || stat->size > kModuleBytesRead) continue;
    if (auto bytes = read_whole(files, path)) check_module(path, *bytes, findings);
  }
  return findings;
}

}  // namespace moddev::watcher
