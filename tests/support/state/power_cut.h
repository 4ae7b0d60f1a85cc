// A disk that forgets: what SQLite wrote since its last fsync may be there after a power cut, in part, in any
// order, or not at all. It can be full, and the process can die in the middle of any write. Stands between
// SQLite and the real file system as its default VFS (sqlite.org/vfs.html) for as long as it lives.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "tests/support/world/random.h"

namespace moddev::daemon::testing {

class PowerCutDisk {
 public:
  PowerCutDisk();
  ~PowerCutDisk();
  PowerCutDisk(const PowerCutDisk&) = delete;
  PowerCutDisk& operator=(const PowerCutDisk&) = delete;

  /// Every write fails with SQLITE_FULL.
  bool full = false;
  /// Asked before each write of `size` bytes: how many of them are still written when the process dies in it;
  /// nothing: it lives. `died` is called between that part and SQLite's going on, which must not matter any
  /// more.
  std::function<std::optional<std::size_t>(std::size_t size)> dies_in_write;
  std::function<void()> died;

  /// The files whose names begin with `from` were copied to those that begin with `to`: what of them is on
  /// the disk goes along.
  void copied(const std::filesystem::path& from, const std::filesystem::path& to);

  /// What the power leaves of the files whose names begin with `from`, if it goes now, as files that begin
  /// with `to`. The files themselves go on unharmed.
  void cut(const std::filesystem::path& from, const std::filesystem::path& to, sim::Random& random);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon::testing
