// One daemon a history: a lock file beside the journal (flock(2): the kernel lets go of it however the daemon
// ends). The same file is a second witness of how far the history had come, kept outside of it: a journal
// that lost its end (a damaged log, an old copy put back) is then noticed instead of giving numbers twice.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev::daemon {

class JournalLock {
 public:
  /// A lock that is none, for a journal in memory.
  JournalLock() = default;
  ~JournalLock();
  JournalLock(JournalLock&& other) noexcept;
  JournalLock& operator=(JournalLock&& other) noexcept;

  /// Locks `<journal>.lock`, which is made when missing; waits for a daemon that is going (file_lock.h).
  /// Errors: kUnavailable with the holder's pid, kIo.
  static Result<JournalLock> take(const std::filesystem::path& journal);

  /// Whether a daemon held this lock before, so that there should be a history.
  [[nodiscard]] bool used_before() const { return used_before_; }
  /// The newest epoch that was witnessed, 0 when none was.
  [[nodiscard]] Epoch witnessed() const { return witnessed_; }
  /// To be called once an epoch is recorded and before anyone hears of it: one small write(2). It cannot fail
  /// in a way that matters: the journal is the memory, this is only its witness.
  void witness(Epoch head);

 private:
  int descriptor_ = -1;
  bool used_before_ = false;
  Epoch witnessed_ = 0;
};

}  // namespace moddev::daemon
