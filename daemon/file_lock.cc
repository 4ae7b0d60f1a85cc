#include "daemon/file_lock.h"

#include <poll.h>
#include <sys/file.h>

#include <cerrno>

#include "daemon/limits.h"

namespace moddev::daemon {

bool lock_file(int descriptor) {
  for (auto left = limits::kHandover;; left -= limits::kHandoverPause) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || left <= limits::kHandoverPause.zero()) return false;
    ::poll(nullptr, 0, static_cast<int>(limits::kHandoverPause.count()));
    errno = EWOULDBLOCK;
  }
}

}  // namespace moddev::daemon
