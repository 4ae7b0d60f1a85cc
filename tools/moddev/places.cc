#include "tools/moddev/places.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "protocol/digest.h"
#include "protocol/endpoint.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kNameDigits = 16;

}  // namespace

Places Places::of_this_process() {
  const char* state = std::getenv("XDG_STATE_HOME");
  return {client::Surroundings::of_this_process(), state == nullptr ? "" : state};
}

Result<std::string> state_root(const Places& places) {
  if (places.xdg_state_home.starts_with('/')) return places.xdg_state_home + "/moddev";
  if (places.here.home.starts_with('/')) return places.here.home + "/.local/state/moddev";
  return Error{
      ErrorCode::kIo,
      "There is no place for the history: neither XDG_STATE_HOME nor HOME is an absolute path. Set one."};
}

Result<std::string> state_directory(const Places& places, const std::string& real_path) {
  auto root = state_root(places);
  if (!root) return root.error();
  return *root + "/" + digest_of(real_path).hex().substr(0, kNameDigits);
}

Status make_state_directory(const std::string& path) {
  const std::filesystem::path above = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(above.parent_path(), error);
  if (!error) {
    MODDEV_TRY(ensure_private_directory(above.string(), ::geteuid()));
    return ensure_private_directory(path, ::geteuid());
  }
  return errno_error(
      "Cannot make " + above.parent_path().string() +
          " for the history of versions (set XDG_STATE_HOME to a directory that you can write to)",
      error.value());
}

std::string find_configuration(const std::string& directory, const Places& places) {
  if (auto file = find_configuration_upwards(directory)) return *file;
  return find_configuration_upwards(places.here.working_directory).value_or("");
}

std::vector<std::string> endpoints_to_bind(const Configuration& flags, const Configuration& file,
                                           const client::Surroundings& here) {
  if (flags.bind) return *flags.bind;
  if (flags.endpoint) return {*flags.endpoint};
  if (!here.moddev_endpoint.empty()) return {here.moddev_endpoint};
  if (file.bind) return *file.bind;
  if (file.endpoint) return {*file.endpoint};
  return {default_endpoint(here.xdg_runtime_dir.empty() ? nullptr : here.xdg_runtime_dir.c_str(), here.uid)};
}

std::vector<std::string> patterns_for_own(const std::string& real_path,
                                          const std::vector<std::string>& own_directories) {
  const std::string prefix = real_path == "/" ? "/" : real_path + "/";
  std::vector<std::string> patterns;
  for (const std::string& directory : own_directories) {
    if (!directory.starts_with(prefix)) continue;
    std::string pattern = "/";
    for (const char c : directory.substr(prefix.size())) {
      if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
      pattern += c;
    }
    patterns.push_back(pattern + "/");
  }
  return patterns;
}

}  // namespace moddev::tools
