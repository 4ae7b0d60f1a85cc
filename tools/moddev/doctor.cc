// `moddev doctor DIR`: what a person should know before watching a directory.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/moddev/command.h"
#include "tools/moddev/config.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/json.h"
#include "tools/moddev/places.h"
#include "tools/moddev/printer.h"
#include "tools/moddev/terminal.h"
#include "watcher/doctor.h"

namespace moddev::tools {
namespace {

using watcher::Finding;

struct DoctorFlags {
  std::string directory;
  bool json = false;
};

Colour colour_of(Finding::Level level) {
  switch (level) {
    case Finding::Level::kGood:
      return Colour::kGood;
    case Finding::Level::kNote:
      return Colour::kNotice;
    case Finding::Level::kProblem:
      break;
  }
  return Colour::kBad;
}

/// The nearest directory above that exists: where the free space is.
std::string existing_above(std::string path) {
  std::error_code error;
  while (path.size() > 1 && !std::filesystem::exists(path, error))
    path = std::filesystem::path(path).parent_path().string();
  return path;
}

int run_doctor(const DoctorFlags& flags) {
  const Places places = Places::of_this_process();
  watcher::DoctorOptions options;
  if (auto root = state_root(places)) options.store = existing_above(*root);
  std::error_code error;
  const std::string real_path = std::filesystem::canonical(flags.directory, error).string();
  if (const std::string file = error ? "" : find_configuration(real_path, places); !file.empty()) {
    auto configuration = read_configuration(file, places.here.uid);
    if (!configuration) return failed(configuration.error());
    options.ignore = configuration->ignore.value_or(std::vector<std::string>{});
  }
  const std::vector<Finding> findings = watcher::examine(flags.directory, options);
  const Palette palette = Palette::for_descriptor(STDOUT_FILENO);
  std::string text;
  for (const Finding& finding : findings) {
    if (flags.json) {
      text += json_line(finding) + "\n";
      continue;
    }
    text += palette.paint(colour_of(finding.level), padded(to_string(finding.level), 7)) + "  " +
            printable(finding.message) + "\n";
    if (!finding.advice.empty()) text += "         " + printable(finding.advice) + "\n";
  }
  if (const int code = answered(text); code != kDone) return code;
  const bool problem = std::any_of(findings.begin(), findings.end(),
                                   [](const Finding& f) { return f.level == Finding::Level::kProblem; });
  return problem ? kFailed : kDone;
}

}  // namespace

void add_doctor(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = program.add_subcommand("doctor", "Check ahead whether a directory can be watched well");
  command->add_option("DIR", flags->directory, "The directory that the build writes to")
      ->required()
      ->type_name("");
  command->add_flag("--json", flags->json, "One JSON object a line: {level, code, message, advice}");
  command->callback([flags, &chosen] { chosen = [flags] { return run_doctor(*flags); }; });
}

}  // namespace moddev::tools
