#include "tools/moddev/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "protocol/names.h"
#include "tools/moddev/suggest.h"

namespace moddev::tools {
namespace {

constexpr std::int64_t kLongestDebounceMs = 60'000;

/// Reads the values of one file; the first thing that is wrong ends it.
class Parser {
 public:
  explicit Parser(const std::string& file) : file_(file) {}

  Result<Configuration> read(const toml::table& table) {
    for (const auto& [key, node] : table) MODDEV_TRY(take(key, node));
    return std::move(configuration_);
  }

  [[nodiscard]] Error wrong(const toml::source_region& where, const std::string& what) const {
    return {ErrorCode::kInvalidArgument, file_ + ":" + std::to_string(where.begin.line) + ": " + what, 0};
  }

 private:
  Status take(const toml::key& key, const toml::node& node) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '-', '_');
    if (name == "endpoint") return text(name, node, configuration_.endpoint);
    if (name == "bind") return texts(name, node, configuration_.bind);
    if (name == "debounce") return debounce(node);
    if (name == "ignore") return texts(name, node, configuration_.ignore);
    if (name == "follow_outside") return truth(name, node, configuration_.follow_outside);
    if (name == "backend") return text(name, node, configuration_.backend);
    if (name == "dependencies") return dependencies(node);
    std::string all;
    for (const std::string& known : configuration_keys()) all += (all.empty() ? "" : ", ") + known;
    return wrong(key.source(), "unknown key '" + std::string(key.str()) + "'" +
                                   did_you_mean(name, configuration_keys()) + " Known keys: " + all + ".");
  }

  Status text(const std::string& name, const toml::node& node, std::optional<std::string>& target) const {
    const auto value = node.value_exact<std::string>();
    if (!value) return wrong(node.source(), "`" + name + "` must be a text in quotes.");
    target = *value;
    return {};
  }

  Status truth(const std::string& name, const toml::node& node, std::optional<bool>& target) const {
    const auto value = node.value_exact<bool>();
    if (!value) return wrong(node.source(), "`" + name + "` must be true or false.");
    target = *value;
    return {};
  }

  Status debounce(const toml::node& node) {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < 0 || *value > kLongestDebounceMs) {
      return wrong(node.source(), "`debounce` must be a number of milliseconds from 0 to " +
                                      std::to_string(kLongestDebounceMs) + ".");
    }
    configuration_.debounce = std::chrono::milliseconds(*value);
    return {};
  }

  Status list(const std::string& name, const toml::node& node, std::vector<std::string>& target) const {
    const toml::array* array = node.as_array();
    if (array == nullptr) return wrong(node.source(), "`" + name + "` must be a list of texts: [\"...\"].");
    for (const toml::node& element : *array) {
      const auto value = element.value_exact<std::string>();
      if (!value) return wrong(element.source(), "`" + name + "` must be a list of texts: [\"...\"].");
      target.push_back(*value);
    }
    return {};
  }

  Status texts(const std::string& name, const toml::node& node,
               std::optional<std::vector<std::string>>& target) const {
    target.emplace();
    if (const auto one = node.value_exact<std::string>()) {
      target->push_back(*one);
      return {};
    }
    return list(name, node, *target);
  }

  Status dependencies(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return wrong(node.source(),
                   "`dependencies` must be a table: [dependencies], then module = [\"needed\"].");
    }
    for (const auto& [module, needed] : *table) {
      const std::string name(module.str());
      if (Status valid = validate_module_name(name); !valid) {
        return wrong(module.source(), valid.error().message);
      }
      MODDEV_TRY(list("dependencies." + name, needed, configuration_.dependencies[name]));
    }
    return {};
  }

  const std::string& file_;
  Configuration configuration_;
};

}  // namespace

const std::vector<std::string>& configuration_keys() {
  static const std::vector<std::string> keys = {"backend",  "bind",           "debounce", "dependencies",
                                                "endpoint", "follow_outside", "ignore"};
  return keys;
}

Result<Configuration> parse_configuration(std::string_view text, const std::string& file) {
  Parser parser(file);
  try {
    return parser.read(toml::parse(text, file));
  } catch (const toml::parse_error& problem) {
    return parser.wrong(problem.source(), "not a TOML file: " + std::string(problem.description()) + ".");
  }
}

Result<Configuration> read_configuration(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad()) return Error{ErrorCode::kIo, "Cannot read " + file + "."};
  return parse_configuration(text, file);
}

Configuration merge(const Configuration& file, const Configuration& flags) {
  Configuration result = flags;
  if (!result.endpoint) result.endpoint = file.endpoint;
  if (!result.bind) result.bind = file.bind;
  if (!result.debounce) result.debounce = file.debounce;
  if (!result.ignore) result.ignore = file.ignore;
  if (!result.follow_outside) result.follow_outside = file.follow_outside;
  if (!result.backend) result.backend = file.backend;
  for (const auto& [module, needed] : file.dependencies) result.dependencies.try_emplace(module, needed);
  return result;
}

Status add_dependency(std::string_view text, Configuration& configuration) {
  const std::size_t equals = text.find('=');
  const Error wrong{ErrorCode::kInvalidArgument,
                    "'" + std::string(text) + "' must be MODULE=NEEDED[,NEEDED...], like scorer=base,util."};
  if (equals == std::string_view::npos) return wrong;
  const std::string module(text.substr(0, equals));
  if (!validate_module_name(module)) return wrong;
  std::string_view rest = text.substr(equals + 1);
  for (;;) {
    const std::size_t comma = rest.find(',');
    const std::string needed(rest.substr(0, comma));
    if (!validate_module_name(needed)) return wrong;
    configuration.dependencies[module].push_back(needed);
    if (comma == std::string_view::npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace moddev::tools
