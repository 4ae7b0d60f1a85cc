// Where the program keeps and finds things on disk: the history of a watched directory, its moddev.toml, the
// endpoints to serve at.
#pragma once

#include <string>
#include <vector>

#include "client/src/discovery.h"
#include "protocol/result.h"
#include "tools/moddev/config.h"

namespace moddev::tools {

/// The surroundings that matter here beyond client::Surroundings.
struct Places {
  client::Surroundings here;
  std::string xdg_state_home;
  [[nodiscard]] static Places of_this_process();
};

/// STATE/moddev, where STATE is XDG_STATE_HOME, else HOME/.local/state. Errors: kIo when neither is an
/// absolute path.
[[nodiscard]] Result<std::string> state_root(const Places& places);

/// The directory for the history of `real_path`: 16 hex digits of the path's SHA-256 below state_root().
/// Pure.
[[nodiscard]] Result<std::string> state_directory(const Places& places, const std::string& real_path);

/// Makes it, mode 0700, and what is above it. Errors: kIo, kPermission; the message says what to do.
[[nodiscard]] Status make_state_directory(const std::string& path);

/// The moddev.toml that belongs to a directory: the nearest one from it upwards, else from the working
/// directory upwards; empty when there is none. Whether it is believed, reading it tells.
[[nodiscard]] std::string find_configuration(const std::string& directory, const Places& places);

/// Where to serve: the flags, else MODDEV_ENDPOINT, else the file, else the user's default socket; in each of
/// them `bind` before `endpoint`.
[[nodiscard]] std::vector<std::string> endpoints_to_bind(const Configuration& flags,
                                                         const Configuration& file,
                                                         const client::Surroundings& here);

/// Patterns that keep `own_directories` out of the watched directory `real_path`: what the daemon writes
/// there must not look like a change.
[[nodiscard]] std::vector<std::string> patterns_for_own(const std::string& real_path,
                                                        const std::vector<std::string>& own_directories);

}  // namespace moddev::tools
