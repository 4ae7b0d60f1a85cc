// The pieces that several JSON lines share. Only for the files that write JSON: nlohmann-json is included
// there and nowhere else.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "protocol/manifest.h"
#include "protocol/messages.h"

namespace moddev::tools {

using Json = nlohmann::ordered_json;

/// One line; bytes that are no UTF-8 (a path can have any) become U+FFFD.
[[nodiscard]] std::string line_of(const Json& json);
/// {name, kind, version, digest, size, change}
[[nodiscard]] Json value_of(const ModuleChange& change);
/// {executor, module, error}
[[nodiscard]] Json value_of(const ExecutorFailure& failure);

}  // namespace moddev::tools
