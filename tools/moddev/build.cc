// `moddev build -- COMMAND...`: runs a build as a barrier. All that it changes is one changeset when it
// succeeds, and nothing when it fails. Its output and its exit code pass through, but for a success whose
// changes are refused or cannot be published: that is a failure. What we have to say goes to
// standard error. Without a daemon the command runs all the same: nobody's build depends on us.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/child.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
#include "tools/moddev/outcome.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// A renewal that is not answered so soon is tried again when the next one is due.
constexpr auto kRenewPatience = std::chrono::seconds(1);
/// More than the daemon takes before it gives up waiting for the executors by itself.
constexpr auto kEndPatience = std::chrono::seconds(75);
constexpr Duration kShortestLease = std::chrono::milliseconds(30);

struct BuildFlags {
  std::vector<std::string> command;
  std::string endpoint;
};

/// Held in the daemon for as long as the command runs.
class Barrier {
 public:
  /// Errors: those of the daemon.
  static Result<Barrier> begin(std::unique_ptr<client::Requester> daemon) {
    Barrier barrier(std::move(daemon));
    const auto begun = barrier.ask(BuildAction::kBegin, false, kAnswerPatience);
    if (!begun) return begun.error();
    barrier.lease_ = std::max<Duration>(kShortestLease, std::chrono::milliseconds(begun->lease_ms));
    return barrier;
  }

  [[nodiscard]] Duration renew_after() const { return lease_ / 3; }
  void renew() {
    const auto renewed = ask(BuildAction::kRenew, false, kRenewPatience);
    // Told once; a daemon that comes back goes on with the barrier.
    if (!renewed && !std::exchange(silent_, true)) {
      mention(renewed.error().message + " The build goes on; a part of it may be published early.");
    }
    if (renewed) silent_ = false;
  }
  /// Why executors refused the epoch, as far as the daemon tells.
  [[nodiscard]] std::string why_refused(Epoch epoch) { return tools::why_refused(*daemon_, epoch); }
  Result<BuildReply> end(bool success) { return ask(BuildAction::kEnd, success, kEndPatience); }

 private:
  explicit Barrier(std::unique_ptr<client::Requester> daemon) : daemon_(std::move(daemon)) {}
  Result<BuildReply> ask(BuildAction action, bool success, std::chrono::milliseconds patience) {
    return daemon_->ask_for<BuildReply>(BuildRequest{action, id_, success}, patience);
  }

  std::unique_ptr<client::Requester> daemon_;
  Uuid id_ = Uuid::random();
  Duration lease_{};
  bool silent_ = false;
};

/// Ends the barrier. Returns whether the build was a success for the executors too.
bool end_build(Barrier& barrier, bool success) {
  const Result<BuildReply> end = barrier.end(success);
  if (!end) {
    mention(end.error().message +
            (success ? " What was built may not be live; ask with `moddev refresh`." : ""));
    return true;  // nobody's build depends on us
  }
  const std::string files = counted(end->files, "file");
  const Epoch refused = success ? refused_epoch(*end) : 0;
  const bool unpublished = success && complain_unpublished(end->unpublished, end->unpublished_files);
  if (!success) {
    if (end->files > 0)
      mention("The build failed: " + files + " that it changed stay unpublished until they change again.");
  } else if (refused != 0) {
    complain("Epoch " + std::to_string(refused) + " was refused by an executor, and epoch " +
             std::to_string(end->committed_epoch) + " stays live." + barrier.why_refused(refused));
  } else if (end->files > 0 && !unpublished) {
    mention(files + " went out together: epoch " + std::to_string(end->committed_epoch) + " is live.");
  }
  if (!end->unbroken)
    mention("The barrier was lost for a while, so that a part of the build may have been published early.");
  return refused == 0 && !unpublished;
}

int run_plain(const std::vector<std::string>& command) {
  const Error error = become(command);
  complain(error.message);
  return exit_code_of(error);
}

int run_build(const BuildFlags& flags) {
  auto interrupt = Interrupt::create();
  if (!interrupt) return failed(interrupt.error());
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon && daemon.error().code == ErrorCode::kInvalidArgument) return failed(daemon.error());
  std::optional<Barrier> barrier;
  if (daemon) {
    auto begun = Barrier::begin(std::move(*daemon));
    if (begun) {
      barrier.emplace(std::move(*begun));
    } else {
      mention(begun.error().message + " The command runs without a barrier.");
    }
  } else {
    mention(daemon.error().message + " The command runs without a barrier.");
  }
  if (!barrier) {
    interrupt->reset();
    return run_plain(flags.command);
  }

  auto child = Child::start(flags.command, **interrupt);
  if (!child) {
    (void)barrier->end(false);
    complain(child.error().message);
    return exit_code_of(child.error());
  }
  std::optional<int> exit_code;
  while (!exit_code) {
    exit_code = (*child)->ended_within(barrier->renew_after());
    if (!exit_code) barrier->renew();
  }
  const bool live = end_build(*barrier, *exit_code == 0);
  return *exit_code == 0 && !live ? kFailed : *exit_code;
}

}  // namespace

void add_build(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<BuildFlags>();
  CLI::App* command =
      program.add_subcommand("build", "Run a build: all that it changes goes live together, or not at all");
  command->add_option("COMMAND", flags->command, "The build's command, after --")->required()->type_name("");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->positionals_at_end();
  command->callback([flags, &chosen] { chosen = [flags] { return run_build(*flags); }; });
}

}  // namespace moddev::tools
