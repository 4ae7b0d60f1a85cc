// `moddev trust`: the list of whom this user believes. Daemons and clients notice a change by themselves.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "protocol/descriptor.h"
#include "protocol/private_file.h"
#include "protocol/suggest.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

using Json = nlohmann::ordered_json;

struct TrustFlags {
  std::string who;
  std::string key;
  bool json = false;
};

/// Reads, changes and writes the list while nobody else does. Returns what `change` says.
Result<std::string> edit(const std::function<Result<std::string>(TrustList&)>& change) {
  const auto directory = configuration_directory();
  if (!directory) return directory.error();
  MODDEV_TRY(make_configuration_directory(*directory, ::geteuid()));
  const std::string file = trust_file(*directory);
  const Descriptor lock(::open(directory->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0) return errno_error("Cannot lock " + *directory, errno);
  auto list = TrustList::read(file, ::geteuid());
  if (!list) return list.error();
  const std::string before = list->text();
  auto told = change(*list);
  if (!told) return told.error();
  if (list->text() != before)
    MODDEV_TRY(write_private_file(file, list->text(), Secrecy::kSecret, Existing::kReplace));
  return told;
}

/// A key, or a file of a key.
Result<std::string> key_of(const std::string& text) {
  if (is_transport_key(text) || text.find('/') == std::string::npos) {
    if (!text.ends_with(".key")) return text;
  }
  const auto content = read_private_file(text, Secrecy::kPublic, ::geteuid());
  if (!content) return content.error();
  return parse_transport_public_key(*content, text);
}

int finished(const Result<std::string>& told) {
  if (!told) return failed(told.error());
  return answered(*told + "\n");
}

int run_add(const TrustFlags& flags) {
  const auto key = key_of(flags.key);
  if (!key) return failed(key.error());
  auto entry = trusted_from(flags.who, *key);
  if (!entry) return failed(entry.error());
  return finished(edit([&](TrustList& list) -> Result<std::string> {
    const auto added = list.add(*entry);
    if (!added) return added.error();
    const char* what = entry->kind == TrustKind::kDaemon   ? "The daemon at "
                       : entry->kind == TrustKind::kSigner ? "The signer "
                                                           : "The client ";
    return what + entry->name + (*added ? " is trusted from now on." : " is trusted already.");
  }));
}

int run_remove(const TrustFlags& flags) {
  const auto key = flags.key.empty() ? Result<std::string>(std::string()) : key_of(flags.key);
  if (!key) return failed(key.error());
  return finished(edit([&](TrustList& list) -> Result<std::string> {
    const std::size_t count = list.remove(flags.who, *key);
    if (count == 0) {
      std::vector<std::string> names;
      for (const Trusted& entry : list.entries()) names.push_back(entry.name);
      const std::string near = did_you_mean(flags.who, names);
      return Error{ErrorCode::kNotFound,
                   "Nobody called '" + flags.who + "'" + (key->empty() ? "" : " with that key") +
                       " is trusted" + (near.empty() ? "." : near) + " `moddev trust list` shows who is.",
                   0};
    }
    return flags.who + " is no longer trusted (" + counted(count, "key") +
           "). Running daemons cut it off within a second, running executors "
           "run nothing more that it signs.";
  }));
}

int run_list(const TrustFlags& flags) {
  const auto directory = configuration_directory();
  if (!directory) return failed(directory.error());
  const auto list = TrustList::read(trust_file(*directory), ::geteuid());
  if (!list) return failed(list.error());
  if (flags.json) {
    std::string text;
    for (const Trusted& entry : list->entries())
      text += Json{{"kind", to_string(entry.kind)}, {"name", entry.name}, {"key", entry.key}}.dump() + "\n";
    return answered(text);
  }
  Table table;
  for (const Trusted& entry : list->entries())
    table.add(
        {{std::string(to_string(entry.kind))}, {entry.name, Colour::kStrong}, {entry.key, Colour::kDim}});
  return answered(table.empty() ? "Nobody is trusted. `moddev trust add NAME KEY` adds somebody.\n"
                                : table.render(Palette::for_descriptor(STDOUT_FILENO), ""));
}

}  // namespace

void add_trust(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<TrustFlags>();
  CLI::App* command = program.add_subcommand(
      "trust", "Who may connect to your daemons, which daemons are right, and who may sign");
  command->require_subcommand(1);

  CLI::App* add = command->add_subcommand("add", "Believe a key, or a file with a transport key");
  add->add_option("WHO", flags->who, "A name for a client or signer, or the endpoint of a daemon")
      ->required()
      ->type_name("");
  add->add_option("KEY", flags->key, "What `moddev keygen` prints there, or the path of its transport.key")
      ->required()
      ->type_name("");
  add->callback([flags, &chosen] { chosen = [flags] { return run_add(*flags); }; });

  CLI::App* remove = command->add_subcommand("remove", "Believe somebody no more; running daemons notice");
  remove->add_option("WHO", flags->who, "The name or endpoint")->required()->type_name("");
  remove->add_option("KEY", flags->key, "Only this key, after a new one was added")->type_name("");
  remove->callback([flags, &chosen] { chosen = [flags] { return run_remove(*flags); }; });

  CLI::App* list = command->add_subcommand("list", "Show who is believed");
  list->add_flag("--json", flags->json, "One JSON object a line");
  list->callback([flags, &chosen] { chosen = [flags] { return run_list(*flags); }; });
}

}  // namespace moddev::tools
