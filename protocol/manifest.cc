#include "protocol/manifest.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

namespace moddev {
namespace {

constexpr std::array<std::pair<ChangeKind, std::string_view>, 3> kChanges = {
    {{ChangeKind::kAdded, "added"}, {ChangeKind::kChanged, "changed"}, {ChangeKind::kRemoved, "removed"}}};

bool same_content(const ModuleEntry& a, const ModuleEntry& b) {
  return a.digest == b.digest && a.version == b.version && a.kind == b.kind && a.path == b.path &&
         a.depends_on == b.depends_on;
}

/// The names that `name` reaches through depends_on, itself included.
std::set<std::string> closure(const Manifest& manifest, std::string_view name) {
  std::set<std::string> seen;
  std::vector<std::string> open{std::string(name)};
  while (!open.empty()) {
    std::string next = std::move(open.back());
    open.pop_back();
    const ModuleEntry* entry = manifest.find(next);
    if (entry == nullptr || !seen.insert(next).second) continue;
    open.insert(open.end(), entry->depends_on.begin(), entry->depends_on.end());
  }
  return seen;
}

}  // namespace

const ModuleEntry* Manifest::find(std::string_view name) const {
  const auto found = modules.find(name);
  return found == modules.end() ? nullptr : &found->second;
}

Digest Manifest::digest() const {
  // One line a module. Names hold no control characters, so tab and newline separate without ambiguity.
  std::string text = "moddev manifest 1\n" + std::to_string(epoch) + "\n";
  for (const auto& [name, entry] : modules) {
    text += name;
    text += '\t';
    text += to_string(entry.kind);
    text += '\t';
    text += std::to_string(entry.version);
    text += '\t';
    text += entry.digest.hex();
    text += '\t';
    text += std::to_string(entry.size);
    text += '\t';
    text += entry.path;
    for (const auto& needed : entry.depends_on) {
      text += '\t';
      text += needed;
    }
    text += '\n';
  }
  return digest_of(text);
}

std::string_view to_string(ChangeKind change) {
  for (const auto& [value, text] : kChanges) {
    if (value == change) return text;
  }
  return "changed";
}

std::optional<ChangeKind> change_kind_from_string(std::string_view text) {
  for (const auto& [value, name] : kChanges) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::vector<ModuleChange> diff(const Manifest& from, const Manifest& to) {
  std::vector<ModuleChange> changes;
  auto before = from.modules.begin();
  auto after = to.modules.begin();
  while (before != from.modules.end() || after != to.modules.end()) {
    const bool only_before =
        after == to.modules.end() || (before != from.modules.end() && before->first < after->first);
    const bool only_after =
        before == from.modules.end() || (after != to.modules.end() && after->first < before->first);
    if (only_before) {
      changes.push_back({ChangeKind::kRemoved, (before++)->second});
    } else if (only_after) {
      changes.push_back({ChangeKind::kAdded, (after++)->second});
    } else {
      if (!same_content(before->second, after->second))
        changes.push_back({ChangeKind::kChanged, after->second});
      ++before;
      ++after;
    }
  }
  return changes;
}

Manifest apply(const Manifest& base, const std::vector<ModuleChange>& changes, Epoch epoch) {
  Manifest result = base;
  result.epoch = epoch;
  for (const auto& [change, module] : changes) {
    if (change == ChangeKind::kRemoved) {
      result.modules.erase(module.name);
    } else {
      result.modules.insert_or_assign(module.name, module);
    }
  }
  return result;
}

std::vector<std::string> load_order(const Manifest& manifest) {
  // Tarjan's strongly connected components, without recursion: a component is complete only after all that it
  // reaches.
  struct Mark {
    std::size_t index = 0;
    std::size_t low = 0;
    bool on_stack = false;
    std::size_t next_child = 0;
  };
  std::map<std::string_view, Mark> marks;
  std::vector<std::string_view> stack;
  std::vector<std::string_view> path;
  std::vector<std::string> order;
  order.reserve(manifest.modules.size());
  std::size_t counter = 0;

  for (const auto& [root, unused] : manifest.modules) {
    if (marks.contains(root)) continue;
    path.push_back(root);
    while (!path.empty()) {
      const std::string_view name = path.back();
      auto [position, fresh] = marks.try_emplace(name);
      Mark& mark = position->second;
      if (fresh) {
        mark.index = mark.low = ++counter;
        mark.on_stack = true;
        stack.push_back(name);
      }
      const auto& needs = manifest.find(name)->depends_on;
      bool descended = false;
      while (mark.next_child < needs.size()) {
        const ModuleEntry* child = manifest.find(needs[mark.next_child]);
        ++mark.next_child;
        if (child == nullptr) continue;
        const auto seen = marks.find(child->name);
        if (seen == marks.end()) {
          path.push_back(child->name);
          descended = true;
          break;
        }
        if (seen->second.on_stack) mark.low = std::min(mark.low, seen->second.index);
      }
      if (descended) continue;
      path.pop_back();
      if (!path.empty()) {
        Mark& parent = marks.find(path.back())->second;
        parent.low = std::min(parent.low, mark.low);
      }
      if (mark.low != mark.index) continue;
      std::vector<std::string> component;
      while (true) {
        const std::string_view member = stack.back();
        stack.pop_back();
        marks.find(member)->second.on_stack = false;
        component.emplace_back(member);
        if (member == name) break;
      }
      std::sort(component.begin(), component.end());
      order.insert(order.end(), component.begin(), component.end());
    }
  }
  return order;
}

Result<Digest> closure_digest(const Manifest& manifest, std::string_view name) {
  if (manifest.find(name) == nullptr) {
    return Error{ErrorCode::kNotFound,
                 "no module '" + std::string(name) + "' in epoch " + std::to_string(manifest.epoch), 0};
  }
  std::string text = "moddev closure 1\n" + std::string(name) + "\n";
  for (const auto& member : closure(manifest, name)) {
    text += member + '\t' + manifest.find(member)->digest.hex() + '\n';
  }
  return digest_of(text);
}

}  // namespace moddev
