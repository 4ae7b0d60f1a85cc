// The module that a benchmark rebuilds: a library whose answer is a number in its bytes, put into a watched
// directory in the ways that linkers do it.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/bench/world/board.h"

namespace moddev::bench {

struct Size {
  const char* name;
  const char* library;
};
inline constexpr Size kSizes[] = {{"4 KiB", MODDEV_BENCH_MODULE_4K}, {"64 KiB", MODDEV_BENCH_MODULE_64K}};

[[noreturn]] inline void give_up(const std::string& why) {
  std::fprintf(stderr, "edit_to_live: %s\n", why.c_str());
  std::exit(1);
}

/// The bytes of a library whose answer can be chosen.
class Module {
 public:
  explicit Module(const std::string& library) {
    std::ifstream file(library, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    constexpr std::uint64_t kMarker = 0x6D6F646465765F61;
    const std::string marker(reinterpret_cast<const char*>(&kMarker), sizeof kMarker);
    at_ = bytes_.find(marker);
    if (at_ == std::string::npos || bytes_.find(marker, at_ + 1) != std::string::npos)
      give_up(library + " does not hold the answer exactly once");
  }
  const std::string& with_answer(std::int64_t answer) {
    std::memcpy(bytes_.data() + at_, &answer, sizeof answer);
    return bytes_;
  }

 private:
  std::string bytes_;
  std::size_t at_;
};

/// Writes all but the last step. Returns the descriptor.
inline int write_open(const std::string& path, const std::string& bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  if (file < 0 || ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
    give_up("cannot write " + path);
  return file;
}

enum class Style : std::uint8_t { kRename, kClose };

/// Puts the file there like lld and mold (rename) or ld and cp (close); returns the moment before the last
/// step.
inline std::int64_t put(const std::string& directory, const std::string& name, const std::string& bytes,
                        Style style) {
  const std::string path = directory + "/" + name;
  if (style == Style::kClose) {
    ::unlink(path.c_str());
    const int file = write_open(path, bytes);
    const std::int64_t begin = monotonic_ns();
    ::close(file);
    return begin;
  }
  const std::string temporary = directory + "/../" + name + ".new";
  ::close(write_open(temporary, bytes));
  const std::int64_t begin = monotonic_ns();
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up("cannot rename " + temporary);
  return begin;
}

}  // namespace moddev::bench
