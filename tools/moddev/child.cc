#include "tools/moddev/child.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace moddev::tools {
namespace {

constexpr int kNoSuchCommand = 127;
constexpr int kNotExecutable = 126;

std::vector<char*> arguments_of(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& text : command) arguments.push_back(const_cast<char*>(text.c_str()));
  arguments.push_back(nullptr);
  return arguments;
}

Error not_started(const std::string& program, int error) {
  Error result = errno_error("Cannot run '" + program + "'", error);
  if (error == ENOENT) result.code = ErrorCode::kNotFound;
  if (error == EACCES) result.code = ErrorCode::kPermission;
  return result;
}

/// What we ignore or block, the command must not.
int spawn(pid_t& pid, const std::vector<std::string>& command) {
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigset_t nothing;
  sigemptyset(&nothing);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setsigmask(&attributes, &nothing);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int error = ::posix_spawnp(&pid, command.front().c_str(), nullptr, &attributes,
                                   arguments_of(command).data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

Result<std::unique_ptr<Child>> Child::start(const std::vector<std::string>& command,
                                            const Interrupt& interrupt) {
  pid_t pid = -1;
  if (const int error = spawn(pid, command); error != 0) return not_started(command.front(), error);
  // glibc 2.36 declares pidfd_open() without C linkage.
  const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  const int failed = errno;
  std::unique_ptr<Child> child(new Child(pid, descriptor, interrupt));
  if (descriptor < 0) return errno_error("Cannot watch over '" + command.front() + "'", failed);
  return child;
}

Child::~Child() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
}

std::optional<int> Child::ended_within(std::chrono::nanoseconds patience) {
  std::array<pollfd, 2> polled{pollfd{descriptor_, POLLIN, 0}, pollfd{interrupt_.descriptor(), POLLIN, 0}};
  const timespec timeout{patience.count() / 1'000'000'000, patience.count() % 1'000'000'000};
  if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) <= 0) return std::nullopt;
  if (polled[1].revents != 0) {
    signalfd_siginfo info{};
    const bool taken = ::read(interrupt_.descriptor(), &info, sizeof info) == sizeof info;
    // The terminal sends Ctrl-C to its whole foreground group, a person sends a signal to one process.
    if (taken && info.ssi_code != SI_KERNEL) ::kill(pid_, static_cast<int>(info.ssi_signo));
  }
  if (polled[0].revents == 0) return std::nullopt;
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) return kNoSuchCommand;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Error become(const std::vector<std::string>& command) {
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(command.front().c_str(), arguments_of(command).data());
  const int error = errno;
  ::signal(SIGPIPE, SIG_IGN);
  return not_started(command.front(), error);
}

int exit_code_of(const Error& not_started) {
  if (not_started.code == ErrorCode::kNotFound) return kNoSuchCommand;
  return not_started.code == ErrorCode::kPermission ? kNotExecutable : 1;
}

}  // namespace moddev::tools
