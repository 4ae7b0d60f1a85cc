// The key of a call in a pinned epoch.
#include <moddev/result_cache.h>

#include <utility>

#include "client/results/explain.h"
#include "protocol/digest.h"
#include "protocol/manifest.h"

namespace moddev {

Result<ResultKey> ResultKey::make(const Pin& pin, std::string_view module, std::string_view symbol,
                                  std::span<const std::byte> arguments) {
  // As much of the manifest as the module reaches.
  Manifest reached;
  reached.epoch = pin.epoch();
  std::vector<std::string> open{std::string(module)};
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (reached.find(name) != nullptr) continue;
    Result<ModuleInfo> info = pin.module(name);
    if (!info) {
      if (name == module) return info.error();
      continue;  // a dependency outside the epoch is no part of the closure
    }
    ModuleEntry& entry = reached.modules[name];
    entry.name = name;
    auto digest = Digest::parse(info->digest);
    if (!digest) return digest.error();
    entry.digest = *digest;
    open.insert(open.end(), info->depends_on.begin(), info->depends_on.end());
    entry.depends_on = std::move(info->depends_on);
  }
  const auto closure = closure_digest(reached, module);
  if (!closure) return closure.error();
  ResultKey key;
  key.module = module;
  key.symbol = symbol;
  key.closure = closure->to_string();
  key.arguments = digest_of(arguments).to_string();
  for (const auto& [name, entry] : reached.modules) key.parts.push_back({name, entry.digest.to_string()});
  MODDEV_TRY(results::validate(key));
  return key;
}

}  // namespace moddev
