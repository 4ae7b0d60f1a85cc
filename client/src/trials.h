// Which contents have been tried in a child process before they were loaded into this one for the first time,
// and what became of them. A content that ended its trial badly is in quarantine: it is refused with the
// same reason, without being tried again, until its bytes or those of what it needs change, or a client is
// made without trials. How a trial is made is trial_process.h's business.
//
// What passed is remembered for this loader only. It would be unsound to leave a note of it for the other
// processes of the host: initialisers see the program that they are in, its arguments and its environment,
// and one that is well in one program may end another.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "client/src/trial_process.h"
#include "protocol/digest.h"

namespace moddev {

/// Initialisers (or destructors) that take longer count as hanging.
inline constexpr auto kTrialPatience = std::chrono::milliseconds(5'000);
/// Contents whose trial is remembered. The oldest are forgotten beyond, and would be tried again.
inline constexpr std::size_t kTrialsRemembered = 4096;

struct TrialOptions {
  bool enabled = true;
  std::chrono::milliseconds patience = kTrialPatience;
};

/// An image whose author's code runs while it is loaded.
struct TrialCandidate {
  /// Of the module and all that it needs.
  Digest closure;
  TrialImage image;
};

class Trials {
 public:
  explicit Trials(TrialOptions options = {}) : options_(options) {}

  struct Refusal {
    std::size_t candidate = 0;
    std::string reason;
  };
  /// The first of the candidates, which are in the order of loading, that must not be loaded. Tries, in one
  /// child, those that were not tried before. Nothing is refused that could not be tried. May take as long as
  /// the patience; stop() ends it sooner.
  [[nodiscard]] std::optional<Refusal> first_refusal(std::span<const TrialCandidate> candidates);
  /// From any thread: the trial that is under way ends, and what was not tried by then is refused.
  void stop() { stopped_ = true; }

 private:
  void remember(const Digest& closure, std::string reason);

  const TrialOptions options_;
  std::atomic<bool> stopped_ = false;
  std::map<Digest, std::string> known_;  // with the reason; empty: passed
  std::deque<Digest> order_;             // of known_, oldest first
};

/// For the developer: what happened, and that it was only a trial. Empty when nothing speaks against the
/// image.
[[nodiscard]] std::string explain_trial(const TrialEnd& end, std::chrono::milliseconds patience);

}  // namespace moddev
