// What goes to standard error: why something failed, and what to do about it. And how a command ends that has
// data for standard output.
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

/// Writes `data` to standard output and returns the exit code: kFailed when not all of it could be written.
/// That is told, but for a reader that went away, which is how `head` ends.
[[nodiscard]] int answered(std::string_view data);
/// write_all() to standard output, for who prints line by line; tells what is wrong like answered().
/// `consequence` ends the sentence: "; the daemon goes on without it".
bool write_output(std::string_view text, std::string_view consequence);

}  // namespace moddev::tools
