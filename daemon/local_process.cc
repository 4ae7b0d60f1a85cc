#include "daemon/local_process.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <string_view>

namespace moddev::daemon {
namespace {

/// A process that has ended and that its parent has not asked for yet (proc(5), stat: the state is behind the
/// name, which is in parentheses and may contain some).
bool is_zombie(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t end = line.rfind(')');
  return end != std::string::npos && end + 2 < line.size() && (line[end + 2] == 'Z' || line[end + 2] == 'X');
}

}  // namespace

std::string this_host() {
  std::array<char, 256> host{};
  return ::gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "";
}

bool is_running_here(const ExecutorIdentity& executor) {
  if (executor.pid <= 0 || executor.host != this_host()) return false;
  // kill(2): signal 0 only asks whether the process is there.
  const bool there = ::kill(static_cast<pid_t>(executor.pid), 0) == 0 || errno == EPERM;
  return there && !is_zombie(executor.pid);
}

}  // namespace moddev::daemon
