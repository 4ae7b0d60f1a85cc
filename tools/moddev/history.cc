// `moddev history`, `moddev stats`, `moddev diff` and `moddev rollback`: looking at what was, and going back
// to it.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/clock.h"
#include "protocol/uuid.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/history_view.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/stats_view.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// More than the daemon waits for the executors (its kRefreshPatience), so that its reason is heard.
constexpr auto kRollbackPatience = std::chrono::seconds(75);

/// What `moddev stats` looks at: as many as are usually kept.
constexpr std::uint64_t kEpochsCounted = 1'000;

struct HistoryFlags {
  std::string module;
  std::uint64_t limit = 20;
  bool json = false;
  std::string endpoint;
};

struct DiffFlags {
  Epoch from = 0;
  std::optional<Epoch> to;
  bool json = false;
  std::string endpoint;
};

struct RollbackFlags {
  std::string module;
  std::uint64_t to = 0;
  bool json = false;
  std::string endpoint;
};

/// Asks until there are as many as wanted, or no more.
Result<HistoryReply> collect(client::Requester& daemon, const HistoryFlags& flags) {
  HistoryReply all;
  HistoryRequest request{flags.module, 0, flags.limit};
  for (;;) {
    auto reply = daemon.ask_for<HistoryReply>(request, kAnswerPatience);
    if (!reply) return reply.error();
    all.module = reply->module;
    all.more = reply->more;
    all.forgotten = reply->forgotten;
    for (HistoryEntry& entry : reply->entries) all.entries.push_back(std::move(entry));
    if (!reply->more || reply->entries.empty() || all.entries.size() >= flags.limit) return all;
    request = {reply->module, all.entries.back().epoch, flags.limit - all.entries.size()};
  }
}

int run_history(const HistoryFlags& flags) {
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  const auto history = collect(**daemon, flags);
  if (!history) return failed(explained(history.error(), ""));
  std::string text;
  if (flags.json) {
    for (const HistoryEntry& entry : history->entries) text += json_of(entry) + "\n";
  } else {
    text = history_text(history->entries, Palette::for_descriptor(STDOUT_FILENO));
    if (history->more) text += "There are older ones: --limit N shows more.\n";
    if (history->entries.empty() && history->forgotten == 0) text = "Nothing is published yet.\n";
    if (history->forgotten > 0 && !history->more) {
      text += "It goes back to epoch " + std::to_string(history->forgotten + 1) +
              "; what was before is not kept any more.\n";
    }
  }
  return answered(text);
}

/// All of them; none from a daemon that does not count runs yet.
Result<std::vector<ExecutorRuns>> collect_runs(client::Requester& daemon, const std::string& module) {
  std::vector<ExecutorRuns> all;
  RunsRequest request{module, 0};
  do {
    auto reply = daemon.ask_for<RunsReply>(request, kAnswerPatience);
    if (!reply && reply.error().code == ErrorCode::kUnsupported) return all;
    if (!reply) return reply.error();
    for (ExecutorRuns& one : reply->runs) all.push_back(std::move(one));
    // A daemon that would lead back and forth is not followed.
    request.skip = reply->next > request.skip ? reply->next : 0;
  } while (request.skip > 0);
  return all;
}

int run_stats(const HistoryFlags& flags) {
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  const auto history = collect(**daemon, flags);
  if (!history) return failed(explained(history.error(), ""));
  const auto runs = collect_runs(**daemon, history->module);
  if (!runs) return failed(explained(runs.error(), ""));
  std::vector<ModuleStats> stats = count_loads(history->entries, history->module);
  add_runs(stats, *runs);
  std::string text;
  if (flags.json) {
    for (const ModuleStats& one : stats) text += json_of(one) + "\n";
  } else {
    SystemClock clock;
    const Palette palette = Palette::for_descriptor(STDOUT_FILENO);
    text = stats.empty() ? "Nothing is published yet.\n" : stats_text(stats, palette, clock.wall_now());
    if (history->more)
      text +=
          "Loads are counted in the newest " + counted(flags.limit, "epoch") + "; --limit N counts more.\n";
    if (!history->module.empty() && !stats.empty()) {
      const std::string executors = executors_text(stats.front(), palette, clock.wall_now());
      if (!executors.empty()) text += "\n" + executors;
    }
  }
  return answered(text);
}

Result<Manifest> manifest_of(client::Requester& daemon, Epoch epoch) {
  auto reply = daemon.ask_for<ManifestReply>(ManifestRequest{epoch}, kAnswerPatience);
  if (!reply) return reply.error();
  return std::move(reply->manifest);
}

int run_diff(const DiffFlags& flags) {
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  const auto from = manifest_of(**daemon, flags.from);
  if (!from) return failed(explained(from.error(), ""));
  const Epoch other = flags.to.value_or((*daemon)->hello().committed_epoch);
  const auto to = manifest_of(**daemon, other);
  if (!to) return failed(explained(to.error(), ""));
  std::string text = flags.json ? json_of_diff(*from, *to) + "\n"
                                : diff_text(*from, *to, Palette::for_descriptor(STDOUT_FILENO));
  if (text.empty()) {
    text = "Epoch " + std::to_string(flags.from) + " and epoch " + std::to_string(other) + " are the same.\n";
  }
  return answered(text);
}

int run_rollback(const RollbackFlags& flags) {
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  const auto reply = (*daemon)->ask_for<RollbackReply>(
      RollbackRequest{flags.module, flags.to, Uuid::random()}, kRollbackPatience);
  if (!reply) return failed(explained(reply.error(), ""));
  return answered(flags.json ? json_of(*reply) + "\n" : rollback_text(*reply));
}

}  // namespace

void add_history(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<HistoryFlags>();
  CLI::App* command = program.add_subcommand("history", "Show what was changed when, and who applied it");
  command->add_option("MODULE", flags->module, "Only this module, or a part of its name that fits only one")
      ->type_name("");
  command->add_option("--limit", flags->limit, "At most so many epochs, newest first [20]")
      ->type_name("N")
      ->transform(whole_number(1));
  command->add_flag("--json", flags->json, "One JSON object a line for each epoch");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_history(*flags); }; });
}

void add_stats(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<HistoryFlags>();
  flags->limit = kEpochsCounted;
  CLI::App* command =
      program.add_subcommand("stats", "Count loads and runs: who, how often, how long, when last");
  command
      ->add_option(
          "MODULE", flags->module,
          "Only this module, or a part of its name that fits only one; with a line for each executor")
      ->type_name("");
  command->add_option("--limit", flags->limit, "Count loads in so many epochs, from the newest [1000]")
      ->type_name("N")
      ->transform(whole_number(1));
  command->add_flag("--json", flags->json, "One JSON object a line for each module");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_stats(*flags); }; });
}

void add_diff(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<DiffFlags>();
  CLI::App* command = program.add_subcommand("diff", "Show which modules differ between two epochs");
  command->add_option("FROM", flags->from, "An epoch; 0 is the empty beginning")
      ->required()
      ->type_name("")
      ->transform(whole_number(0));
  command->add_option("TO", flags->to, "Another one [the live epoch]")
      ->type_name("")
      ->transform(whole_number(0));
  command->add_flag("--json", flags->json, "One JSON object");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_diff(*flags); }; });
}

void add_rollback(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<RollbackFlags>();
  CLI::App* command = program.add_subcommand("rollback", "Bring old bytes back as a new epoch");
  command
      ->add_option("MODULE", flags->module,
                   "Only this module, or a part of its name that fits only one [all]")
      ->type_name("");
  command->add_option("--to", flags->to, "The module's version, or without MODULE the epoch [the one before]")
      ->type_name("N")
      ->transform(whole_number(1));
  command->add_flag("--json", flags->json, "One JSON object");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_rollback(*flags); }; });
}

}  // namespace moddev::tools
