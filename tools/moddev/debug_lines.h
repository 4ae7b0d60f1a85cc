// From an address in a library to function, file and line, by its debug information: libdw (elfutils) behind
// one small type. It reads one file; which file is meant is retained_files.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace moddev::tools {

struct SourceFrame {
  std::string function;  // as in the source; empty: unknown
  std::string file;      // empty: unknown
  int line = 0;          // 0: unknown
  int column = 0;
  bool inlined = false;  // into the one that follows
};

class DebugFile {
 public:
  /// Separate debug information is found as gdb finds it (build-id or debuglink, on this machine). Errors:
  /// kIo, kUnsupported.
  static Result<std::unique_ptr<DebugFile>> open(const std::string& path);
  ~DebugFile();
  DebugFile(const DebugFile&) = delete;
  DebugFile& operator=(const DebugFile&) = delete;

  /// Innermost first. `address` is the library's own, as objdump shows it. Empty when no function is there.
  [[nodiscard]] std::vector<SourceFrame> frames_at(std::uint64_t address) const;
  /// Where a function begins.
  [[nodiscard]] std::optional<std::uint64_t> address_of(const std::string& symbol) const;
  /// Whether there is debug information at all; without it only exported functions are known.
  [[nodiscard]] bool has_debug_information() const;

 private:
  struct State;
  explicit DebugFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moddev::tools
