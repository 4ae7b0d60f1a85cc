// What `moddev watch` and `moddev supervise` are told, by moddev.toml and by flags: every key has a flag of
// the same name, and the flag wins. The file itself is read by protocol/configuration.
#pragma once

#include <string_view>

#include "protocol/configuration.h"
#include "protocol/result.h"

namespace moddev::tools {

/// `flags` where it says something, else `file`. Dependencies are those of both.
[[nodiscard]] Configuration merge(const Configuration& file, const Configuration& flags);
[[nodiscard]] SuperviseConfiguration merge(const SuperviseConfiguration& file,
                                           const SuperviseConfiguration& flags);

/// "MODULE=NEEDED[,NEEDED...]". Errors: kInvalidArgument.
[[nodiscard]] Status add_dependency(std::string_view text, Configuration& configuration);

}  // namespace moddev::tools
