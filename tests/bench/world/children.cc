#include "tests/bench/world/children.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace moddev::bench {

WorkDirectory::WorkDirectory(const std::string& parent) : path_(parent + "/moddev-bench-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr) {
    std::perror("mkdtemp");
    std::exit(1);
  }
}

WorkDirectory::~WorkDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Child::Child(const std::vector<std::string>& command, bool quiet) {
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    if (quiet) {
      const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
      ::dup2(nowhere, STDOUT_FILENO);
    }
    ::execvp(arguments.front(), arguments.data());
    std::fprintf(stderr, "cannot start %s\n", arguments.front());
    ::_exit(127);
  }
  if (pid_ < 0) {
    std::perror("fork");
    std::exit(1);
  }
}

Child::~Child() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 512> piece{};
  while (std::fgets(piece.data(), static_cast<int>(piece.size()), pipe) != nullptr) text += piece.data();
  return ::pclose(pipe) == 0 ? text : "";
}

std::string describe_machine(const std::string& directory) {
  utsname system{};
  ::uname(&system);
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    processor = line.substr(line.find(':') + 2);
    break;
  }
  std::array<double, 1> load{};
  ::getloadavg(load.data(), 1);
  struct statfs disk {};
  ::statfs(directory.c_str(), &disk);
  std::array<char, 512> text{};
  std::snprintf(text.data(), text.size(),
                "%ld processors (%s), %s %s, load %.1f, directory on file system 0x%lx",
                ::sysconf(_SC_NPROCESSORS_ONLN), processor.c_str(), system.sysname, system.release, load[0],
                static_cast<unsigned long>(disk.f_type));
  return text.data();
}

}  // namespace moddev::bench
