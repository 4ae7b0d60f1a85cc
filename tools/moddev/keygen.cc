// `moddev keygen`: this user's keys, made once; and what to do with them. The transport key and the signing
// key are apart, because they are trusted for different things.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "protocol/private_file.h"
#include "protocol/signing_key.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"
#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

using Json = nlohmann::ordered_json;

struct KeygenFlags {
  std::string name;
  std::string replace;  // "", "transport", "signing", "both"
  bool json = false;
  [[nodiscard]] bool replaces(const std::string& kind) const { return replace == kind || replace == "both"; }
};

/// What was there or made.
struct Made {
  std::string file;
  std::string public_key;
  bool is_new = false;
};

std::string default_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') return "moddev";
  return host.data();
}

/// The secret last: a public file without a secret does no harm, the other way round would look complete.
Status write_pair(const std::string& public_file, const std::string& public_text,
                  const std::string& secret_file, const std::string& secret_text, Existing existing) {
  MODDEV_TRY(write_private_file(secret_file, secret_text, Secrecy::kSecret, existing));
  return write_private_file(public_file, public_text, Secrecy::kPublic, Existing::kReplace);
}

Result<Made> transport_key(const std::string& directory, const KeygenFlags& flags) {
  const std::string file = transport_secret_file(directory);
  const bool replace = flags.replaces("transport");
  if (!replace) {
    const auto known = read_transport_keys(file, ::geteuid());
    if (known) return Made{file, known->public_key, false};
    if (known.error().code != ErrorCode::kNotFound) return known.error();
  }
  const auto keys = TransportKeys::generate();
  if (!keys) return keys.error();
  MODDEV_TRY(write_pair(transport_key_file(directory), transport_public_text(*keys, flags.name), file,
                        transport_secret_text(*keys, flags.name),
                        replace ? Existing::kReplace : Existing::kKeep));
  return Made{file, keys->public_key, true};
}

Result<Made> signing_key(const std::string& directory, const KeygenFlags& flags) {
  const std::string file = signing_secret_file(directory);
  const bool replace = flags.replaces("signing");
  if (!replace) {
    const auto known = read_signing_key(file, ::geteuid());
    if (known) return Made{file, known->public_key().to_string(), false};
    if (known.error().code != ErrorCode::kNotFound) return known.error();
  }
  const SigningKey key = SigningKey::generate();
  MODDEV_TRY(write_pair(signing_key_file(directory), signing_public_text(key.public_key()), file,
                        signing_secret_text(key), replace ? Existing::kReplace : Existing::kKeep));
  return Made{file, key.public_key().to_string(), true};
}

std::string told(const KeygenFlags& flags, const Made& transport, const Made& signing) {
  if (flags.json) {
    const auto object = [](const Made& made) {
      return Json{{"public_key", made.public_key}, {"file", made.file}, {"new", made.is_new}};
    };
    return Json{{"name", flags.name}, {"transport", object(transport)}, {"signing", object(signing)}}.dump() +
           "\n";
  }
  Table table;
  const auto add = [&](const char* what, const Made& made) {
    table.add({{what}, {made.is_new ? "made" : "there already"}, {made.public_key}, {made.file}});
  };
  add("transport key", transport);
  add("signing key", signing);
  const std::string quoted = "'" + transport.public_key + "'";
  return table.render(Palette::for_descriptor(STDOUT_FILENO), "") +
         "\nTo be run by those who shall believe these keys:\n"
         "  moddev trust add " +
         flags.name + " " + quoted + "\n      where a daemon runs that this key may connect to\n" +
         "  moddev trust add tcp://HOST:PORT " + quoted +
         "\n      where clients shall connect to a daemon with this key\n" +  //
         "  moddev trust add " + flags.name + " " + signing.public_key +
         "\n      where executors shall run what is signed with this key\n";
}

int run_keygen(KeygenFlags flags) {
  if (flags.name.empty()) flags.name = default_name();
  // A name that nobody could write into a list is noticed here, not there.
  if (const Status usable = validate_key_name(flags.name); !usable)
    return failed(usable.error().with_context("--name"));
  const auto directory = configuration_directory();
  if (!directory) return failed(directory.error());
  if (Status made = make_configuration_directory(*directory, ::geteuid()); !made)
    return failed(made.error().with_context("Keys need a directory of your own"));
  const auto transport = transport_key(*directory, flags);
  if (!transport) return failed(transport.error());
  const auto signing = signing_key(*directory, flags);
  if (!signing) return failed(signing.error());
  return answered(told(flags, *transport, *signing));
}

}  // namespace

void add_keygen(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<KeygenFlags>();
  CLI::App* command = program.add_subcommand(
      "keygen", "Make your keys, or show those that you have, and say who has to be told of them");
  command->add_option("--name", flags->name, "What others call you in their lists [the host's name]")
      ->type_name("NAME");
  command
      ->add_option("--replace", flags->replace,
                   "Make new ones in the place of old ones: transport, signing or both")
      ->type_name("WHICH")
      ->check(CLI::IsMember({"transport", "signing", "both"}));
  command->add_flag("--json", flags->json, "One JSON object");
  command->callback([flags, &chosen] { chosen = [flags] { return run_keygen(*flags); }; });
}

}  // namespace moddev::tools
