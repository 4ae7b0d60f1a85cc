#include "tests/support/loading/workshop.h"

#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "protocol/result.h"

namespace moddev::testing {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

/// Memory where there is some: what is tested is not the disk.
std::filesystem::path place_for_workshops() {
  struct statvfs info {};
  const char* const memory = "/dev/shm";
  const bool usable = std::getenv("TMPDIR") == nullptr && ::access(memory, W_OK | X_OK) == 0 &&
                      ::statvfs(memory, &info) == 0 && (info.f_flag & ST_NOEXEC) == 0;
  return usable ? std::filesystem::path(memory) : std::filesystem::temp_directory_path();
}

}  // namespace

CommandResult run_command(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) line += quoted(argument) + " ";
  CommandResult result;
  FILE* pipe = ::popen((line + "2>&1 </dev/null").c_str(), "r");
  MODDEV_ASSERT(pipe != nullptr, "a command can be run");
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    result.output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

SharedBytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return share(text);
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  MODDEV_ASSERT(file.flush().good(), "a test can write its files");
}

Workshop::Workshop() {
  std::string pattern = (place_for_workshops() / "moddev-workshop-XXXXXX").string();
  MODDEV_ASSERT(::mkdtemp(pattern.data()) != nullptr, "a test can make its directory");
  directory_ = pattern;
}

Workshop::~Workshop() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::filesystem::path Workshop::library_path(const std::string& name) const {
  return directory_ / ("lib" + name + ".so");
}

std::filesystem::path Workshop::compile(const std::string& output, const std::string& source,
                                        std::vector<std::string> arguments) {
  bool is_c = false;
  for (const std::string& argument : arguments) is_c |= argument == "-xc";
  const std::filesystem::path input = directory_ / (output + (is_c ? ".c" : ".cc"));
  write_file(input, as_bytes(source));
  const std::filesystem::path target = directory_ / output;
  std::vector<std::string> command{
      is_c ? MODDEV_C_COMPILER : MODDEV_CXX_COMPILER, "-g1", "-O1", "-o", target.string(), input.string()};
  std::erase(arguments, "-xc");
  command.insert(command.end(), arguments.begin(), arguments.end());
  const CommandResult result = run_command(command);
  if (result.exit_code != 0) std::fprintf(stderr, "%s\n%s\n", source.c_str(), result.output.c_str());
  MODDEV_ASSERT(result.exit_code == 0, "the test's library compiles");
  return target;
}

SharedBytes Workshop::library(const std::string& name, const std::string& source,
                              const std::vector<std::string>& flags) {
  bool is_c = false;
  for (const std::string& flag : flags) is_c |= flag == "-xc";
  std::vector<std::string> arguments{"-shared", "-fPIC", "-Wl,--build-id=sha1", "-L" + directory_.string()};
  if (!is_c) arguments.emplace_back("-fno-gnu-unique");
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return read_file(compile("lib" + name + ".so", source, std::move(arguments)));
}

std::filesystem::path Workshop::program(const std::string& name, const std::string& source,
                                        const std::vector<std::string>& flags) {
  return compile(name, source, flags);
}

}  // namespace moddev::testing
