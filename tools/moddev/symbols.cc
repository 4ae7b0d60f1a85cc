// `moddev symbols`: function, file and line of an address in a module, of any version that is still kept; and
// whole backtraces with that beside each line.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/moddev/backtrace_line.h"
#include "tools/moddev/command.h"
#include "tools/moddev/debug_lines.h"
#include "tools/moddev/diagnostics.h"
#include "tools/moddev/json_values.h"
#include "tools/moddev/retained_files.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

struct SymbolsFlags {
  std::string file;
  std::vector<std::string> addresses;
  std::string cache;
  bool json = false;
};

/// A file that addresses are looked up in.
struct Opened {
  RetainedFile file;
  std::unique_ptr<DebugFile> lines;
};

Result<Opened> open(RetainedFile file) {
  auto lines = DebugFile::open(file.path.string());
  if (!lines) return lines.error();
  return Opened{std::move(file), *std::move(lines)};
}

std::string hexadecimal(std::uint64_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[value & 15U]);
    value >>= 4U;
  } while (value != 0);
  return "0x" + text;
}

std::string place_of(const SourceFrame& frame) {
  if (frame.file.empty()) return "?";
  std::string text = printable(frame.file);
  if (frame.line != 0) text += ":" + std::to_string(frame.line);
  return text;
}

/// One line for each frame; the first begins with `first`, the others are indented as far.
std::string text_of(const std::string& first, const std::vector<SourceFrame>& frames) {
  std::string text;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    text += i == 0 ? first : std::string(first.size(), ' ');
    if (i != 0) text += "inlined into ";
    text += (frames[i].function.empty() ? "?" : printable(frames[i].function)) + "  " + place_of(frames[i]) +
            "\n";
  }
  return text;
}

Json json_of(const Opened* opened, std::uint64_t address, const std::vector<SourceFrame>& frames) {
  Json list = Json::array();
  for (const SourceFrame& frame : frames) {
    list.push_back({{"function", frame.function},
                    {"file", frame.file},
                    {"line", frame.line},
                    {"column", frame.column},
                    {"inlined", frame.inlined}});
  }
  Json object = {{"address", hexadecimal(address)}};
  if (opened != nullptr) {
    object["build_id"] = opened->file.build_id;
    object["module"] = opened->file.module;
    object["version"] = opened->file.version;
    object["path"] = opened->file.path.string();
  }
  object["frames"] = std::move(list);
  return object;
}

/// "scorer 3, build-id 3f2a...": what an address was looked up in.
std::string title_of(const RetainedFile& file) {
  std::string text = file.module.empty() ? printable(file.path.filename().string())
                                         : printable(file.module) + " " + std::to_string(file.version);
  if (!file.build_id.empty()) text += "  build-id " + file.build_id;
  return text;
}

Result<RetainedFile> find_file(const RetainedFiles& files, const std::string& wanted) {
  if (wanted.find('/') != std::string::npos) {
    std::error_code error;
    if (std::filesystem::exists(wanted, error)) return files.described(wanted);
    return files.by_image(wanted.substr(wanted.rfind('/') + 1));
  }
  const bool is_hex = wanted.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (is_hex && wanted.size() >= kFewestBuildIdDigits) {
    auto file = files.by_build_id(wanted);
    // A module may be named like a number.
    if (file || file.error().code != ErrorCode::kNotFound || !files.by_version(wanted, 0)) return file;
  }
  const std::size_t at = wanted.rfind('@');
  if (at == std::string::npos) return files.by_version(wanted, 0);
  const std::string number = wanted.substr(at + 1);
  if (number.empty() || number.size() > 18 || number.find_first_not_of("0123456789") != std::string::npos) {
    return Error{ErrorCode::kInvalidArgument, "'" + number + "' is no version; write MODULE@NUMBER.", 0};
  }
  return files.by_version(wanted.substr(0, at), std::stoull(number));
}

/// A module's name that nobody knows can be due to a history that could not be read.
int failed_to_find(const Error& error, const RetainedFiles& files) {
  for (const std::string& problem : files.problems()) mention(problem);
  return failed(error);
}

int look_up(const SymbolsFlags& flags) {
  std::vector<std::uint64_t> addresses;
  for (const std::string& text : flags.addresses) {
    const auto address = read_address(text);
    if (!address) {
      return failed(
          {ErrorCode::kInvalidArgument, "'" + text + "' is no address; write it in hexadecimal.", 0});
    }
    addresses.push_back(*address);
  }
  const RetainedFiles files = retained_files_of_user(flags.cache);
  auto file = find_file(files, flags.file);
  if (!file) return failed_to_find(file.error(), files);
  const auto opened = open(*std::move(file));
  if (!opened) return failed(opened.error());

  if (!opened->lines->has_debug_information()) {
    mention(
        "The file has no debug information: only the names of functions are known. Compile the module with "
        "-g.");
  }
  bool all = true;
  std::string text = flags.json ? "" : title_of(opened->file) + "\n";
  for (const std::uint64_t address : addresses) {
    const auto frames = opened->lines->frames_at(address);
    all = all && !frames.empty();
    if (flags.json) {
      text += line_of(json_of(&*opened, address, frames)) + "\n";
    } else if (frames.empty()) {
      text += "  " + hexadecimal(address) + "  no function is there\n";
    } else {
      text += text_of("  " + hexadecimal(address) + "  ", frames);
    }
  }
  const int told = answered(text);
  return all ? told : kFailed;
}

/// The files of one backtrace, each opened once.
class Backtrace {
 public:
  explicit Backtrace(const SymbolsFlags& flags) : files_(retained_files_of_user(flags.cache)) {}

  struct Found {
    const Opened* opened = nullptr;
    std::uint64_t address = 0;
    std::vector<SourceFrame> frames;
  };
  std::optional<Found> look_up(const PlaceInFile& place) {
    const Opened* opened = file_of(place);
    if (opened == nullptr) return std::nullopt;
    Found found{opened, place.offset, {}};
    if (!place.symbol.empty()) {
      const auto begin = opened->lines->address_of(place.symbol);
      if (!begin) return std::nullopt;
      found.address += *begin;
    }
    const bool step_back = place.is_return_address && found.address != 0;
    found.frames = opened->lines->frames_at(found.address - (step_back ? 1 : 0));
    return found;
  }

 private:
  const Opened* file_of(const PlaceInFile& place) {
    const std::string key = place.path + "\n" + place.build_id;
    const auto known = opened_.find(key);
    if (known != opened_.end()) return known->second ? &*known->second : nullptr;
    auto& slot = opened_[key];
    auto file = place.build_id.empty() ? find_file(files_, place.path) : files_.by_build_id(place.build_id);
    // A library of the system's is no module, but a backtrace goes through it.
    if (!file && !place.build_id.empty()) file = find_file(files_, place.path);
    if (!file) return nullptr;
    if (auto opened = open(*std::move(file))) slot = *std::move(opened);
    return slot ? &*slot : nullptr;
  }

  RetainedFiles files_;
  std::map<std::string, std::optional<Opened>> opened_;
};

int translate_standard_input(const SymbolsFlags& flags) {
  Backtrace backtrace(flags);
  bool any = false;
  for (std::string line; std::getline(std::cin, line);) {
    const auto place = read_backtrace_line(line);
    const auto found = place ? backtrace.look_up(*place) : std::nullopt;
    const bool known = found && !found->frames.empty();
    any = any || known;
    std::string text = line + "\n";
    if (flags.json) {
      if (!place) continue;
      Json object = json_of(found ? found->opened : nullptr, found ? found->address : place->offset,
                            found ? found->frames : std::vector<SourceFrame>());
      object["text"] = line;
      text = line_of(object) + "\n";
    } else if (known) {
      text += text_of("    ", found->frames);
    }
    // Line by line: what comes may be a log that is being written.
    if (const int told = answered(text); told != kDone) return told;
  }
  if (any) return kDone;
  return failed({ErrorCode::kNotFound,
                 "No line speaks of a place in a file that is kept here. Lines look like "
                 "/path/libscorer.1a2b.so(+0x1139) or /path/libscorer.1a2b.so+0x1139.",
                 0});
}

}  // namespace

void add_symbols(CLI::App& program, Invocation& chosen) {
  auto flags = std::make_shared<SymbolsFlags>();
  CLI::App* command = program.add_subcommand(
      "symbols", "Show function, file and line of addresses in any version of a module; or of a backtrace");
  command
      ->add_option("FILE", flags->file,
                   "BUILD-ID (or its beginning), MODULE, MODULE@VERSION or a path; without it a backtrace is "
                   "read from standard input")
      ->type_name("");
  command->add_option("ADDRESS", flags->addresses, "Hexadecimal, as in the file")->type_name("");
  command->add_option("--cache", flags->cache, "Executors' cache [the user's]")->type_name("DIR");
  command->add_flag("--json", flags->json, "One JSON object a line for each address");
  command->callback([flags, &chosen] {
    if (!flags->file.empty() && flags->addresses.empty()) {
      throw CLI::RequiredError("ADDRESS");
    }
    chosen = [flags] { return flags->file.empty() ? translate_standard_input(*flags) : look_up(*flags); };
  });
}

}  // namespace moddev::tools
