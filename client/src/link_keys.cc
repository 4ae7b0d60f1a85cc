#include "client/src/link_keys.h"

#include <unistd.h>

#include <utility>

#include "protocol/private_file.h"
#include "protocol/trust.h"

namespace moddev::client {
namespace {

Result<std::vector<std::string>> trusted_daemon_keys(const std::string& endpoint) {
  const auto directory = configuration_directory();
  if (!directory) return std::vector<std::string>();
  const auto trusted = TrustList::read(trust_file(*directory), ::geteuid());
  if (!trusted) return trusted.error();
  return trusted->daemon_keys(endpoint);
}

Result<TransportKeys> named_keys(const KeyChoice& choice) {
  auto keys = read_transport_keys(choice.key_file, ::geteuid());
  if (keys) return keys;
  const std::string which = choice.key_named_by + " names a key that cannot be used. ";
  if (keys.error().code == ErrorCode::kPermission) {
    // The public half of a pair may be read by others: no secret is in danger, it is the wrong file.
    const auto text = read_private_file(choice.key_file, Secrecy::kPublic, ::geteuid());
    if (text && text->find("secret-key") == std::string::npos) {
      keys = parse_transport_keys(*text, choice.key_file);
      return Error{keys.error().code, which + keys.error().message};
    }
  }
  if (keys.error().code != ErrorCode::kNotFound)
    return Error{keys.error().code, which + keys.error().message};
  return Error{
      ErrorCode::kPermission,
      which + "There is no file " + choice.key_file +
          ". Name the secret file of a pair (`moddev keygen` makes one, transport.key_secret in your "
          "configuration directory), or nothing, which means that one."};
}

Result<TransportKeys> own_keys() {
  const auto directory = configuration_directory();
  if (!directory) return directory.error();
  const std::string file = transport_secret_file(*directory);
  auto keys = read_transport_keys(file, ::geteuid());
  if (keys || keys.error().code != ErrorCode::kNotFound) return keys;
  return Error{ErrorCode::kPermission,
               "There is no key in " + file +
                   ". Run `moddev keygen`, and have the daemon's owner run the `moddev "
                   "trust add` that it prints.",
               0};
}

}  // namespace

Status check_named_key(const KeyChoice& choice) {
  if (choice.key_file.empty()) return {};
  const auto keys = named_keys(choice);
  return keys ? Status{} : Status(keys.error());
}

KeySource key_source(const Endpoint& endpoint, KeyChoice choice) {
  if (endpoint.scheme == Endpoint::Scheme::kIpc) return {};
  return [endpoint, choice = std::move(choice)]() -> Result<std::optional<LinkKeys>> {
    const std::string where = endpoint.to_string();
    auto daemon = choice.daemon_keys.empty() ? trusted_daemon_keys(where)
                                             : Result<std::vector<std::string>>(choice.daemon_keys);
    if (!daemon) return daemon.error();
    if (daemon->empty()) {
      if (endpoint.is_local()) return std::optional<LinkKeys>();
      return Error{ErrorCode::kPermission,
                   "Will not connect to " + where +
                       ": it is on another machine, and how its daemon's key reads is not known. Run `moddev "
                       "keygen` there, and here `moddev trust add " +
                       where + " KEY` with the transport key that it prints.",
                   0};
    }
    auto own = choice.key_file.empty() ? own_keys() : named_keys(choice);
    if (!own) return own.error();
    return std::optional<LinkKeys>(
        LinkKeys{std::move(*own), std::move(*daemon), choice.daemon_keys_named_by});
  };
}

}  // namespace moddev::client
