// A disk that forgets: what SQLite wrote since its last fsync may be there after a power cut, in part, in any
// order, or not at all. Stands between SQLite and the real file system as its default VFS
// (sqlite.org/vfs.html) for as long as it lives.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/support/world/random.h"

namespace moddev::daemon::testing {

class PowerCutDisk {
 public:
  PowerCutDisk();
  ~PowerCutDisk();
  PowerCutDisk(const PowerCutDisk&) = delete;
  PowerCutDisk& operator=(const PowerCutDisk&) = delete;

  /// What the power leaves of the files whose names begin with `from`, if it goes now, as files that begin
  /// with `to`. The files themselves go on unharmed.
  void cut(const std::filesystem::path& from, const std::filesystem::path& to, sim::Random& random);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon::testing
