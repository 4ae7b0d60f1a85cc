// What happens to executors shortly after they switched to the newest epoch: who began to run it, and who
// died of it. Values in, values out; that somebody died is the fleet's to find out, what follows the
// daemon's.
//
// A death alone says little: programs are restarted by hand and by supervisors. One that ended once and is
// there again under its name, and lives, speaks for the content; one that died twice, or died and does not
// come back, against it.
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

  /// One that was not there joined: perhaps in place of one of its name and host that died.
  void joined(const ExecutorIdentity& executor, TimePoint now);
  /// An executor, a member since `joined`, runs `epoch`, or says so again.
  void runs(const ExecutorIdentity& executor, TimePoint joined, Epoch epoch, TimePoint now);
  /// It is gone without a word, and was heard last at `heard`.
  void died(const ExecutorIdentity& executor, TimePoint heard, TimePoint now);
  /// It was given up too early.
  void lives(const Uuid& executor);

  /// Why the epoch should be taken back, for a person: once, when there is reason to.
  [[nodiscard]] std::optional<std::string> verdict(TimePoint now);
  /// When to ask for a verdict again although nothing happens; kNever: not.
  [[nodiscard]] TimePoint due() const { return epoch_ == 0 ? kNever : due_; }

 private:
  struct Runner {
    std::string name;
    std::string host;
    TimePoint since{};
    bool newcomer = false;  // joined when the epoch was live already
    bool dead = false;
    TimePoint noticed{};  // when dead
    std::optional<Uuid> replaces{};
    std::optional<Uuid> replaced_by{};
  };
  using Runners = std::map<Uuid, Runner>;

  [[nodiscard]] bool watches(TimePoint now) const { return epoch_ != 0 && now < until_; }
  void add(const ExecutorIdentity& executor, bool newcomer, TimePoint now);
  /// The dead one whose place a newcomer can have taken: that died first; null: none.
  [[nodiscard]] Runners::value_type* dead_without_successor(const ExecutorIdentity& newcomer);
  /// The newcomer that can have taken this one's place.
  [[nodiscard]] Runners::value_type* successor_of(const Runner& dead);
  static void pair(Runners::value_type& former, Runners::value_type& successor);

  Duration within_;
  Epoch epoch_ = 0;  // 0: nothing is watched
  TimePoint begun_{};
  TimePoint until_{};
  TimePoint due_ = kNever;
  Runners runners_;
  /// The same by name and host, in the order in which they began.
  std::map<std::pair<std::string, std::string>, std::vector<Uuid>> places_;
  std::size_t deaths_ = 0;
};

}  // namespace moddev::daemon
