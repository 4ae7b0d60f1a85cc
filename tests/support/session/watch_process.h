// The real `moddev watch` as a process of its own, in surroundings of its own: nothing of the user who runs
// the tests is read or written. And other programs in the same surroundings.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/session/zmq_daemon.h"

namespace moddev::test {

/// HOME and the XDG directories below one private directory, and a directory to watch.
class Surroundings {
 public:
  Surroundings();
  [[nodiscard]] std::string watched() const { return root_.path() + "/build"; }
  [[nodiscard]] std::string home() const { return root_.path() + "/home"; }
  /// The default endpoint of whoever lives here.
  [[nodiscard]] std::string endpoint() const { return "ipc://" + root_.path() + "/run/moddev/default.sock"; }
  /// "NAME=value" for a process.
  [[nodiscard]] std::vector<std::string> environment() const;
  /// Replaces a file of the watched directory in one rename.
  void publish(const std::string& name, const std::string& content) const;
  /// Compiles C and links it as lib<name>.so in the watched directory.
  void publish_library(const std::string& name, const std::string& source) const;

 private:
  PrivateDirectory root_;
};

struct Ran {
  int exit_code = -1;  // 128 + the signal's number for one that was killed
  std::string output;  // of both streams
};
/// Runs to the end, or kills it at the deadline.
Ran run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        std::chrono::milliseconds deadline = std::chrono::seconds(60));

class WatchProcess {
 public:
  /// Returns when it serves. Throws when it does not.
  WatchProcess(const std::string& program, const Surroundings& where);
  /// Ends it in good order.
  ~WatchProcess();
  WatchProcess(const WatchProcess&) = delete;
  WatchProcess& operator=(const WatchProcess&) = delete;
  /// SIGKILL.
  void kill();

 private:
  pid_t pid_ = -1;
  int output_ = -1;  // nobody reads what else it says
};

}  // namespace moddev::test
