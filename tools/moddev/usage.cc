#include "tools/moddev/usage.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "protocol/suggest.h"

namespace moddev::tools {
namespace {

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  return names;
}

/// What nobody asked for: a flag with a slip in it, a command that is none, one argument too many.
std::string explain_extra(const CLI::App& program, const CLI::App& command, const std::string& extra) {
  if (extra.starts_with("-") && extra != "-" && extra != "--") {
    const std::string flag = extra.substr(0, extra.find('='));
    return "There is no flag '" + flag + "'" + did_you_mean(flag, flags_of(command));
  }
  if (&program == &command) {
    return "There is no command '" + extra + "'" + did_you_mean(extra, commands_of(program));
  }
  return "'" + extra + "' is one argument too many.";
}

}  // namespace

std::string explain(const CLI::App& program, const CLI::ParseError& problem) {
  const auto chosen = program.get_subcommands();
  const CLI::App& command = chosen.empty() ? program : *chosen.front();
  std::string text = problem.what();
  // Without its flag a value looks like one argument too many: the flag is the slip.
  std::string extra;
  const bool wrong_value = problem.get_exit_code() == static_cast<int>(CLI::ExitCodes::ValidationError) ||
                           problem.get_exit_code() == static_cast<int>(CLI::ExitCodes::ConversionError);
  for (const std::string& remaining : wrong_value ? std::vector<std::string>{} : command.remaining()) {
    if (extra.empty() || (remaining.starts_with("-") && !extra.starts_with("-"))) extra = remaining;
  }
  if (!extra.empty()) text = explain_extra(program, command, extra);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (!text.ends_with('.') && !text.ends_with('?')) text += ".";
  const std::string help = chosen.empty() ? "moddev --help" : "moddev " + command.get_name() + " --help";
  return text + " See `" + help + "`.";
}

}  // namespace moddev::tools
