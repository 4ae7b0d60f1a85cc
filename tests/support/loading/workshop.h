// Real shared libraries, made by the real compiler while a test runs, with the flags that a trap needs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "protocol/bytes.h"

namespace moddev::testing {

/// A directory that is gone when the test ends.
class Workshop {
 public:
  Workshop();
  ~Workshop();
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  /// Compiles C++ (C with `flags` "-xc") without sanitizers and links lib<name>.so, with
  /// -fno-gnu-unique unless `flags` say otherwise; the file stays for others to link against. Ends the
  /// test program with the compiler's output if that fails.
  SharedBytes library(const std::string& name, const std::string& source,
                      const std::vector<std::string>& flags = {});
  [[nodiscard]] std::filesystem::path library_path(const std::string& name) const;
  /// An executable from C++.
  std::filesystem::path program(const std::string& name, const std::string& source,
                                const std::vector<std::string>& flags = {});

 private:
  std::filesystem::path compile(const std::string& output, const std::string& source,
                                std::vector<std::string> arguments);
  std::filesystem::path directory_;
};

/// What a command printed, both streams together, and its exit code.
struct CommandResult {
  int exit_code = -1;
  std::string output;
};
CommandResult run_command(const std::vector<std::string>& arguments);

SharedBytes read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace moddev::testing
