#include "daemon/versioner.h"

#include <algorithm>

namespace moddev::daemon {

ModuleContent content_of(const ModuleEntry& entry) {
  return {entry.kind, entry.digest, entry.size, entry.path, entry.depends_on};
}

bool same_content(const Manifest& a, const Manifest& b) {
  return std::ranges::equal(a.modules, b.modules, [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.digest == y.second.digest &&
           x.second.depends_on == y.second.depends_on;
  });
}

bool same_content(const ModuleSet& desired, const Manifest& manifest) {
  if (desired.size() != manifest.modules.size()) return false;
  auto entry = manifest.modules.begin();
  for (const auto& [name, content] : desired) {
    const ModuleEntry& have = entry->second;
    if (entry->first != name || have.digest != content.digest || have.kind != content.kind ||
        have.depends_on != content.depends_on) {
      return false;
    }
    ++entry;
  }
  return true;
}

ModuleSet with_kept(const ModuleSet& directory, const std::set<std::string, std::less<>>& kept,
                    const Manifest& committed) {
  ModuleSet modules = directory;
  for (const std::string& name : kept) {
    if (const ModuleEntry* live = committed.find(name)) {
      modules.insert_or_assign(name, content_of(*live));
    } else {
      modules.erase(name);
    }
  }
  for (auto& [name, content] : modules) {
    std::erase_if(content.depends_on, [&](const std::string& needed) { return !modules.contains(needed); });
  }
  return modules;
}

std::optional<EpochRecord> next_epoch(const ModuleSet& desired, const Manifest& committed,
                                      const Manifest* refused, Epoch head, const LastVersions& last_versions,
                                      WallTime now) {
  if (same_content(desired, committed)) return std::nullopt;
  if (refused != nullptr && same_content(desired, *refused)) return std::nullopt;

  EpochRecord record;
  record.epoch = head + 1;
  record.base = committed.epoch;
  record.announced_at = now;
  record.manifest.epoch = record.epoch;
  for (const auto& [name, content] : desired) {
    const ModuleEntry* before = committed.find(name);
    if (before != nullptr && before->digest == content.digest && before->kind == content.kind &&
        before->depends_on == content.depends_on) {
      record.manifest.modules.emplace(name, *before);
      continue;
    }
    ModuleEntry entry;
    entry.name = name;
    entry.kind = content.kind;
    entry.digest = content.digest;
    entry.size = content.size;
    entry.path = content.path;
    entry.depends_on = content.depends_on;
    const auto last = last_versions.find(name);
    if (last == last_versions.end()) {
      entry.version = 1;
    } else {
      entry.version = last->second.digest == content.digest ? last->second.version : last->second.version + 1;
    }
    // The same bytes and number as before keep their time: only the dependencies are new.
    entry.changed_at_ns = before != nullptr && before->version == entry.version
                              ? before->changed_at_ns
                              : now.time_since_epoch().count();
    record.manifest.modules.emplace(name, std::move(entry));
  }
  record.changes = diff(committed, record.manifest);
  return record;
}

}  // namespace moddev::daemon
