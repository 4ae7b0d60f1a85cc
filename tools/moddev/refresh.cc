// `moddev refresh`: returns when everything that was on disk before is published.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "tools/moddev/asking.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/history_view.h"
#include "tools/moddev/outcome.h"
#include "tools/moddev/printer.h"

namespace moddev::tools {
namespace {

/// More than the daemon takes before it gives up by itself (its kRefreshPatience), so that its reason is
/// heard.
constexpr auto kRefreshPatience = std::chrono::seconds(75);

int run_refresh(const std::string& endpoint) {
  auto daemon = reach_daemon(endpoint);
  if (!daemon) return failed(daemon.error());
  const auto reply = (*daemon)->ask_for<RefreshReply>(RefreshRequest{}, kRefreshPatience);
  if (!reply) return failed(explained(reply.error(), ""));
  const std::string live = "epoch " + std::to_string(reply->committed_epoch) + " is live";
  if (const Epoch refused = refused_epoch(*reply); refused != 0) {
    complain("Epoch " + std::to_string(refused) + " was refused by an executor, and " + live + " as before." +
             why_refused(**daemon, refused));
    (void)complain_unpublished(reply->unpublished, reply->unpublished_files);
    return kFailed;
  }
  if (complain_unpublished(reply->unpublished, reply->unpublished_files)) {
    complain("Everything else in " + (*daemon)->hello().directory + " is published: " + live + ".");
    return kFailed;
  }
  // A rollback's wish goes before what is on disk.
  const auto status = (*daemon)->ask_for<StatusReply>(StatusRequest{}, kAnswerPatience);
  const std::string held = status ? holds_text(status->holds) : "";
  return answered((held.empty() ? "Everything in " : "Everything else in ") + (*daemon)->hello().directory +
                  " is published: " + live + ".\n" + held);
}

}  // namespace

void add_refresh(CLI::App& program, Invocation& chosen) {
  auto endpoint = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("refresh", "Return when everything on disk is published");
  command->add_option("--endpoint", *endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([endpoint, &chosen] { chosen = [endpoint] { return run_refresh(*endpoint); }; });
}

}  // namespace moddev::tools
