// Where the daemon is: explicit argument, MODDEV_ENDPOINT, moddev.toml upwards, the user's default socket.
// The first of these that says something decides. It does not look whether anybody is there.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "client/src/link_keys.h"
#include "protocol/result.h"
#include "protocol/signature.h"

namespace moddev::client {

/// The surroundings of a process, as values.
struct Surroundings {
  /// getenv("MODDEV_ENDPOINT"), getenv("XDG_RUNTIME_DIR"), ...; empty counts as not set.
  std::string moddev_endpoint;
  std::string moddev_key;
  std::string moddev_daemon_key;
  std::string xdg_runtime_dir;
  std::string xdg_cache_home;
  std::string xdg_config_home;
  std::string home;
  std::string working_directory;
  uid_t uid = 0;

  [[nodiscard]] static Surroundings of_this_process();
};

struct Found {
  std::string endpoint;
  /// Where it was said, for messages: "the argument", "MODDEV_ENDPOINT", the path of a moddev.toml, "the
  /// default".
  std::string source;
};

/// Errors: kInvalidArgument, naming the place that says something malformed; those of read_configuration().
[[nodiscard]] Result<Found> discover_endpoint(const std::string& explicit_endpoint, const Surroundings& here);

/// The path of the moddev.toml that counts here, if there is one; whether it is believed, reading it tells.
[[nodiscard]] std::optional<std::string> configuration_of(const Surroundings& here);

/// Whom executors of this user believe, and what they let in.
struct Believed {
  /// In order, each once; none: signatures are not asked for.
  std::vector<PublicKey> signers;
  /// Patterns; none: every module.
  std::vector<std::string> modules;
};

/// Each from the first place that says something: the arguments, the table [executor] of moddev.toml, and for
/// signers the user's list of trusted keys (`moddev trust`). What cannot be read is an error, since the list
/// may have said that signatures are needed. Errors: kInvalidArgument, and those of read_configuration() and
/// TrustList::read().
[[nodiscard]] Result<Believed> discover_believed(const std::vector<std::string>& explicit_signers,
                                                 const std::vector<std::string>& explicit_modules,
                                                 const Surroundings& here);

/// With which keys a daemon is connected to, if it takes keys. Each from the first place that says something:
/// the arguments, MODDEV_KEY and MODDEV_DAEMON_KEY (several daemon's keys with spaces between them), the
/// table [executor] of moddev.toml, in which a key's path is meant from where the file lies. Nothing said:
/// what `moddev keygen` and `moddev trust` wrote. Does not look into the key file. Errors: kInvalidArgument
/// for a daemon's key that is none; those of read_configuration().
[[nodiscard]] Result<KeyChoice> discover_keys(const std::string& explicit_key,
                                              const std::vector<std::string>& explicit_daemon_keys,
                                              const Surroundings& here);

/// XDG_CACHE_HOME/moddev, else HOME/.cache/moddev. Errors: kInvalidArgument when neither is an absolute path.
[[nodiscard]] Result<std::string> default_cache_directory(const Surroundings& here);

}  // namespace moddev::client
