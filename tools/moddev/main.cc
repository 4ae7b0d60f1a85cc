// The `moddev` program: which command was asked for, and its exit code. Each command has a file of its own.
#include <CLI/CLI.hpp>
#include <csignal>
#include <sstream>

#include "tools/moddev/command.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/usage.h"

int main(int argc, char** argv) {
  using namespace moddev::tools;
  // Who reads our output may go; the fleet must not notice.
  std::signal(SIGPIPE, SIG_IGN);

  CLI::App program(
      "moddev brings a module from \"the linker closed the file\" to \"live in every executor\".\n"
      "Start with `moddev watch DIR` on your build directory; then try `moddev executor` in another "
      "terminal.");
  program.name("moddev");
  program.set_version_flag("--version", "moddev " MODDEV_VERSION, "Print the version");
  program.set_help_flag("-h,--help", "Print this text");
  program.get_formatter()->column_width(34);

  Invocation chosen;
  add_watch(program, chosen);
  add_status(program, chosen);
  add_executor(program, chosen);
  add_fetch(program, chosen);
  add_refresh(program, chosen);
  add_wait(program, chosen);
  add_build(program, chosen);
  add_history(program, chosen);
  add_stats(program, chosen);
  add_diff(program, chosen);
  add_rollback(program, chosen);
  add_supervise(program, chosen);
  add_symbols(program, chosen);
  add_cache(program, chosen);
  add_keygen(program, chosen);
  add_trust(program, chosen);
  add_audit(program, chosen);
  add_doctor(program, chosen);

  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    std::ostringstream text;
    (void)program.exit(asked, text, text);
    return answered(text.str());
  } catch (const CLI::ParseError& problem) {
    complain(explain(program, problem));
    return kWrongUsage;
  }
  if (!chosen) {
    std::fputs(program.help().c_str(), stderr);
    return kWrongUsage;
  }
  return chosen();
}
