#include "client/src/view.h"

#include <moddev/view.h>

#include <utility>

namespace moddev {
namespace {

ModuleInfo info_of(const ModuleEntry& entry) {
  return {entry.name,    std::string(to_string(entry.kind)),
          entry.version, entry.digest.to_string(),
          entry.size,    entry.depends_on};
}

/// "; it has a, b, c and 4 more": what a person who mistyped a name needs to see.
std::string what_there_is(const View& view) {
  constexpr std::size_t kMostNames = 8;
  const auto& modules = view.manifest().modules;
  if (modules.empty()) return "; the epoch has no modules";
  std::string text = "; it has ";
  std::size_t listed = 0;
  for (const auto& [name, unused] : modules) {
    if (listed == kMostNames) break;
    if (listed++ != 0) text += ", ";
    text += "'" + name + "'";
  }
  if (modules.size() > listed) text += " and " + std::to_string(modules.size() - listed) + " more";
  return text;
}

Error no_such_module(const View* view, std::string_view module) {
  if (view == nullptr) {
    return {ErrorCode::kNotFound,
            "no module '" + std::string(module) +
                "': no epoch is live yet; wait_for() waits until the daemon has published one",
            0};
  }
  return {ErrorCode::kNotFound,
          "no module '" + std::string(module) + "' in epoch " + std::to_string(view->epoch()) +
              what_there_is(*view),
          0};
}

}  // namespace

std::uint64_t Pin::epoch() const {
  return view_ == nullptr ? 0 : view_->epoch();
}

Result<void*> Pin::symbol(std::string_view module, std::string_view symbol) const {
  const LoadedModule* loaded = view_ == nullptr ? nullptr : view_->find(module);
  if (loaded == nullptr) return no_such_module(view_, module);
  auto address = loaded->symbol(symbol);
  if (!address) return address.error().with_context("module '" + std::string(module) + "'");
  return address;
}

Result<std::span<const std::byte>> Pin::bytes(std::string_view module) const {
  const LoadedModule* loaded = view_ == nullptr ? nullptr : view_->find(module);
  if (loaded == nullptr) return no_such_module(view_, module);
  return loaded->bytes();
}

Result<ModuleInfo> Pin::module(std::string_view name) const {
  const ModuleEntry* entry = view_ == nullptr ? nullptr : view_->manifest().find(name);
  if (entry == nullptr) return no_such_module(view_, name);
  return info_of(*entry);
}

std::vector<ModuleInfo> Pin::modules() const {
  std::vector<ModuleInfo> all;
  if (view_ == nullptr) return all;
  all.reserve(view_->manifest().modules.size());
  for (const auto& [name, entry] : view_->manifest().modules) all.push_back(info_of(entry));
  return all;
}

}  // namespace moddev
