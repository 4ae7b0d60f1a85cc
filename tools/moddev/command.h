// The commands of the program, one file each. A command describes its flags to the parser and says what to
// run when it was chosen; it prints, and returns the exit code.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace moddev::tools {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

/// What the command line asks for. Empty: nothing.
using Invocation = std::function<int()>;

void add_audit(CLI::App& program, Invocation& chosen);
void add_build(CLI::App& program, Invocation& chosen);
void add_cache(CLI::App& program, Invocation& chosen);
void add_diff(CLI::App& program, Invocation& chosen);
void add_doctor(CLI::App& program, Invocation& chosen);
void add_executor(CLI::App& program, Invocation& chosen);
void add_fetch(CLI::App& program, Invocation& chosen);
void add_history(CLI::App& program, Invocation& chosen);
void add_keygen(CLI::App& program, Invocation& chosen);
void add_refresh(CLI::App& program, Invocation& chosen);
void add_rollback(CLI::App& program, Invocation& chosen);
void add_stats(CLI::App& program, Invocation& chosen);
void add_status(CLI::App& program, Invocation& chosen);
void add_supervise(CLI::App& program, Invocation& chosen);
void add_trust(CLI::App& program, Invocation& chosen);
void add_symbols(CLI::App& program, Invocation& chosen);
void add_wait(CLI::App& program, Invocation& chosen);
void add_watch(CLI::App& program, Invocation& chosen);

}  // namespace moddev::tools
