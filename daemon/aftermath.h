// What happens to executors shortly after they switched to the newest epoch: who began to run it, and who
// died of it. Values in, values out; that somebody died is the fleet's to find out, what follows the
// daemon's.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/uuid.h"

namespace moddev::daemon {

class Aftermath {
 public:
  /// `within`: a death so shortly after the switch counts. Zero: none does.
  explicit Aftermath(Duration within) : within_(within) {}

  /// `epoch` is live from now on. Whatever was watched before is over.
  void begin(Epoch epoch, TimePoint now);
  /// Nothing is watched any more.
  void end() { epoch_ = 0; }

  /// An executor runs `epoch`, or says so again.
  void runs(const Uuid& executor, Epoch epoch, TimePoint now);
  /// It is gone without a word, and was heard last at `heard`.
  void died(const Uuid& executor, const std::string& name, TimePoint heard);
  /// It was given up too early.
  void lives(const Uuid& executor);

  /// Why the epoch should be taken back, for a person: once, when there is reason to.
  [[nodiscard]] std::optional<std::string> verdict();

 private:
  struct Runner {
    TimePoint since{};
    std::string died;  // its name, when it did
  };
  Duration within_;
  Epoch epoch_ = 0;  // 0: nothing is watched
  TimePoint until_{};
  std::map<Uuid, Runner> runners_;
  std::size_t dead_ = 0;  // of them
};

}  // namespace moddev::daemon
