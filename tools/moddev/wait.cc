// `moddev wait --epoch N | --live`: for scripts that go on when the fleet runs the new code.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/wait_goal.h"

namespace moddev::tools {
namespace {

/// Between two looks: from the first to the last, doubling.
constexpr Duration kLookFirst = std::chrono::milliseconds(5);
constexpr Duration kLookLast = std::chrono::milliseconds(100);

struct WaitFlags {
  Epoch epoch = 0;
  bool live = false;
  double timeout_s = 60;
  std::string endpoint;
};

/// A short --timeout is time enough to look once.
constexpr Duration kFirstLook = std::chrono::seconds(1);

/// What is left until `deadline`, but not longer than any answer may take.
std::chrono::milliseconds patience_until(TimePoint deadline, TimePoint now) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(deadline - now, Duration::zero()));
  return std::min<std::chrono::milliseconds>(left, kAnswerPatience);
}

/// What became of epochs, asked for anew when something has been decided since.
class PastEpochs {
 public:
  /// From the newest down to `oldest`, at most kEpochsLookedBack; empty where the daemon does not tell.
  const std::vector<HistoryEntry>& back_to(Epoch oldest, const StatusReply& status, bool pending,
                                           client::Requester& daemon, Clock& clock, TimePoint deadline) {
    const State now{status.epoch, status.committed_epoch, status.refused, oldest, pending};
    if (now == of_) return entries_;
    entries_.clear();
    HistoryRequest request;
    request.limit = status.epoch - oldest + 1;
    for (bool more = oldest != 0; more && entries_.size() < kEpochsLookedBack;) {
      const auto reply = daemon.ask_for<HistoryReply>(request, patience_until(deadline, clock.now()));
      if (!reply || reply->entries.empty()) return entries_;
      entries_.insert(entries_.end(), reply->entries.begin(), reply->entries.end());
      request.before = entries_.back().epoch;
      request.limit = request.before - oldest;
      more = reply->more && request.before > oldest;
    }
    of_ = now;
    return entries_;
  }

 private:
  static constexpr std::size_t kEpochsLookedBack = 1000;
  struct State {
    Epoch epoch = 0;
    Epoch committed = 0;
    Epoch refused = 0;
    Epoch oldest = 0;
    bool pending = false;
    friend bool operator==(const State&, const State&) = default;
  };
  std::optional<State> of_;
  std::vector<HistoryEntry> entries_;
};

/// Asks once, until `deadline`. A daemon that is not there (any more) is waited for as well: its error.
Result<WaitOutcome> look(std::unique_ptr<client::Requester>& daemon, PastEpochs& past, const WaitFlags& flags,
                         Clock& clock, TimePoint deadline) {
  if (!daemon) {
    auto found = reach_daemon(flags.endpoint, patience_until(deadline, clock.now()));
    if (!found) return found.error();
    daemon = std::move(*found);
    past = {};  // perhaps another history
  }
  // The pending epoch first: if it is decided in between, the status tells, and nothing looks refused.
  const auto snapshot =
      daemon->ask_for<SnapshotReply>(SnapshotRequest{}, patience_until(deadline, clock.now()));
  if (!snapshot) return daemon.reset(), snapshot.error();
  const auto status = daemon->ask_for<StatusReply>(StatusRequest{}, patience_until(deadline, clock.now()));
  if (!status) return daemon.reset(), status.error();
  const bool pending = snapshot->pending.has_value();
  const WaitGoal goal{flags.epoch};
  return judge(*status, pending,
               past.back_to(oldest_needed(*status, goal), *status, pending, *daemon, clock, deadline), goal);
}

bool may_come_yet(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout;
}

int run_wait(const WaitFlags& flags) {
  if (flags.live == (flags.epoch != 0)) {
    complain("Say what to wait for: either --epoch N or --live. See `moddev wait --help`.");
    return kWrongUsage;
  }
  auto interrupt = Interrupt::create();
  if (!interrupt) return failed(interrupt.error());

  SystemClock clock;
  const TimePoint begin = clock.now();
  const TimePoint deadline =
      begin + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(flags.timeout_s));
  std::unique_ptr<client::Requester> daemon;
  PastEpochs past;
  std::string missing;
  Duration pause = kLookFirst;
  for (;;) {
    const bool first = missing.empty();
    const TimePoint until = std::max(deadline, begin + kFirstLook);
    const auto outcome = look(daemon, past, flags, clock, first ? until : deadline);
    // What is wrong for good is not waited for.
    if (!outcome && first && !may_come_yet(outcome.error())) return failed(outcome.error());
    if (outcome && outcome->kind == WaitOutcome::Kind::kReached) return answered(outcome->text + "\n");
    if (outcome && outcome->kind == WaitOutcome::Kind::kRefused) {
      complain(outcome->text);
      return kFailed;
    }
    const Duration left = deadline - clock.now();
    // The last look is cut short by the deadline: that is not what is missing.
    if (outcome) missing = outcome->text;
    if (!outcome && (first || left > Duration::zero())) missing = outcome.error().message;
    if (left <= Duration::zero()) {
      complain("Not within the time of --timeout: " + missing + (missing.ends_with('.') ? "" : "."));
      return kFailed;
    }
    if ((*interrupt)->within(std::min(left, pause))) return kFailed;
    pause = std::min(pause * 2, kLookLast);
  }
}

}  // namespace

void add_wait(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<WaitFlags>();
  CLI::App* command =
      program.add_subcommand("wait", "Return when every executor runs an epoch; the exit code tells");
  command
      ->add_option(
          "--epoch", flags->epoch,
          "This epoch, or a newer one that builds on it: 0. It was refused, an executor cannot use it, or "
          "a return or a rollback took it back: 1 at once, with the reason")
      ->type_name("N")
      ->transform(whole_number(1));
  command->add_flag(
      "--live", flags->live,
      "The newest epoch: 0, also when no executor is there, or when what was refused is undone. What the "
      "directory holds is refused, an executor cannot use it, or some died of it: 1 at once, with "
      "the reason");
  command->add_option("--timeout", flags->timeout_s, "Give up after so long, with 1 [60]")
      ->type_name("SECONDS")
      ->transform(seconds(0, 10'000'000));
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_wait(*flags); }; });
}

}  // namespace moddev::tools
