// From what the parser found wrong to a sentence that helps: the nearest flag or command, and where to read
// more.
#pragma once

#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace moddev::tools {

/// Pure. `program` is as the failed parse left it.
[[nodiscard]] std::string explain(const CLI::App& program, const CLI::ParseError& problem);

}  // namespace moddev::tools
