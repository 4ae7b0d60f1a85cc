// Modules that a rollback holds at older bytes although the directory has other ones. A hold ends when the
// file changes again. Pure values and functions; the journal keeps them across restarts.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/catalog.h"
#include "protocol/manifest.h"

namespace moddev::daemon {

struct Hold {
  /// The bytes that the module has instead of those in the directory; nothing: it is absent, as it was in the
  /// epoch that was gone back to.
  std::optional<ModuleContent> content;
  /// The version whose bytes these are; 0 without content.
  Version version = 0;
  /// What the directory held when the hold began, zero: no such module. The hold lasts for as long as that is
  /// so.
  Digest overrides;
  /// The file whose change ends the hold, relative to the watched directory.
  std::string path;
  friend bool operator==(const Hold&, const Hold&) = default;
};
using HoldSet = std::map<std::string, Hold, std::less<>>;

/// The holds that are over, because `directory` has not what they override any more.
[[nodiscard]] std::vector<std::string> ended_holds(const HoldSet& holds, const ModuleSet& directory);

/// `directory` as the holds would have it. Dependencies that are not there are left out.
[[nodiscard]] ModuleSet with_holds(const ModuleSet& directory, const HoldSet& holds);

/// "scorer has the bytes of version 3 again until 'build/libscorer.so' changes."
[[nodiscard]] std::string describe_hold(const std::string& module, const Hold& hold);

}  // namespace moddev::daemon
