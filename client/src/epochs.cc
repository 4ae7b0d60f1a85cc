#include "client/src/epochs.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "client/src/limits.h"

namespace moddev::client {
namespace {

bool same_module(const ModuleEntry& a, const ModuleEntry& b) {
  return a.digest == b.digest && a.kind == b.kind && a.depends_on == b.depends_on;
}

}  // namespace

std::vector<const ModuleEntry*> modules_to_load(const Manifest& manifest, const Manifest* live) {
  std::vector<const ModuleEntry*> result;
  std::vector<const ModuleEntry*> unchanged_dependents;
  std::set<std::string_view> affected;
  for (const auto& [name, entry] : manifest.modules) {
    const ModuleEntry* before = live == nullptr ? nullptr : live->find(name);
    if (before == nullptr || !same_module(*before, entry)) {
      result.push_back(&entry);
      affected.insert(name);
    } else if (!entry.depends_on.empty()) {
      unchanged_dependents.push_back(&entry);
    }
  }
  if (live != nullptr) {
    for (const auto& [name, entry] : live->modules) {
      if (manifest.find(name) == nullptr) affected.insert(name);
    }
  }
  // Until nothing is added any more: who needs something affected is affected.
  for (bool grown = !affected.empty(); grown;) {
    grown = false;
    std::erase_if(unchanged_dependents, [&](const ModuleEntry* entry) {
      const bool hit = std::any_of(entry->depends_on.begin(), entry->depends_on.end(),
                                   [&](const std::string& need) { return affected.contains(need); });
      if (!hit) return false;
      result.push_back(entry);
      affected.insert(entry->name);
      return grown = true;
    });
  }
  return result;
}

BlobPlaces locate_blobs(const std::vector<const ModuleEntry*>& modules,
                        const std::map<Digest, SharedBytes>& bytes, const BlobStore& cache,
                        const Manifest* live) {
  BlobPlaces places;
  std::set<Digest> seen;
  for (const ModuleEntry* module : modules) {
    if (bytes.contains(module->digest) || !seen.insert(module->digest).second) continue;
    if (cache.contains(module->digest)) {
      places.cached.push_back({module->digest, module->size});
      continue;
    }
    const ModuleEntry* before = live == nullptr ? nullptr : live->find(module->name);
    const bool has_base = before != nullptr && cache.contains(before->digest);
    places.missing.push_back({module->digest, module->size, has_base ? before->digest : Digest{}});
  }
  return places;
}

std::vector<std::string> changed_names(const Manifest* from, const Manifest& to) {
  std::vector<std::string> names;
  for (const ModuleChange& change : diff(from == nullptr ? Manifest{} : *from, to)) {
    names.push_back(change.module.name);
  }
  return names;
}

std::string describe(const std::vector<ModuleFailure>& failures) {
  std::string text;
  for (const ModuleFailure& failure : failures) {
    text += (text.empty() ? "" : "; ") + failure.module + ": " + failure.error;
  }
  return text;
}

std::string describe(const std::vector<ExecutorFailure>& failures) {
  std::string text;
  for (const ExecutorFailure& failure : failures) {
    text += (text.empty() ? "" : "; ") + failure.executor + " cannot use " + failure.module + ": " +
            failure.error;
  }
  return text;
}

std::string advice_on_retired() {
  return "More than " + std::to_string(limits::kRetiredAdvice >> 20) +
         " MiB are held by former versions that cannot be unloaded. Restart it when that suits; `moddev "
         "doctor FILE` "
         "says what keeps a module in memory.";
}

}  // namespace moddev::client
