// `moddev wait --epoch N | --live`: for scripts that go on when the fleet runs the new code.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
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

/// Asks once. A daemon that is not there (any more) is waited for as well.
WaitOutcome look(std::unique_ptr<client::Requester>& daemon, const WaitFlags& flags) {
  if (!daemon) {
    auto found = reach_daemon(flags.endpoint);
    if (!found) return {WaitOutcome::Kind::kNotYet, found.error().message};
    daemon = std::move(*found);
  }
  // The pending epoch first: if it is decided in between, the status tells, and nothing looks refused.
  const auto snapshot = daemon->ask_for<SnapshotReply>(SnapshotRequest{}, kAnswerPatience);
  const auto status = daemon->ask_for<StatusReply>(StatusRequest{}, kAnswerPatience);
  if (snapshot && status) return judge(*status, snapshot->pending.has_value(), {flags.epoch});
  daemon.reset();
  return {WaitOutcome::Kind::kNotYet, (snapshot ? status.error() : snapshot.error()).message};
}

int run_wait(const WaitFlags& flags) {
  if (flags.live == (flags.epoch != 0)) {
    complain("Say what to wait for: either --epoch N or --live. See `moddev wait --help`.");
    return kWrongUsage;
  }
  auto interrupt = Interrupt::create();
  if (!interrupt) return failed(interrupt.error());
  // What is wrong for good is not waited for.
  auto reached = reach_daemon(flags.endpoint);
  if (!reached && reached.error().code != ErrorCode::kUnavailable &&
      reached.error().code != ErrorCode::kTimeout) {
    return failed(reached.error());
  }
  std::unique_ptr<client::Requester> daemon;
  if (reached) daemon = std::move(*reached);

  SystemClock clock;
  const TimePoint deadline =
      clock.now() + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(flags.timeout_s));
  Duration pause = kLookFirst;
  for (;;) {
    const WaitOutcome outcome = look(daemon, flags);
    if (outcome.kind == WaitOutcome::Kind::kReached) {
      return answered(outcome.text + "\n");
    }
    if (outcome.kind == WaitOutcome::Kind::kRefused) {
      complain(outcome.text + ". `moddev watch` said why; a change of the files makes the next epoch.");
      return kFailed;
    }
    const Duration left = deadline - clock.now();
    if (left <= Duration::zero()) {
      complain("Not within the time of --timeout: " + outcome.text +
               (outcome.text.ends_with('.') ? "" : "."));
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
  command->add_option("--epoch", flags->epoch, "This epoch or a newer one")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command->add_flag("--live", flags->live, "The newest epoch there is");
  command->add_option("--timeout", flags->timeout_s, "Give up after so long [60]")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e7));
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_wait(*flags); }; });
}

}  // namespace moddev::tools
