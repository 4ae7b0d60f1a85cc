#include "client/src/trials.h"

#include <signal.h>
#include <string.h>

#include <cstdio>
#include <utility>
#include <vector>

namespace moddev {
namespace {

std::string seconds_of(std::chrono::milliseconds time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g s", static_cast<double>(time.count()) / 1000.0);
  return text.data();
}

std::string name_of_signal(int number) {
  const char* const abbreviation = ::sigabbrev_np(number);
  return "signal " + std::to_string(number) +
         (abbreviation == nullptr ? "" : " (SIG" + std::string(abbreviation) + ")");
}

}  // namespace

std::string explain_trial(const TrialEnd& end, std::chrono::milliseconds patience) {
  const std::string whose = end.closing ? "its static destructors" : "its static initialisers";
  std::string what;
  switch (end.kind) {
    case TrialEnd::Kind::kPassed:
    case TrialEnd::Kind::kNotTried:
      return "";
    case TrialEnd::Kind::kThrew:
      what = whose + " threw: " + end.text;
      break;
    case TrialEnd::Kind::kSignal:
      what = whose + " ended the process: " + name_of_signal(end.number);
      break;
    case TrialEnd::Kind::kExit:
      what = whose + " ended the process: " +
             (end.number < 0 ? "they called exit()" : "exit code " + std::to_string(end.number));
      break;
    case TrialEnd::Kind::kHung:
      what = whose + " did not end within " + seconds_of(patience);
      break;
  }
  return what +
         ". That was a trial in a child process: this one goes on with what it has, and tries again "
         "when the bytes change.";
}

void Trials::remember(const Digest& closure, std::string reason) {
  if (!known_.try_emplace(closure, std::move(reason)).second) return;
  order_.push_back(closure);
  if (order_.size() <= kTrialsRemembered) return;
  known_.erase(order_.front());
  order_.pop_front();
}

std::optional<Trials::Refusal> Trials::first_refusal(std::span<const TrialCandidate> candidates) {
  if (!options_.enabled) return std::nullopt;
  std::vector<TrialImage> images;
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto known = known_.find(candidates[i].closure);
    if (known == known_.end()) {
      images.push_back(candidates[i].image);
      whose.push_back(i);
    } else if (!known->second.empty()) {
      return Refusal{i, known->second};
    }
  }
  if (images.empty()) return std::nullopt;
  const TrialEnd end = stopped_ ? TrialEnd{} : run_trial(images, options_.patience, stopped_);
  // It may be the trial that was waited for too long: what hangs there would hang here.
  if (stopped_) return Refusal{whose.front(), "the client has ended before it was tried"};
  if (end.kind == TrialEnd::Kind::kPassed) {
    for (const std::size_t i : whose) remember(candidates[i].closure, "");
    return std::nullopt;
  }
  std::string reason = explain_trial(end, options_.patience);
  if (reason.empty()) return std::nullopt;
  const std::size_t found = whose[end.image];
  // SIGKILL comes from outside, when memory is short for one: that says nothing about the next time.
  if (end.kind != TrialEnd::Kind::kSignal || end.number != SIGKILL)
    remember(candidates[found].closure, reason);
  return Refusal{found, std::move(reason)};
}

}  // namespace moddev
