// What writes into a watched directory: compilers, linkers, editors, copies and accidents, one step at a
// time on virtual time, in all the ways of writing that FACTS about real tools name. It keeps the books that
// the checkers need: which contents some writer finished.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "protocol/digest.h"
#include "tests/support/watcher/fake_file_system.h"
#include "tests/support/world/random.h"
#include "tests/support/world/trace.h"

namespace moddev::sim {

class Toolchain {
 public:
  Toolchain(Random random, watcher::testing::FakeFileSystem& files, Trace& trace);

  /// Begins one more write (or removal, or rename); several that overlap are a build.
  void begin(TimePoint now);
  /// A whole build: several modules at once.
  void begin_build(TimePoint now);
  /// When the next step of a writer is due.
  [[nodiscard]] TimePoint next() const;
  void step(TimePoint now);
  [[nodiscard]] bool busy() const { return !jobs_.empty(); }

  /// Finishes what was begun, and makes every file good again: a developer who fixed the build.
  void repair(TimePoint now);
  /// Gives one file new bytes, at once.
  void refresh_one(TimePoint now);

  [[nodiscard]] bool finished(const Digest& digest) const { return finished_.contains(digest); }
  /// The content that every regular file has now, keyed by path, without temporaries.
  [[nodiscard]] std::map<std::string, Digest> directory() const;
  /// A content that exists or will, for faults that concern one content.
  [[nodiscard]] std::uint64_t contents() const { return next_content_; }

  /// Longer silences than this between two pieces do not happen (without leases the watcher cannot know).
  Duration longest_pause = std::chrono::milliseconds(300);
  /// Whether stores through a mapping may leave no time stamp. Where the closing event can get lost as well,
  /// nothing at all would tell of them.
  bool stampless_stores = true;

 private:
  enum class Style : std::uint8_t {
    kInPlace,   // cp, cat: truncates and writes
    kBfd,       // unlinks, creates, writes, closes, chmod
    kReopen,    // ld.bfd with many inputs: closes its empty output and opens it again
    kGold,      // unlinks, sizes the file, fills it through a mapping
    kMold,      // hidden temporary, rename
    kStore,     // the same length through a mapping, no truncation, no event before the close
    kKilled,    // a linker killed midway
    kUnlinked,  // removed; comes back with some later write
  };
  struct Job {
    std::string path;
    Style style = Style::kInPlace;
    std::string content;
    std::size_t written = 0;
    int stage = 0;
    TimePoint next{};
    watcher::testing::FakeFileSystem::WriterId writer = 0;
  };

  [[nodiscard]] std::string new_content(const std::string& path);
  [[nodiscard]] bool idle(const std::string& path) const;
  /// Where the file is now: its directory may have been renamed.
  [[nodiscard]] std::string place_of(const std::string& path) const;
  void begin_on(const std::string& usual_path, TimePoint now);
  void make_parents(const std::string& path);
  void rename_something();
  /// Does one step; returns whether the job is done.
  bool advance(Job& job);
  bool write_piece(Job& job);
  void close(Job& job);
  void note(const std::string& path, const std::string& content);

  Random random_;
  watcher::testing::FakeFileSystem& files_;
  Trace& trace_;
  std::vector<Job> jobs_;
  std::uint64_t next_content_ = 1;
  std::set<Digest> finished_;
  std::map<std::string, std::vector<std::string>> former_;  // by path
  std::set<std::string> damaged_;                           // torn, or no library although named so
};

}  // namespace moddev::sim
