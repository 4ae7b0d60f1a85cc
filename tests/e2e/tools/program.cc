#include "tests/e2e/tools/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

namespace moddev::e2e {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                 const std::string& working_directory, std::string error_file, int descriptor)
    : error_file_(std::move(error_file)) {
  std::array<int, 2> ends{-1, -1};
  if (descriptor < 0 && ::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addchdir_np(&actions, working_directory.c_str());
  ::posix_spawn_file_actions_adddup2(&actions, descriptor < 0 ? ends[1] : descriptor, STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, error_file_.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
  const auto arguments = pointers(command);
  const auto variables = pointers(environment);
  const int failed =
      ::posix_spawn(&pid_, command.front().c_str(), &actions, nullptr, arguments.data(), variables.data());
  if (failed != 0) pid_ = -1;
  EXPECT_EQ(failed, 0) << command.front();
  ::posix_spawn_file_actions_destroy(&actions);
  if (ends[1] >= 0) ::close(ends[1]);
  output_ = ends[0];
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::exchange(other.output_, -1)),
      error_file_(std::move(other.error_file_)),
      partial_(std::move(other.partial_)),
      lines_(std::move(other.lines_)) {}

Process::~Process() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (output_ >= 0) ::close(output_);
}

std::optional<std::string> Process::line(std::chrono::milliseconds patience) {
  const auto deadline = SteadyClock::now() + patience;
  for (;;) {
    if (const std::size_t end = partial_.find('\n'); end != std::string::npos) {
      lines_.push_back(partial_.substr(0, end));
      partial_.erase(0, end + 1);
      return lines_.back();
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
    if (output_ < 0) return std::nullopt;
    pollfd polled{output_, POLLIN, 0};
    if (left < 0 || ::poll(&polled, 1, static_cast<int>(left)) <= 0) return std::nullopt;
    std::array<char, 4096> piece{};
    const ssize_t got = ::read(output_, piece.data(), piece.size());
    if (got <= 0) return std::nullopt;
    partial_.append(piece.data(), static_cast<std::size_t>(got));
  }
}

std::string Process::line_that(const std::function<bool(const std::string&)>& wanted) {
  const auto deadline = SteadyClock::now() + kPatience;
  std::string seen;
  while (SteadyClock::now() < deadline) {
    const auto next = line(std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()));
    if (!next) break;
    if (wanted(*next)) return *next;
    seen += "  " + *next + "\n";
  }
  ADD_FAILURE() << "the line did not come; these did:\n" << seen << "standard error:\n" << errors();
  return "";
}

Json Process::event(const std::string& event, const std::function<bool(const Json&)>& wanted) {
  const std::string line = line_that([&](const std::string& text) {
    const Json json = Json::parse(text, nullptr, false);
    return json.is_object() && json.value("event", "") == event && wanted(json);
  });
  return line.empty() ? Json{} : Json::parse(line);
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

int Process::wait() {
  const auto deadline = SteadyClock::now() + kPatience;
  while (pid_ > 0 && SteadyClock::now() < deadline) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      // What it wrote is in the pipe; children that it left behind may hold that open.
      while (line(std::chrono::milliseconds(0))) {
      }
      return exit_code_of(status);
    }
    // A full pipe would keep it from ending.
    pollfd polled{output_, POLLIN, 0};
    if (output_ >= 0 && ::poll(&polled, 1, 5) > 0 && (polled.revents & POLLIN) != 0) {
      (void)line(std::chrono::milliseconds(0));
    } else if (output_ < 0 || polled.revents != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // between two looks at its end
    }
  }
  return -1;
}

std::string Process::errors() const {
  return Yard::read_file(error_file_);
}

Yard::Yard() {
  std::string name = (fs::temp_directory_path() / "moddev-tools-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary directory";
  path_ = name;
  for (const char* directory : {"/build", "/run", "/state", "/cache", "/home", "/work"}) {
    ::mkdir((path_ + directory).c_str(), 0700);
  }
}

Yard::~Yard() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void Yard::drop_power() {
  powerless_ = ::geteuid() == 0;
}

Process Yard::start(std::vector<std::string> arguments, std::vector<std::string> extra, int descriptor) {
  arguments.insert(arguments.begin(), MODDEV_PROGRAM);
  if (powerless_) arguments.insert(arguments.begin(), {"/usr/bin/setpriv", "--bounding-set=-all"});
  // The first of two with one name counts (getenv(3) of glibc).
  std::vector<std::string> environment = std::move(extra);
  for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
  }
  environment.push_back("HOME=" + path_ + "/home");
  environment.push_back("XDG_RUNTIME_DIR=" + path_ + "/run");
  environment.push_back("XDG_STATE_HOME=" + path_ + "/state");
  environment.push_back("XDG_CACHE_HOME=" + path_ + "/cache");
  environment.push_back("TERM=xterm");
  return Process(arguments, environment, path_ + "/work", path_ + "/stderr-" + std::to_string(++next_),
                 descriptor);
}

Ran Yard::run(std::vector<std::string> arguments, std::vector<std::string> extra) {
  Process process = start(std::move(arguments), std::move(extra));
  Ran ran;
  ran.exit_code = process.wait();
  for (const std::string& line : process.lines()) ran.out += line + "\n";
  ran.err = process.errors();
  return ran;
}

Process Yard::watch(std::vector<std::string> more) {
  more.insert(more.begin(), {"watch", build(), "--json"});
  Process daemon = start(std::move(more));
  daemon.event("listening");
  return daemon;
}

void Yard::write_library(const std::string& name, const std::string& source) const {
  const std::string stem = path_ + "/work/" + name;
  write_file(stem + ".c", source);
  const std::string command =
      std::string(MODDEV_CC) + " -shared -fPIC -Wl,--build-id -o " + stem + ".so.new " + stem + ".c";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  fs::rename(stem + ".so.new", build() + "/lib" + name + ".so");
}

void Yard::write_module(const std::string& name, std::int64_t value) const {
  write_library(name, "#include <stdint.h>\nint64_t value(void) { return " + std::to_string(value) + "; }\n");
}

void Yard::write_unloadable(const std::string& name) const {
  write_library(name,
                "#include <stdint.h>\nint64_t nowhere(void);\nint64_t value(void) { return nowhere(); }\n");
}

void Yard::write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string Yard::read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace moddev::e2e
