#include "tests/support/session/watch_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace moddev::test {
namespace {

using Clock = std::chrono::steady_clock;

/// A started program, and where its output can be read.
struct Started {
  pid_t pid = -1;
  int output = -1;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

Started start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
              bool errors_too) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  if (errors_too) ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDERR_FILENO);
  Started started;
  const int failed = ::posix_spawn(&started.pid, arguments.front().c_str(), &actions, nullptr,
                                   pointers(arguments).data(), pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  if (failed != 0) throw std::runtime_error("cannot start " + arguments.front());
  started.output = pipe[0];
  return started;
}

/// Appends what comes until `done`, the end of the output, or the deadline; false at the deadline.
template <typename Done>
bool read_until(int descriptor, std::string& text, Clock::time_point end, Done done) {
  while (!done()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd readable{descriptor, POLLIN, 0};
    if (left.count() <= 0) return false;
    if (::poll(&readable, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0) return true;
    if (got > 0) text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace

Surroundings::Surroundings() {
  for (const char* name : {"/build", "/home", "/run"}) {
    std::filesystem::create_directory(root_.path() + name);
    std::filesystem::permissions(root_.path() + name, std::filesystem::perms::owner_all);
  }
}

std::vector<std::string> Surroundings::environment() const {
  const char* path = std::getenv("PATH");
  return {"HOME=" + home(), "XDG_RUNTIME_DIR=" + root_.path() + "/run",
          std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path)};
}

void Surroundings::publish(const std::string& name, const std::string& content) const {
  const std::string temporary = root_.path() + "/being-written";
  std::ofstream(temporary) << content;
  std::filesystem::rename(temporary, watched() + "/" + name);
}

void Surroundings::publish_library(const std::string& name, const std::string& source) const {
  const std::string file = root_.path() + "/" + name + ".c";
  const std::string built = root_.path() + "/lib" + name + ".so";
  std::ofstream(file) << source;
  const Ran ran =
      run({"/usr/bin/env", "cc", "-shared", "-fPIC", "-Wl,--build-id", "-o", built, file}, environment());
  if (ran.exit_code != 0) throw std::runtime_error("the compiler says: " + ran.output);
  std::filesystem::rename(built, watched() + "/lib" + name + ".so");
}

Ran run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        std::chrono::milliseconds deadline) {
  const Started started = start(arguments, environment, true);
  Ran ran;
  if (!read_until(started.output, ran.output, Clock::now() + deadline, [] { return false; })) {
    ran.output += "\n(killed at the deadline)";
    ::kill(started.pid, SIGKILL);
  }
  ::close(started.output);
  int status = 0;
  while (::waitpid(started.pid, &status, 0) < 0 && errno == EINTR) {
  }
  ran.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ran;
}

WatchProcess::WatchProcess(const std::string& program, const Surroundings& where) {
  const Started started = start({program, "watch", where.watched(), "--json"}, where.environment(), false);
  pid_ = started.pid;
  output_ = started.output;
  std::string said;
  const bool serves = read_until(started.output, said, Clock::now() + std::chrono::seconds(30),
                                 [&] { return said.find("\"listening\"") != std::string::npos; });
  if (!serves || said.find("\"listening\"") == std::string::npos) {
    kill();
    ::close(output_);
    throw std::runtime_error("`moddev watch` does not serve: " + said);
  }
}

WatchProcess::~WatchProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    if (!await([this] { return ::waitpid(pid_, nullptr, WNOHANG) == pid_; })) kill();
  }
  ::close(output_);
}

void WatchProcess::kill() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace moddev::test
