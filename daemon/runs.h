// What executors tell of their runs, from the message until the journal has it. Takes in only what can be
// true: of modules and versions that were published, in numbers that can be added up. Values only: it reads
// no clock and does not write.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/journal.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::daemon {

class RunLedger {
 public:
  /// `executor` is a member. Numbers that are lower than before are older ones. Beyond
  /// limits::kWaitingRunRecords, and limits::kWaitingRunsOfOne of one executor, what is new is left out: it
  /// is told again as soon as it has changed.
  void take(const ExecutorIdentity& executor, std::span<const RunReport> told, const LastVersions& published,
            TimePoint now, WallTime wall);
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  /// When what waits shall be written; kNever when nothing does.
  [[nodiscard]] TimePoint due() const { return waiting_.empty() ? kNever : due_; }
  /// At most `most`; they do not wait any more.
  [[nodiscard]] std::vector<RunRecord> take_some(std::size_t most);
  /// They could not be written: they wait again.
  void not_written(std::vector<RunRecord> records, TimePoint now);

 private:
  struct Key {
    Uuid executor;
    std::string module;
    Version version = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  void merge(const ExecutorIdentity& executor, RunReport run, WallTime told_at);

  std::map<Key, RunRecord> waiting_;
  std::map<Uuid, std::size_t> waiting_of_one_;
  TimePoint due_ = kNever;
};

}  // namespace moddev::daemon
