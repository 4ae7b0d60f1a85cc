// A directory that is gone at the end of the test, and modules made of text.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/journal.h"
#include "daemon/versioner.h"

namespace moddev::daemon::testing {

class Scratch {
 public:
  /// In memory where there is room for it: the tests ask for no fsync's patience.
  Scratch() {
    const std::filesystem::path base =
        std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::string name = (base / "moddev-state-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("no directory can be made in " + base.string());
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline ModuleContent content(std::string_view bytes, std::vector<std::string> depends_on = {}) {
  ModuleContent made;
  made.kind = ModuleKind::kNative;
  made.digest = digest_of(bytes);
  made.size = bytes.size();
  made.path = "lib/some.so";
  made.depends_on = std::move(depends_on);
  return made;
}

inline WallTime at_second(std::int64_t seconds) {
  return WallTime(std::chrono::seconds(1'764'000'000 + seconds));
}

/// The journal at `path`; the test ends when it does not open.
inline std::unique_ptr<Journal> open_journal(const std::filesystem::path& path, std::int64_t second = 0,
                                             const std::string& boot = "this boot") {
  auto opened = Journal::open(path, at_second(second), boot);
  if (!opened) throw std::runtime_error(opened.error().message);
  return std::move(*opened);
}

/// The next epoch for `modules`, which must differ from what is committed.
inline EpochRecord next(const Journal& journal, const ModuleSet& modules, std::int64_t second = 1) {
  auto record = next_epoch(modules, journal.committed(), nullptr, journal.head(), journal.last_versions(),
                           at_second(second));
  if (!record) throw std::runtime_error("nothing to record");
  return std::move(*record);
}

/// Records the next epoch and commits it.
inline Epoch commit(Journal& journal, const ModuleSet& modules, std::int64_t second = 1) {
  const EpochRecord record = next(journal, modules, second);
  if (Status s = journal.record_epoch(record); !s) throw std::runtime_error(s.error().message);
  if (Status s = journal.record_commit(record.epoch, at_second(second)); !s)
    throw std::runtime_error(s.error().message);
  return record.epoch;
}
inline Epoch abort(Journal& journal, const ModuleSet& modules, std::int64_t second = 1) {
  const EpochRecord record = next(journal, modules, second);
  if (Status s = journal.record_epoch(record); !s) throw std::runtime_error(s.error().message);
  if (Status s = journal.record_abort(record.epoch, {{"worker-1", "m", "undefined symbol: weight"}},
                                      at_second(second));
      !s) {
    throw std::runtime_error(s.error().message);
  }
  return record.epoch;
}

}  // namespace moddev::daemon::testing
