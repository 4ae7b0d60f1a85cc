#include "tools/supervisor/spawn.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

namespace moddev::supervisor {
namespace {

/// Where descriptors are put that must not be in the way of a child's 0, 1, 2 and its listeners.
constexpr int kHighDescriptor = 64;
constexpr int kFirstListener = 3;  // SD_LISTEN_FDS_START
constexpr char kListenPid[] = "LISTEN_PID=";

std::vector<char*> pointers(const std::vector<std::string>& texts, std::size_t spare) {
  std::vector<char*> all;
  all.reserve(texts.size() + spare + 1);
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.resize(texts.size() + spare + 1, nullptr);
  return all;
}

/// "LISTEN_PID=1234" without allocating.
void write_listen_pid(char* text, pid_t pid) {
  char* at = text + sizeof kListenPid - 1;
  for (std::size_t i = 0; i + 1 < sizeof kListenPid; ++i) text[i] = kListenPid[i];
  std::array<char, 16> digits{};
  std::size_t count = 0;
  for (auto rest = static_cast<unsigned>(pid); rest != 0; rest /= 10) {
    digits[count++] = static_cast<char>('0' + rest % 10);
  }
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
}

struct ChildSetup {
  const SpawnPlan* plan;
  char* const* arguments;
  char** environment;
  std::size_t listen_pid_at;  // index in `environment`
  char* listen_pid;
  const std::vector<int>* listeners;
  int null_device;
  int report;
  pid_t parent;
};

/// Between fork and exec: async-signal-safe functions only (fork(2): other threads may have held locks).
[[noreturn]] void become(const ChildSetup& setup) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != setup.parent) ::_exit(127);
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(setup.null_device, STDIN_FILENO);
  if (setup.plan->silent) {
    ::dup2(setup.null_device, STDOUT_FILENO);
    ::dup2(setup.null_device, STDERR_FILENO);
  } else if (setup.plan->output_to_stderr) {
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
  }
  for (std::size_t i = 0; i < setup.listeners->size(); ++i) {
    ::dup2((*setup.listeners)[i], kFirstListener + static_cast<int>(i));
  }
  if (!setup.listeners->empty()) {
    write_listen_pid(setup.listen_pid, ::getpid());
    setup.environment[setup.listen_pid_at] = setup.listen_pid;
  }
  ::execvpe(setup.arguments[0], setup.arguments, setup.environment);
  const int problem = errno;
  [[maybe_unused]] const ssize_t written = ::write(setup.report, &problem, sizeof problem);
  ::_exit(127);
}

Error cannot_execute(const std::string& program, int problem) {
  Error error = errno_error("Cannot execute '" + program + "'", problem);
  if (problem == ENOENT) error.code = ErrorCode::kNotFound;
  if (problem == EACCES) error.code = ErrorCode::kPermission;
  return error;
}

}  // namespace

Result<Spawned> spawn(const SpawnPlan& plan) {
  MODDEV_ASSERT(!plan.arguments.empty(), "a command has at least a program");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error("Cannot make a pipe", errno);
  Descriptor report_in(ends[0]);
  Descriptor low_report_out(ends[1]);
  Descriptor report_out(::fcntl(ends[1], F_DUPFD_CLOEXEC, kHighDescriptor));
  low_report_out.reset();
  Descriptor null_device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Descriptor high_null(::fcntl(null_device.get(), F_DUPFD_CLOEXEC, kHighDescriptor));
  if (!report_out || !high_null) return errno_error("Cannot prepare a process", errno);
  std::vector<Descriptor> high_listeners;
  std::vector<int> listeners;
  for (const int listener : plan.listeners) {
    high_listeners.emplace_back(::fcntl(listener, F_DUPFD_CLOEXEC, kHighDescriptor));
    if (!high_listeners.back()) return errno_error("Cannot pass a listening socket on", errno);
    listeners.push_back(high_listeners.back().get());
  }

  const std::vector<char*> arguments = pointers(plan.arguments, 0);
  std::vector<char*> environment = pointers(plan.environment, 1);
  std::array<char, 32> listen_pid{};
  const ChildSetup setup{&plan,
                         arguments.data(),
                         environment.data(),
                         plan.environment.size(),
                         listen_pid.data(),
                         &listeners,
                         high_null.get(),
                         report_out.get(),
                         ::getpid()};
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error("Cannot start a process", errno);
  if (pid == 0) become(setup);
  ::setpgid(pid, pid);  // both do it, so that it is done whoever comes first
  report_out.reset();

  int problem = 0;
  ssize_t got = 0;
  do {
    got = ::read(report_in.get(), &problem, sizeof problem);
  } while (got < 0 && errno == EINTR);
  Spawned spawned{pid, Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
  if (got == 0 && spawned.pidfd) return spawned;
  if (got == 0) {
    const int why = errno;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return errno_error("Cannot watch a process (pidfd_open(2) needs Linux 5.3)", why);
  }
  ::waitpid(pid, nullptr, 0);
  return cannot_execute(plan.arguments.front(), problem);
}

}  // namespace moddev::supervisor
