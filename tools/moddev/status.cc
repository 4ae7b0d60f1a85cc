// `moddev status`: what is live and who runs it, once or kept up to date.
#include <sys/ioctl.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/interrupt.h"
#include "tools/moddev/json.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/screen.h"
#include "tools/moddev/status_view.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// How often `--watch` looks.
constexpr auto kLookEvery = std::chrono::milliseconds(250);
/// "Go to the first line" and "clear from here" (ECMA-48: CUP, ED).
constexpr const char* kFromTheTop = "\033[H\033[J";

struct StatusFlags {
  std::string endpoint;
  bool json = false;
  bool watch = false;
};

struct Look {
  StatusReply status;
  bool pending = false;
  std::optional<HistoryEntry> past;  // of what is not live
};

/// Nothing where the daemon does not tell.
std::optional<HistoryEntry> past_of(Epoch epoch, client::Requester& daemon) {
  const auto history = daemon.ask_for<HistoryReply>(HistoryRequest{"", epoch + 1, 1}, kAnswerPatience);
  if (!history || history->entries.empty() || history->entries.front().epoch != epoch) return std::nullopt;
  return history->entries.front();
}

Result<Look> look(client::Requester& daemon, bool json) {
  // The pending epoch first: if it is decided in between, the status tells, and nothing looks refused.
  const auto snapshot = daemon.ask_for<SnapshotReply>(SnapshotRequest{}, kAnswerPatience);
  if (!snapshot) return snapshot.error();
  auto status = daemon.ask_for<StatusReply>(StatusRequest{}, kAnswerPatience);
  if (!status) return status.error();
  Look seen{std::move(*status), snapshot->pending.has_value(), {}};
  const Epoch missing = not_live(seen.status);
  if (!json && missing != 0 && !seen.pending) seen.past = past_of(missing, daemon);
  return seen;
}

std::string rendered(const Look& look, bool json) {
  if (json) return json_of(look.status) + "\n";
  SystemClock clock;
  return status_text(look.status, look.pending, look.past, Palette::for_descriptor(STDOUT_FILENO),
                     clock.wall_now());
}

/// For one screen of the terminal: by name where all has room.
std::string one_screen(const Look& look) {
  ScreenSize size;
  winsize told{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &told) == 0 && told.ws_row > 0 && told.ws_col > 0)
    size = {told.ws_row, told.ws_col};
  SystemClock clock;
  const Palette palette = Palette::for_descriptor(STDOUT_FILENO);
  const auto parts = [&](StatusOrder order) {
    return status_parts(look.status, look.pending, look.past, order, palette, clock.wall_now());
  };
  StatusParts shown = parts(StatusOrder::kByName);
  const std::string all = shown.head + shown.modules + shown.executors;
  if (std::count(all.begin(), all.end(), '\n') >= static_cast<std::ptrdiff_t>(size.rows))
    shown = parts(StatusOrder::kNewsFirst);
  return fit(shown.head, {shown.modules, shown.executors}, "; `moddev status` shows all", size);
}

/// What makes a status another one: ages grow all the time, and bytes are counted all the time.
std::string essence_of(StatusReply status) {
  status.transfers = {};
  for (ExecutorStatus& executor : status.executors) {
    for (PinReport& pin : executor.pins) pin.age_ms = 0;
  }
  return json_of(status);
}

/// On a terminal in place; else each time that something has changed. A daemon that goes away is waited for.
int keep_showing(const StatusFlags& flags, std::unique_ptr<client::Requester> daemon,
                 const Interrupt& interrupt) {
  const bool in_place = !flags.json && ::isatty(STDOUT_FILENO) == 1;
  std::string shown;
  bool any = false;
  do {
    if (!daemon) {
      if (auto found = reach_daemon(flags.endpoint)) daemon = std::move(*found);
    }
    std::string text;
    std::string essence;
    if (daemon) {
      if (const auto now = look(*daemon, flags.json)) {
        text = in_place ? one_screen(*now) : rendered(*now, flags.json);
        essence = in_place ? text : essence_of(now->status);
      } else {
        daemon.reset();
        essence = now.error().message;
        if (in_place) text = printable(essence) + " Waiting for it, Ctrl-C ends.\n";
        if (!in_place && essence != shown) mention(essence);
      }
    }
    if (essence.empty() || essence == shown) continue;
    shown = std::move(essence);
    if (in_place) text = kFromTheTop + text;
    if (!in_place && !flags.json && !text.empty() && std::exchange(any, true)) text = "\n" + text;
    if (!write_output(text, "")) return kFailed;
  } while (!interrupt.within(kLookEvery));
  return kDone;
}

int run_status(const StatusFlags& flags) {
  std::unique_ptr<Interrupt> interrupt;  // before the connection's threads
  if (flags.watch) {
    auto made = Interrupt::create();
    if (!made) return failed(made.error());
    interrupt = std::move(*made);
  }
  auto daemon = reach_daemon(flags.endpoint);
  if (!daemon) return failed(daemon.error());
  if (flags.watch) return keep_showing(flags, std::move(*daemon), *interrupt);
  const auto now = look(**daemon, flags.json);
  if (!now) return failed(explained(now.error(), ""));
  return answered(rendered(*now, flags.json));
}

}  // namespace

void add_status(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = program.add_subcommand("status", "Show what is live and who runs it");
  command->add_flag("--json", flags->json, "One JSON object; with --watch one a line for each change");
  command->add_flag("--watch", flags->watch, "Keep showing it until Ctrl-C");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_status(*flags); }; });
}

}  // namespace moddev::tools
