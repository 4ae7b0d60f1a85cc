// One daemon an endpoint. A file beside the socket is locked (flock(2)) for as long as the daemon lives; the
// kernel lets go of it however the daemon ends, so a lock tells a living daemon from a stale socket.
#pragma once

#include <memory>
#include <string>

#include "protocol/result.h"

namespace moddev::daemon {

class EndpointLock {
 public:
  /// Makes the socket's directory if need be, checks that it is private, locks `socket_path + ".lock"` and
  /// removes a stale socket. Waits for a daemon that is going (file_lock.h). Errors: kAlreadyExists when
  /// another one keeps it, with its pid; kPermission when others could put files there; kConflict when a file
  /// that is no socket is in the way; kIo.
  static Result<EndpointLock> take(const std::string& socket_path);
  EndpointLock(EndpointLock&& other) noexcept;
  EndpointLock& operator=(EndpointLock&& other) noexcept;
  /// Removes the socket files, then lets go. The lock file stays: removing it would race with the next
  /// daemon.
  ~EndpointLock();

 private:
  EndpointLock(int descriptor, std::string socket_path);
  int descriptor_ = -1;
  std::string socket_path_;
};

}  // namespace moddev::daemon
