// A module's name typed in part. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev::tools {

/// The one of `names` that is `typed`, or else the only one that contains it. Errors: kNotFound, with names
/// that are near; kConflict, with the candidates.
[[nodiscard]] Result<std::string> match_name(std::string_view typed, const std::vector<std::string>& names);

}  // namespace moddev::tools
