#include "tools/moddev/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace moddev::tools {

Result<std::unique_ptr<Interrupt>> Interrupt::create() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigset_t before;
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, &before); error != 0) {
    return errno_error("Cannot block signals", error);
  }
  const int descriptor = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) {
    const int error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return errno_error("Cannot make a signalfd", error);
  }
  return std::unique_ptr<Interrupt>(new Interrupt(descriptor, before));
}

Interrupt::~Interrupt() {
  signalfd_siginfo info{};
  // What came is taken, so that unblocking does not end the process with it.
  while (::read(descriptor_, &info, sizeof info) > 0) {
  }
  ::close(descriptor_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interrupt::within(std::chrono::nanoseconds patience) const {
  pollfd polled{descriptor_, POLLIN, 0};
  const auto left = patience.count();
  const timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
  return ::ppoll(&polled, 1, &timeout, nullptr) > 0;
}

}  // namespace moddev::tools
