// A module's name given in part. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev {

/// The one of `names` that `part` means: itself, else the only one that begins with it, else the only one
/// that contains it. Errors: kConflict, naming those that fit; kNotFound, naming one that is near, or some
/// that there are.
[[nodiscard]] Result<std::string> match_name(std::string_view part, const std::vector<std::string>& names);

}  // namespace moddev
