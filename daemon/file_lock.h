// flock(2) with a little patience: a daemon that was just killed, or told to stop, holds its locks until the
// kernel has taken it apart, and the one that is started in its place must not fail for that.
#pragma once

namespace moddev::daemon {

/// Whether `descriptor` is locked for this process alone now. Waits for limits::kHandover at most; blocks. On
/// false, errno is EWOULDBLOCK when somebody else keeps the lock.
[[nodiscard]] bool lock_file(int descriptor);

}  // namespace moddev::daemon
