#include "client/src/link_keys.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "protocol/private_file.h"
#include "protocol/trust.h"

namespace moddev::client {
namespace {

std::string chosen(const std::string& said, const char* variable) {
  if (!said.empty()) return said;
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

Result<std::vector<std::string>> daemon_keys(const std::string& endpoint, const std::string& said) {
  if (said.empty()) {
    const auto directory = configuration_directory();
    if (!directory) return std::vector<std::string>();
    const auto trusted = TrustList::read(trust_file(*directory), ::geteuid());
    if (!trusted) return trusted.error();
    return trusted->daemon_keys(endpoint);
  }
  if (is_transport_key(said)) return std::vector{said};
  return Error{ErrorCode::kInvalidArgument,
               "'" + said.substr(0, 80) + "' is no daemon's key: it has 40 characters of Z85.", 0};
}

Result<TransportKeys> own_keys(const std::string& said) {
  std::string file = said;
  if (file.empty()) {
    const auto directory = configuration_directory();
    if (!directory) return directory.error();
    file = transport_secret_file(*directory);
  }
  auto keys = read_transport_keys(file, ::geteuid());
  if (keys || keys.error().code != ErrorCode::kNotFound) return keys;
  return Error{ErrorCode::kPermission,
               "There is no key in " + file +
                   ". Run `moddev keygen`, and have the daemon's owner run the `moddev "
                   "trust add` that it prints.",
               0};
}

}  // namespace

KeySource key_source(const Endpoint& endpoint, KeyChoice choice) {
  if (endpoint.scheme == Endpoint::Scheme::kIpc) return {};
  return [endpoint, choice = std::move(choice)]() -> Result<std::optional<LinkKeys>> {
    const std::string where = endpoint.to_string();
    auto daemon = daemon_keys(where, chosen(choice.daemon_key, "MODDEV_DAEMON_KEY"));
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
    auto own = own_keys(chosen(choice.key_file, "MODDEV_KEY"));
    if (!own) return own.error();
    return std::optional<LinkKeys>(LinkKeys{std::move(*own), std::move(*daemon)});
  };
}

}  // namespace moddev::client
