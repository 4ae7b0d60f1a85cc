#include "protocol/configuration.h"

#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>

#include "protocol/names.h"
#include "protocol/private_file.h"
#include "protocol/signature.h"
#include "protocol/suggest.h"

namespace moddev {
namespace {

constexpr std::int64_t kLongestDebounceMs = 60'000;
constexpr double kLongestTimeoutSeconds = 86'400;
constexpr std::uint64_t kMostRetained = 1'000'000'000;

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
    if (name == "sync") return text(name, node, configuration_.sync);
    if (name == "canary") return canary(name, node);
    if (name == "canary_time") return seconds(name, node, configuration_.canary_time);
    if (name == "supervise") return supervise(node);
    if (name == "executor") return executor(node);
    if (name == "access") return access(node);
    if (name == "retention") return retention(node);
    return unknown(key, name, configuration_keys());
  }

  Status unknown(const toml::key& key, const std::string& name,
                 const std::vector<std::string>& known_keys) const {
    std::string all;
    for (const std::string& known : known_keys) all += (all.empty() ? "" : ", ") + known;
    const std::string near = did_you_mean(name, known_keys);
    return wrong(key.source(), "unknown key '" + std::string(key.str()) + "'" + (near.empty() ? "." : near) +
                                   " Known keys: " + all + ".");
  }

  /// A number of executors, or names.
  Status canary(const std::string& name, const toml::node& node) {
    if (const auto count = node.value_exact<std::int64_t>(); count && *count > 0) {
      configuration_.canary = {std::to_string(*count)};
      return {};
    }
    return texts(name, node, configuration_.canary);
  }

  Status access(const toml::node& node) {
    const toml::array* rules = node.as_array();
    const Status malformed =
        wrong(node.source(), "`access` must be tables: [[access]], then who = [\"...\"], may = [\"...\"].");
    if (rules == nullptr) return malformed;
    configuration_.access.emplace();
    for (const toml::node& rule : *rules) {
      const toml::table* table = rule.as_table();
      if (table == nullptr) return malformed;
      MODDEV_TRY(take_access(*table));
    }
    return {};
  }

  Status take_access(const toml::table& table) {
    std::optional<std::vector<std::string>> who;
    std::optional<std::vector<std::string>> may;
    std::optional<std::vector<std::string>> modules;
    for (const auto& [key, value] : table) {
      const std::string name(key.str());
      if (name != "who" && name != "may" && name != "modules") return unknown(key, name, access_keys());
      MODDEV_TRY(texts(name, value, name == "who" ? who : name == "may" ? may : modules));
    }
    if (!who || !may) return wrong(table.source(), "an [[access]] needs `who` and `may`.");
    if (who->empty() || (modules && modules->empty()))
      return wrong(table.source(),
                   "an empty list in an [[access]] fits nobody and nothing: leave the rule out.");
    configuration_.access->push_back({std::move(*who), std::move(*may),
                                      std::move(modules).value_or(std::vector<std::string>{"*"}),
                                      file_ + ":" + std::to_string(table.source().begin.line)});
    return {};
  }

  Status retention(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr)
      return wrong(node.source(),
                   "`retention` must be a table: [retention], then epochs = 1000 and the like.");
    for (const auto& [key, value] : *table) {
      const std::string name(key.str());
      RetentionConfiguration& said = configuration_.retention;
      if (name != "epochs" && name != "megabytes") return unknown(key, name, retention_keys());
      auto& target = name == "epochs" ? said.epochs : said.megabytes;
      MODDEV_TRY(number(name, value, target));
      if (*target > kMostRetained)
        return wrong(value.source(), "`" + name + "` must be at most " + std::to_string(kMostRetained) + ".");
    }
    return {};
  }

  Status supervise(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return wrong(node.source(),
                   "`supervise` must be a table: [supervise], then cycle = [\"...\"] and the like.");
    }
    for (const auto& [key, value] : *table) MODDEV_TRY(take_supervise(key, value));
    return {};
  }

  Status take_supervise(const toml::key& key, const toml::node& node) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '-', '_');
    SuperviseConfiguration& said = configuration_.supervise;
    if (name == "workers") return number(name, node, said.workers);
    if (name == "listen") return texts(name, node, said.listen);
    if (name == "ready_tcp") return text_or_port(name, node, said.ready_tcp);
    if (name == "ready_command") return text(name, node, said.ready_command);
    if (name == "ready_timeout") return seconds(name, node, said.ready_timeout);
    if (name == "drain_timeout") return seconds(name, node, said.drain_timeout);
    if (name == "cycle") return texts(name, node, said.cycle);
    if (name == "reload") return texts(name, node, said.reload);
    return unknown(key, name, supervise_keys());
  }

  Status executor(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return wrong(node.source(),
                   "`executor` must be a table: [executor], then modules = [\"...\"] and the like.");
    }
    for (const auto& [key, value] : *table) MODDEV_TRY(take_executor(key, value));
    return {};
  }

  Status take_executor(const toml::key& key, const toml::node& node) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '-', '_');
    if (name == "modules") return texts(name, node, configuration_.executor.modules);
    if (name == "key") return text(name, node, configuration_.executor.key);
    if (name == "daemon_keys") return texts(name, node, configuration_.executor.daemon_keys);
    if (name != "signers") return unknown(key, name, executor_keys());
    MODDEV_TRY(texts(name, node, configuration_.executor.signers));
    for (const std::string& signer : *configuration_.executor.signers) {
      if (const auto valid = PublicKey::parse(signer); !valid)
        return wrong(node.source(), valid.error().message);
    }
    return {};
  }

  Status number(const std::string& name, const toml::node& node, std::optional<std::uint64_t>& target) const {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < 1) return wrong(node.source(), "`" + name + "` must be a number from 1.");
    target = static_cast<std::uint64_t>(*value);
    return {};
  }

  Status text_or_port(const std::string& name, const toml::node& node,
                      std::optional<std::string>& target) const {
    if (const auto port = node.value_exact<std::int64_t>()) {
      target = std::to_string(*port);
      return {};
    }
    return text(name, node, target);
  }

  /// Whole or broken: 30, 0.5.
  Status seconds(const std::string& name, const toml::node& node,
                 std::optional<std::chrono::milliseconds>& target) const {
    const auto value = node.is_number() ? node.value<double>() : std::nullopt;
    if (!value || !(*value > 0) || *value > kLongestTimeoutSeconds) {
      return wrong(node.source(), "`" + name + "` must be a number of seconds above 0, up to " +
                                      std::to_string(static_cast<int>(kLongestTimeoutSeconds)) + ".");
    }
    target = std::chrono::milliseconds(static_cast<std::int64_t>(*value * 1000));
    return {};
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
  static const std::vector<std::string> keys = {
      "access",   "backend",  "bind",           "canary", "canary_time", "debounce",  "dependencies",
      "endpoint", "executor", "follow_outside", "ignore", "retention",   "supervise", "sync"};
  return keys;
}

const std::vector<std::string>& retention_keys() {
  static const std::vector<std::string> keys = {"epochs", "megabytes"};
  return keys;
}

const std::vector<std::string>& access_keys() {
  static const std::vector<std::string> keys = {"may", "modules", "who"};
  return keys;
}

const std::vector<std::string>& supervise_keys() {
  static const std::vector<std::string> keys = {"cycle",         "drain_timeout", "listen", "ready_command",
                                                "ready_timeout", "ready_tcp",     "reload", "workers"};
  return keys;
}

const std::vector<std::string>& executor_keys() {
  static const std::vector<std::string> keys = {"daemon_keys", "key", "modules", "signers"};
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

Result<Configuration> read_configuration(const std::string& file, uid_t uid) {
  const auto text = read_private_file(file, Secrecy::kShared, uid, limits::kConfigurationBytes);
  if (text) return parse_configuration(*text, file);
  if (text.error().code != ErrorCode::kPermission || text.error().sys_errno != 0) return text.error();
  Error error = text.error().with_context("This configuration is not believed");
  error.message += " Or remove it, or put a moddev.toml of your own nearer: the nearest one counts.";
  return error;
}

std::optional<std::string> find_configuration_upwards(const std::string& directory) {
  std::filesystem::path place = directory;
  for (std::size_t depth = 0; depth < limits::kConfigurationDepth && !place.empty(); ++depth) {
    const std::string file = (place / "moddev.toml").string();
    struct stat status {};
    if (::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode)) return file;
    if (!place.has_relative_path()) break;
    place = place.parent_path();
  }
  return std::nullopt;
}

}  // namespace moddev
