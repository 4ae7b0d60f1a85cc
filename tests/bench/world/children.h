// Processes of a benchmark: started by exec, so that nothing is shared, and gone with the driver.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace moddev::bench {

/// A directory of its own below `parent`; removed at the end.
class WorkDirectory {
 public:
  explicit WorkDirectory(const std::string& parent);
  ~WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Killed when dropped, and when this process dies.
class Child {
 public:
  /// Ends the program with a message when it cannot be started.
  explicit Child(const std::vector<std::string>& command, bool quiet = false);
  ~Child();
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// What the command writes to its standard output; empty when it fails.
[[nodiscard]] std::string output_of(const std::string& command);

/// Processor, kernel, load, file system: without them a figure says nothing.
[[nodiscard]] std::string describe_machine(const std::string& directory);

}  // namespace moddev::bench
