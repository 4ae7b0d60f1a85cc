// Ctrl-C and SIGTERM as something to wait for, so that a command ends in good order.
#pragma once

#include <chrono>
#include <csignal>
#include <memory>

#include "protocol/result.h"

namespace moddev::tools {

/// SIGINT and SIGTERM are blocked in the calling thread, and in those that it starts, for as long as this
/// exists: make it before other threads.
class Interrupt {
 public:
  /// Errors: kIo when descriptors are used up.
  static Result<std::unique_ptr<Interrupt>> create();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Waits until a signal came (true) or for so long (false).
  [[nodiscard]] bool within(std::chrono::nanoseconds patience) const;
  /// Readable when a signal came.
  [[nodiscard]] int descriptor() const { return descriptor_; }

 private:
  Interrupt(int descriptor, const sigset_t& before) : descriptor_(descriptor), before_(before) {}
  int descriptor_;
  sigset_t before_;
};

}  // namespace moddev::tools
