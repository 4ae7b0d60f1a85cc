// `moddev audit`: who connected, fetched, applied, asked for something, and was refused. Read from the file
// of the journal, which only its user can: it needs no daemon, and nobody can ask for it from elsewhere.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "daemon/journal_lookup.h"
#include "protocol/clock.h"
#include "tools/moddev/asking.h"
#include "tools/moddev/audit_view.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/numbers.h"
#include "tools/moddev/places.h"

namespace moddev::tools {
namespace {

namespace fs = std::filesystem;

struct AuditFlags {
  std::string directory;
  std::uint64_t last = 50;
  std::string who;
  std::string since;
  bool json = false;
  std::string endpoint;
};

Result<fs::path> journal_of(const std::string& directory, const Places& places) {
  std::error_code error;
  const std::string real = fs::canonical(directory, error).string();
  if (error) return errno_error("Cannot find '" + directory + "'", error.value());
  const auto state = state_directory(places, real);
  if (!state) return state.error();
  fs::path journal = fs::path(*state) / "journal.sqlite";
  if (fs::exists(journal, error)) return journal;
  return Error{ErrorCode::kNotFound,
               "There is no audit of '" + directory +
                   "' here. It is where its daemon runs, and for that daemon's user only.",
               0};
}

/// Where no daemon answers: the only one that there is.
Result<fs::path> only_journal(const Places& places, const Error& why) {
  const auto root = state_root(places);
  if (!root) return root.error();
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(*root, error)) {
    fs::path journal = entry.path() / "journal.sqlite";
    if (std::error_code missing; fs::exists(journal, missing)) found.push_back(std::move(journal));
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) return why;
  return Error{ErrorCode::kConflict,
               "No daemon answers, and several directories were watched. Say which: `moddev audit DIR`.", 0};
}

Result<fs::path> find_journal(const AuditFlags& flags) {
  const Places places = Places::of_this_process();
  if (!flags.directory.empty()) return journal_of(flags.directory, places);
  const auto daemon = reach_daemon(flags.endpoint);
  if (daemon) return journal_of((*daemon)->hello().directory, places);
  if (!flags.endpoint.empty()) return daemon.error();
  return only_journal(places, daemon.error());
}

int run_audit(const AuditFlags& flags) {
  SystemClock clock;
  WallTime since{};
  if (!flags.since.empty()) {
    const auto parsed = parse_since(flags.since, clock.wall_now());
    if (!parsed) return complain(parsed.error().message), kWrongUsage;
    since = *parsed;
  }
  const auto journal = find_journal(flags);
  if (!journal) return failed(journal.error());
  std::vector<daemon::AuditEntry> entries;
  bool more = false;
  const Status read = daemon::visit_audit(*journal, [&](const daemon::AuditEntry& entry) {
    if (entry.last_at < since) return false;
    if (!is_about(entry, flags.who)) return true;
    more = entries.size() == flags.last;
    if (!more) entries.push_back(entry);
    return !more;
  });
  if (!read) return failed(read.error());
  std::string text;
  if (flags.json) {
    for (const daemon::AuditEntry& entry : entries) text += json_of(entry) + "\n";
  } else {
    text = audit_text(entries, Palette::for_descriptor(STDOUT_FILENO));
    if (more) text += "There are older ones: --last N shows more.\n";
    if (entries.empty()) text = "Nothing of that is in the audit.\n";
  }
  return answered(text);
}

}  // namespace

void add_audit(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<AuditFlags>();
  CLI::App* command =
      program.add_subcommand("audit", "Show who connected, fetched, applied, and was refused");
  command->add_option("DIR", flags->directory, "The watched directory [that of the daemon that answers]")
      ->type_name("");
  command->add_option("--last", flags->last, "At most so many entries, newest first [50]")
      ->type_name("N")
      ->transform(whole_number(1));
  command
      ->add_option("--who", flags->who,
                   "Only of this one: you, the name of a key, an address, an executor; * is any part")
      ->type_name("NAME");
  command->add_option("--since", flags->since, "Only so new: 10m, 2h, 7d, 2026-11-26, 2026-11-26T12:31")
      ->type_name("WHEN");
  command->add_flag("--json", flags->json, "One JSON object a line for each entry");
  command->add_option("--endpoint", flags->endpoint, kEndpointHelp)->type_name("ENDPOINT");
  command->callback([flags, &chosen] { chosen = [flags] { return run_audit(*flags); }; });
}

}  // namespace moddev::tools
