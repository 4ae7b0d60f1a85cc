#include "client/src/discovery.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <optional>
#include <sstream>
#include <system_error>

#include "protocol/configuration.h"
#include "protocol/endpoint.h"
#include "protocol/private_file.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"

namespace moddev::client {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool absolute(const std::string& path) {
  return path.starts_with('/');
}

Result<Found> checked(std::string endpoint, std::string source) {
  if (auto parsed = parse_endpoint(endpoint); !parsed) {
    return parsed.error().with_context("The endpoint from " + source);
  }
  return Found{std::move(endpoint), std::move(source)};
}

}  // namespace

Surroundings Surroundings::of_this_process() {
  Surroundings here;
  here.moddev_endpoint = variable("MODDEV_ENDPOINT");
  here.moddev_key = variable("MODDEV_KEY");
  here.moddev_daemon_key = variable("MODDEV_DAEMON_KEY");
  here.xdg_runtime_dir = variable("XDG_RUNTIME_DIR");
  here.xdg_cache_home = variable("XDG_CACHE_HOME");
  here.xdg_config_home = variable("XDG_CONFIG_HOME");
  here.home = variable("HOME");
  std::error_code ignored;
  here.working_directory = std::filesystem::current_path(ignored).string();
  here.uid = ::geteuid();
  return here;
}

Result<Found> discover_endpoint(const std::string& explicit_endpoint, const Surroundings& here) {
  if (!explicit_endpoint.empty()) return checked(explicit_endpoint, "the argument");
  if (!here.moddev_endpoint.empty()) return checked(here.moddev_endpoint, "MODDEV_ENDPOINT");
  if (const auto file = configuration_of(here)) {
    auto said = read_configuration(*file, here.uid);
    if (!said) return said.error();
    if (said->endpoint && !said->endpoint->empty()) return checked(std::move(*said->endpoint), *file);
  }
  const char* runtime = here.xdg_runtime_dir.empty() ? nullptr : here.xdg_runtime_dir.c_str();
  return checked(default_endpoint(runtime, here.uid), "the default");
}

std::optional<std::string> configuration_of(const Surroundings& here) {
  if (!absolute(here.working_directory)) return std::nullopt;
  return find_configuration_upwards(here.working_directory);
}

Result<Believed> discover_believed(const std::vector<std::string>& explicit_signers,
                                   const std::vector<std::string>& explicit_modules,
                                   const Surroundings& here) {
  Believed believed;
  std::vector<std::string> signers = explicit_signers;
  believed.modules = explicit_modules;
  if (signers.empty() || believed.modules.empty()) {
    if (const auto file = configuration_of(here)) {
      const auto said = read_configuration(*file, here.uid);
      if (!said) return said.error();
      if (signers.empty()) signers = said->executor.signers.value_or(std::vector<std::string>{});
      if (believed.modules.empty())
        believed.modules = said->executor.modules.value_or(std::vector<std::string>{});
    }
  }
  const auto directory = configuration_directory(here.xdg_config_home.c_str(), here.home.c_str());
  if (signers.empty() && directory) {
    const auto list = TrustList::read(trust_file(*directory), here.uid);
    if (!list) return list.error();
    for (const Trusted& signer : list->signers()) signers.push_back(signer.key);
  }
  for (const std::string& text : signers) {
    const auto key = PublicKey::parse(text);
    if (!key) return key.error().with_context("`signers`");
    believed.signers.push_back(*key);
  }
  std::sort(believed.signers.begin(), believed.signers.end());
  believed.signers.erase(std::unique(believed.signers.begin(), believed.signers.end()),
                         believed.signers.end());
  return believed;
}

Result<KeyChoice> discover_keys(const std::string& explicit_key,
                                const std::vector<std::string>& explicit_daemon_keys,
                                const Surroundings& here) {
  KeyChoice choice{explicit_key, "The argument", explicit_daemon_keys, "the argument"};
  if (choice.key_file.empty()) {
    choice.key_file = here.moddev_key;
    choice.key_named_by = "MODDEV_KEY";
  }
  if (choice.daemon_keys.empty()) {
    std::istringstream words(here.moddev_daemon_key);
    choice.daemon_keys.assign(std::istream_iterator<std::string>(words), {});
    choice.daemon_keys_named_by = "MODDEV_DAEMON_KEY";
  }
  if (choice.key_file.empty() || choice.daemon_keys.empty()) {
    if (const auto file = configuration_of(here)) {
      const auto said = read_configuration(*file, here.uid);
      if (!said) return said.error();
      if (choice.key_file.empty() && !said->executor.key.value_or("").empty()) {
        choice.key_file = (std::filesystem::path(*file).parent_path() / *said->executor.key).string();
        choice.key_named_by = *file;
      }
      if (choice.daemon_keys.empty()) {
        choice.daemon_keys = said->executor.daemon_keys.value_or(std::vector<std::string>{});
        choice.daemon_keys_named_by = *file;
      }
    }
  }
  if (choice.key_file.empty()) choice.key_named_by.clear();
  if (choice.daemon_keys.empty()) choice.daemon_keys_named_by.clear();
  for (const std::string& key : choice.daemon_keys) {
    const Status valid = validate_transport_key(key);
    if (valid) continue;
    if (valid.error().code == ErrorCode::kRefused)
      return Error{ErrorCode::kInvalidArgument, choice.daemon_keys_named_by + ": " + valid.error().message,
                   0};
    return Error{ErrorCode::kInvalidArgument,
                 "'" + key.substr(0, 80) + "' from " + choice.daemon_keys_named_by +
                     " is no daemon's key: it has 40 characters of Z85. `moddev keygen` prints it where the "
                     "daemon runs, as its transport key."};
  }
  return choice;
}

Result<std::string> default_cache_directory(const Surroundings& here) {
  if (absolute(here.xdg_cache_home)) return here.xdg_cache_home + "/moddev";
  if (absolute(here.home)) return here.home + "/.cache/moddev";
  return Error{
      ErrorCode::kInvalidArgument,
      "There is no place for the cache: neither XDG_CACHE_HOME nor HOME is an absolute path. Set one, or "
      "pass ClientOptions::cache_directory."};
}

}  // namespace moddev::client
