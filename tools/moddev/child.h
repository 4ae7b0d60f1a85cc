// A command as a child process whose input, output and signals pass through: as if it had been started in our
// place.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "tools/moddev/interrupt.h"

namespace moddev::tools {

class Child {
 public:
  /// `interrupt` must outlive it. Errors: kNotFound when there is no such program; kPermission when it cannot
  /// be executed; kIo.
  static Result<std::unique_ptr<Child>> start(const std::vector<std::string>& command,
                                              const Interrupt& interrupt);
  /// Waits for its end, if need be: a child is never left behind.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Waits for its end, or for so long. Signals that come to us alone are passed on (Ctrl-C comes to both).
  /// The exit code; 128 + N when signal N ended it.
  [[nodiscard]] std::optional<int> ended_within(std::chrono::nanoseconds patience);

 private:
  Child(pid_t pid, int descriptor, const Interrupt& interrupt)
      : pid_(pid), descriptor_(descriptor), interrupt_(interrupt) {}
  pid_t pid_;
  int descriptor_;  // readable when it has ended
  const Interrupt& interrupt_;
};

/// Becomes the command. Returns only when that is not possible, with the reason.
[[nodiscard]] Error become(const std::vector<std::string>& command);

/// The exit code of a shell for a command that could not be started: 127, 126 or 1.
[[nodiscard]] int exit_code_of(const Error& not_started);

}  // namespace moddev::tools
