// Finds in one line of a backtrace which place in which file it speaks of. Knows the forms of glibc's
// backtrace_symbols(), of the sanitizers, and the common PATH+0xOFFSET. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace moddev::tools {

/// A longer line is passed on as it is.
inline constexpr std::size_t kMostLineBytes = 64UL * 1024;

struct PlaceInFile {
  std::string path;
  /// The offset is from this symbol; empty: from the beginning of the library.
  std::string symbol;
  std::uint64_t offset = 0;
  /// Hexadecimal, when the line has it.
  std::string build_id;
  /// It is where a call returns to, one behind the call.
  bool is_return_address = false;
  friend bool operator==(const PlaceInFile&, const PlaceInFile&) = default;
};

///   /run/.../libscorer.1a2b.so(+0x1139) [0x7f00de001139]        backtrace_symbols()
///   /run/.../libscorer.1a2b.so(score+0x9) [0x7f00de001139]      the same, exported function
///   #1 0x7f00de001139 (/run/.../libscorer.1a2b.so+0x1139) (BuildId: 3f2a...)
///   anything /run/.../libscorer.1a2b.so+0x1139 anything
[[nodiscard]] std::optional<PlaceInFile> read_backtrace_line(std::string_view line);

/// "1139" or "0x1139".
[[nodiscard]] std::optional<std::uint64_t> read_address(std::string_view text);

}  // namespace moddev::tools
