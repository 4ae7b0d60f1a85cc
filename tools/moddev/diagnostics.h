// What goes to standard error: why something failed, and what to do about it. Data goes to standard output.
#pragma once

#include <string_view>

#include "protocol/result.h"

namespace moddev::tools {

/// "moddev: MESSAGE", in red on a terminal.
void complain(std::string_view message);
/// The same in yellow: the program goes on.
void mention(std::string_view message);

/// Tells the error and returns the exit code that belongs to it: kWrongUsage for kInvalidArgument, which only
/// flags, variables and files of the user's can cause, else kFailed.
[[nodiscard]] int failed(const Error& error);

}  // namespace moddev::tools
