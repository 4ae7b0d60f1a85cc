// What happens to executors shortly after they switched to the newest epoch: who began to run it, and who
// died of it. Values in, values out; that somebody died is the fleet's to find out, what follows the
// daemon's.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"
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
  void runs(const ExecutorIdentity& executor, Epoch epoch, TimePoint now);
  /// It is gone without a word, and was heard last at `heard`. Another of its name and host that began later
  /// is taken for the same one, started again: it may die as well, and is no further executor.
  void died(const ExecutorIdentity& executor, TimePoint heard);
  /// It was given up too early.
  void lives(const Uuid& executor);

  /// Why the epoch should be taken back, for a person: once, when there is reason to.
  [[nodiscard]] std::optional<std::string> verdict();

 private:
  struct Runner {
    std::string name;
    std::string host;
    TimePoint since{};
    bool dead = false;
    std::optional<Uuid> replaces{};
  };
  Duration within_;
  Epoch epoch_ = 0;  // 0: nothing is watched
  TimePoint until_{};
  std::map<Uuid, Runner> runners_;
  /// The same by name and host, those that began last at the end.
  std::map<std::pair<std::string, std::string>, std::vector<std::pair<TimePoint, Uuid>>> places_;
  std::size_t deaths_ = 0;
  std::size_t replacements_ = 0;       // of the runners
  std::size_t dead_replacements_ = 0;  // of these
};

}  // namespace moddev::daemon
