#include "tools/moddev/config.h"

#include <string>

#include "protocol/names.h"

namespace moddev::tools {

Configuration merge(const Configuration& file, const Configuration& flags) {
  Configuration result = flags;
  if (!result.endpoint) result.endpoint = file.endpoint;
  if (!result.bind) result.bind = file.bind;
  if (!result.debounce) result.debounce = file.debounce;
  if (!result.ignore) result.ignore = file.ignore;
  if (!result.follow_outside) result.follow_outside = file.follow_outside;
  if (!result.backend) result.backend = file.backend;
  if (!result.sync) result.sync = file.sync;
  if (!result.canary) result.canary = file.canary;
  if (!result.canary_time) result.canary_time = file.canary_time;
  for (const auto& [module, needed] : file.dependencies) result.dependencies.try_emplace(module, needed);
  if (!result.access) result.access = file.access;
  result.retention = file.retention;  // no flag says it
  result.supervise = merge(file.supervise, flags.supervise);
  return result;
}

SuperviseConfiguration merge(const SuperviseConfiguration& file, const SuperviseConfiguration& flags) {
  SuperviseConfiguration result = flags;
  if (!result.workers) result.workers = file.workers;
  if (!result.listen) result.listen = file.listen;
  if (!result.ready_tcp && !result.ready_command) {
    result.ready_tcp = file.ready_tcp;
    result.ready_command = file.ready_command;
  }
  if (!result.ready_timeout) result.ready_timeout = file.ready_timeout;
  if (!result.drain_timeout) result.drain_timeout = file.drain_timeout;
  if (!result.cycle) result.cycle = file.cycle;
  if (!result.reload) result.reload = file.reload;
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
