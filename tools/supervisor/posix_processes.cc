#include "tools/supervisor/posix_processes.h"

#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <system_error>
#include <utility>

#include "tools/supervisor/limits.h"
#include "tools/supervisor/notify_message.h"
#include "tools/supervisor/spawn.h"

namespace moddev::supervisor {
namespace {

constexpr int kConnectionsWaiting = 4096;  // the kernel cuts it to net.core.somaxconn

struct Probe {
  pid_t pid = 0;
  Descriptor pidfd;
  TimePoint since{};
};

struct Process {
  unsigned worker = 0;
  pid_t pid = 0;
  Descriptor pidfd;
  Descriptor notify;
  std::filesystem::path notify_path;
  std::vector<std::string> environment;
  std::optional<Probe> probe;
  bool ready_told = false;
  bool stopping_told = false;
};

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** at = ::environ; *at != nullptr; ++at) {
    const std::string_view one(*at);
    const bool ours = one.starts_with("NOTIFY_SOCKET=") || one.starts_with("LISTEN_") ||
                      one.starts_with("MODDEV_WORKER") || one.starts_with("WATCHDOG_");
    if (!ours) all.emplace_back(one);
  }
  return all;
}

void set_variable(std::vector<std::string>& environment, const std::string& name, const std::string& value) {
  std::erase_if(environment, [&](const std::string& one) { return one.starts_with(name + "="); });
  environment.push_back(name + "=" + value);
}

/// Kills what is left of the group while its number cannot be anyone else's yet, then reaps.
ExitStatus reap(pid_t pid, bool has_group) {
  if (has_group) ::kill(-pid, SIGKILL);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {
  }
  if (info.si_code == CLD_EXITED) return {info.si_status, 0};
  return {0, info.si_status};
}

bool has_ended(const Descriptor& pidfd) {
  siginfo_t info{};
  return ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid != 0;
}

}  // namespace

struct PosixProcesses::State {
  CommandOptions options;
  std::filesystem::path directory;
  Descriptor epoll;
  std::map<ProcessId, Process> processes;
  ProcessId last_id = 0;
  std::deque<ProcessEvent> events;

  Result<Descriptor> open_notify_socket(const std::filesystem::path& path) const;
  Status watch(const Descriptor& descriptor, ProcessId id) const;
  void look_at(ProcessId id);
  void read_notify(ProcessId id, Process& process);
  void look_at_probe(ProcessId id, Process& process);
  void start_probe(ProcessId id, Process& process, TimePoint now);
  void tell_ready(ProcessId id, Process& process);
  [[nodiscard]] bool has_probe() const { return options.ready_tcp || !options.ready_command.empty(); }
};

PosixProcesses::PosixProcesses(std::unique_ptr<State> state) : state_(std::move(state)) {}

PosixProcesses::~PosixProcesses() {
  for (auto& [id, process] : state_->processes) {
    ::kill(-process.pid, SIGKILL);
    reap(process.pid, true);
    if (!process.probe) continue;
    ::kill(-process.probe->pid, SIGKILL);
    reap(process.probe->pid, true);
  }
  std::error_code ignored;
  std::filesystem::remove_all(state_->directory, ignored);
}

Result<std::unique_ptr<PosixProcesses>> PosixProcesses::create(CommandOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::error_code error;
  const bool usable =
      runtime != nullptr && runtime[0] == '/' && std::filesystem::is_directory(runtime, error);
  std::string pattern = std::string(usable ? runtime : "/tmp") + "/moddev-supervise-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    return errno_error("Cannot make the directory " + pattern + " for notify sockets", errno);
  }
  state->directory = pattern;
  state->epoll = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (!state->epoll) return errno_error("Cannot make an epoll descriptor", errno);
  return std::unique_ptr<PosixProcesses>(new PosixProcesses(std::move(state)));
}

Result<Descriptor> PosixProcesses::State::open_notify_socket(const std::filesystem::path& path) const {
  Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno_error("Cannot make a notify socket", errno);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kLimit, "The path " + path.string() + " is too long for a socket (unix(7))."};
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error("Cannot make the notify socket " + path.string(), errno);
  }
  return socket;
}

Status PosixProcesses::State::watch(const Descriptor& descriptor, ProcessId id) const {
  epoll_event interest{};
  interest.events = EPOLLIN;
  interest.data.u64 = id;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, descriptor.get(), &interest) == 0) return {};
  return errno_error("Cannot watch a process", errno);
}

Result<StartedProcess> PosixProcesses::spawn(unsigned worker) {
  State& s = *state_;
  const ProcessId id = ++s.last_id;
  Process process;
  process.worker = worker;
  process.notify_path = s.directory / (std::to_string(id) + ".sock");
  auto notify = s.open_notify_socket(process.notify_path);
  if (!notify) return notify.error();
  process.notify = std::move(*notify);
  process.environment = own_environment();
  for (const std::string& one : s.options.environment) {
    const std::size_t equals = one.find('=');
    set_variable(process.environment, one.substr(0, equals), one.substr(equals + 1));
  }
  set_variable(process.environment, "MODDEV_WORKER", std::to_string(worker));
  set_variable(process.environment, "NOTIFY_SOCKET", process.notify_path.string());
  SpawnPlan plan{s.options.command, process.environment, s.options.listeners, s.options.output_to_stderr,
                 false};
  if (!s.options.listeners.empty()) {
    set_variable(plan.environment, "LISTEN_FDS", std::to_string(s.options.listeners.size()));
  }
  auto spawned = supervisor::spawn(plan);
  if (!spawned) {
    std::error_code ignored;
    std::filesystem::remove(process.notify_path, ignored);
    return spawned.error();
  }
  process.pid = spawned->pid;
  process.pidfd = std::move(spawned->pidfd);
  const Status watched = s.watch(process.pidfd, id);
  const Status heard = s.watch(process.notify, id);
  if (!watched || !heard) {
    reap(process.pid, true);
    return watched ? heard.error() : watched.error();
  }
  const StartedProcess started{id, process.pid};
  s.processes.emplace(id, std::move(process));
  return started;
}

void PosixProcesses::ask_ready(ProcessId id, TimePoint now) {
  State& s = *state_;
  const auto found = s.processes.find(id);
  if (found == s.processes.end() || found->second.ready_told) return;
  Process& process = found->second;
  if (s.options.ready_tcp) {
    if (listens(process.pid, *s.options.ready_tcp)) s.tell_ready(id, process);
  } else if (!s.options.ready_command.empty()) {
    s.start_probe(id, process, now);
  }
}

void PosixProcesses::State::start_probe(ProcessId id, Process& process, TimePoint now) {
  if (process.probe) {
    if (now - process.probe->since >= limits::kProbePatience) ::kill(-process.probe->pid, SIGKILL);
    return;
  }
  SpawnPlan plan;
  plan.arguments = {"/bin/sh", "-c", options.ready_command};
  plan.environment = process.environment;
  set_variable(plan.environment, "MODDEV_WORKER_PID", std::to_string(process.pid));
  plan.silent = true;
  auto spawned = supervisor::spawn(plan);
  if (!spawned) return;  // as good as one that failed: it is asked again
  if (!watch(spawned->pidfd, id)) {
    ::kill(-spawned->pid, SIGKILL);
    reap(spawned->pid, true);
    return;
  }
  process.probe = Probe{spawned->pid, std::move(spawned->pidfd), now};
}

void PosixProcesses::signal(ProcessId id, ProcessSignal signal) {
  const auto found = state_->processes.find(id);
  if (found == state_->processes.end()) return;
  if (signal == ProcessSignal::kKill) {
    ::kill(-found->second.pid, SIGKILL);
  } else {
    ::kill(found->second.pid, SIGTERM);
  }
  ::kill(found->second.pid, SIGCONT);  // a stopped one hears nothing else
}

std::optional<ProcessEvent> PosixProcesses::poll() {
  State& s = *state_;
  if (s.events.empty()) {
    std::array<epoll_event, 64> happened{};
    const int count = ::epoll_wait(s.epoll.get(), happened.data(), static_cast<int>(happened.size()), 0);
    for (int i = 0; i < count; ++i) s.look_at(happened[static_cast<std::size_t>(i)].data.u64);
  }
  if (s.events.empty()) return std::nullopt;
  const ProcessEvent event = s.events.front();
  s.events.pop_front();
  return event;
}

void PosixProcesses::State::look_at(ProcessId id) {
  const auto found = processes.find(id);
  if (found == processes.end()) return;
  Process& process = found->second;
  // What it said comes before its end.
  const bool ended = has_ended(process.pidfd);
  read_notify(id, process);
  look_at_probe(id, process);
  if (!ended) return;
  if (process.probe) {
    ::kill(-process.probe->pid, SIGKILL);
    reap(process.probe->pid, true);
  }
  ProcessEvent event;
  event.id = id;
  event.kind = ProcessEvent::Kind::kExited;
  event.exit = reap(process.pid, true);
  events.push_back(event);
  std::error_code ignored;
  std::filesystem::remove(process.notify_path, ignored);
  processes.erase(found);
}

void PosixProcesses::State::read_notify(ProcessId id, Process& process) {
  std::array<char, limits::kNotifyBytes> datagram{};
  for (;;) {
    const ssize_t size = ::recv(process.notify.get(), datagram.data(), datagram.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return;
    const NotifyMessage message = decode_notify({datagram.data(), static_cast<std::size_t>(size)});
    if (message.ready && !has_probe()) tell_ready(id, process);
    if (message.stopping && !std::exchange(process.stopping_told, true)) {
      events.push_back({id, ProcessEvent::Kind::kStopping, {}});
    }
  }
}

void PosixProcesses::State::look_at_probe(ProcessId id, Process& process) {
  if (!process.probe || !has_ended(process.probe->pidfd)) return;
  const ExitStatus status = reap(process.probe->pid, true);
  process.probe.reset();
  if (status == ExitStatus{}) tell_ready(id, process);
}

void PosixProcesses::State::tell_ready(ProcessId id, Process& process) {
  if (std::exchange(process.ready_told, true)) return;
  events.push_back({id, ProcessEvent::Kind::kReady, {}});
}

std::optional<ProcessId> PosixProcesses::owner_of(std::int64_t pid) const {
  const pid_t group = ::getpgid(static_cast<pid_t>(pid));
  for (const auto& [id, process] : state_->processes) {
    if (process.pid == pid || process.pid == group) return id;
  }
  return std::nullopt;
}

std::vector<int> PosixProcesses::descriptors() const {
  return {state_->epoll.get()};
}

Result<int> listen_at(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const char* host = address.host.empty() ? nullptr : address.host.c_str();
  if (const int problem = ::getaddrinfo(host, port.c_str(), &hints, &found); problem != 0) {
    return Error{ErrorCode::kInvalidArgument, address.to_string() + ": " + ::gai_strerror(problem) + "."};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> guard(found, &::freeaddrinfo);
  Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (!socket || ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(socket.get(), kConnectionsWaiting) != 0) {
    const int problem = errno;
    Error error = errno_error("Cannot listen at " + address.to_string(), problem);
    if (problem == EADDRINUSE) error.code = ErrorCode::kConflict;
    return error;
  }
  return socket.release();
}

}  // namespace moddev::supervisor
