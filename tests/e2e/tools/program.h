// The real program in processes of its own, in surroundings made for one test: no socket, history or cache of
// the user's is touched. Waiting is always for something, with a deadline that a loaded machine keeps too.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace moddev::e2e {

using Json = nlohmann::ordered_json;

inline constexpr auto kPatience = std::chrono::seconds(50);

/// One process with its output. Killed and reaped when dropped.
class Process {
 public:
  /// `error_file`: where standard error goes. `descriptor`: what becomes its standard output; -1: a pipe to
  /// us.
  Process(const std::vector<std::string>& command, const std::vector<std::string>& environment,
          const std::string& working_directory, std::string error_file, int descriptor = -1);
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;

  /// The next line of standard output; nothing at its end or past the deadline.
  std::optional<std::string> line(std::chrono::milliseconds patience = kPatience);
  /// Lines until one satisfies `wanted`, which is returned; a failed test and an empty text when none comes.
  std::string line_that(const std::function<bool(const std::string&)>& wanted);
  /// The same for JSON lines: the next one whose "event" is `event` (and satisfies `wanted`).
  Json event(
      const std::string& event,
      const std::function<bool(const Json&)>& wanted = [](const Json&) { return true; });
  /// All lines that were read so far.
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

  void signal(int number) const;
  /// Waits for the end. The exit code; 128 + N when signal N ended it; -1 past the deadline.
  int wait();
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Everything on standard error so far.
  [[nodiscard]] std::string errors() const;

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string error_file_;
  std::string partial_;
  std::vector<std::string> lines_;
};

struct Ran {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// A directory with everything that a test needs.
class Yard {
 public:
  Yard();
  ~Yard();
  Yard(const Yard&) = delete;
  Yard& operator=(const Yard&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  /// The watched directory.
  [[nodiscard]] std::string build() const { return path_ + "/build"; }
  [[nodiscard]] std::string default_endpoint() const { return "ipc://" + path_ + "/run/moddev/default.sock"; }

  /// From now on the program runs without root's power over permissions, also when the tests run as root.
  void drop_power();
  /// `extra` goes before the usual environment ("NAME=value").
  Process start(std::vector<std::string> arguments, std::vector<std::string> extra = {}, int descriptor = -1);
  Ran run(std::vector<std::string> arguments, std::vector<std::string> extra = {});
  /// A daemon on build() with --json that is listening.
  Process watch(std::vector<std::string> more = {});

  /// Compiles `source` (C) and puts it into build() as lib<name>.so, in one rename.
  void write_library(const std::string& name, const std::string& source) const;
  /// A library whose `value()` returns this.
  void write_module(const std::string& name, std::int64_t value) const;
  /// One that links but cannot be loaded.
  void write_unloadable(const std::string& name) const;
  static void write_file(const std::string& path, const std::string& content);
  static std::string read_file(const std::string& path);

 private:
  std::string path_;
  bool powerless_ = false;
  int next_ = 0;
};

}  // namespace moddev::e2e
