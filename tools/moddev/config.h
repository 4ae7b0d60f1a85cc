// moddev.toml: what `moddev watch` can be told. Every key has a flag of the same name, and the flag wins. An
// unknown key or a wrong type is an error that names the file, the line and what would be right.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev::tools {

/// What was said, by a file or by flags. Absent means: not said.
struct Configuration {
  std::optional<std::string> endpoint;
  std::optional<std::vector<std::string>> bind;
  std::optional<std::chrono::milliseconds> debounce;
  std::optional<std::vector<std::string>> ignore;
  std::optional<bool> follow_outside;
  std::optional<std::string> backend;
  std::map<std::string, std::vector<std::string>> dependencies;
};

/// The keys, for suggestions and for the documentation's test.
[[nodiscard]] const std::vector<std::string>& configuration_keys();

/// `file` is for messages. Errors: kInvalidArgument.
[[nodiscard]] Result<Configuration> parse_configuration(std::string_view text, const std::string& file);
[[nodiscard]] Result<Configuration> read_configuration(const std::string& file);

/// `flags` where it says something, else `file`. Dependencies are those of both.
[[nodiscard]] Configuration merge(const Configuration& file, const Configuration& flags);

/// "MODULE=NEEDED[,NEEDED...]". Errors: kInvalidArgument.
[[nodiscard]] Status add_dependency(std::string_view text, Configuration& configuration);

}  // namespace moddev::tools
