#include "client/src/view.h"

#include <moddev/view.h>

#include <algorithm>
#include <new>
#include <utility>

#include "client/src/pin_slots.h"

namespace moddev {

View::View(Manifest manifest, Modules modules)
    : manifest_(std::move(manifest)),
      modules_(std::move(modules)),
      serial_(next_serial()),
      uses_(std::make_unique<ModuleUse[]>(modules_.size())) {
  ModuleUse* use = uses_.get();
  auto entry = manifest_.modules.begin();  // in the same order
  for (const auto& [name, module] : modules_) {
    while (entry != manifest_.modules.end() && entry->first < name) ++entry;
    use->name = name;
    use->loaded = module.get();
    if (entry != manifest_.modules.end() && entry->first == name) use->version = entry->second.version;
    ++use;
  }
}

View::~View() {
  for (const ModuleUse* use = used_.load(); use != nullptr; use = use->next_used) delete use->runs.load();
}

const ModuleUse* View::use_of(std::string_view name) const {
  const ModuleUse* const end = uses_.get() + modules_.size();
  const ModuleUse* const found =
      std::lower_bound(static_cast<const ModuleUse*>(uses_.get()), end, name,
                       [](const ModuleUse& use, std::string_view wanted) { return use.name < wanted; });
  return found == end || found->name != name ? nullptr : found;
}

RunCounter* View::make_counter(const ModuleUse& use) const noexcept {
  auto* const fresh = new (std::nothrow) RunCounter;
  if (fresh == nullptr) return nullptr;
  RunCounter* there = nullptr;
  if (!use.runs.compare_exchange_strong(there, fresh, std::memory_order_acq_rel)) {
    delete fresh;  // another thread was first
    return there;
  }
  use.next_used = used_.load(std::memory_order_relaxed);
  while (!used_.compare_exchange_weak(use.next_used, &use, std::memory_order_acq_rel)) {
  }
  return fresh;
}

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

Result<void*> Pin::look_up(const ModuleUse* use, std::string_view module, std::string_view symbol) const {
  if (use == nullptr) return no_such_module(view_, module);
  auto address = use->loaded->symbol(symbol);
  if (!address) return address.error().with_context("module '" + std::string(module) + "'");
  return address;
}

Result<void*> Pin::symbol(std::string_view module, std::string_view symbol) const {
  const ModuleUse* use = use_of(module);
  auto address = look_up(use, module, symbol);
  if (address) begin_run(*use);
  return address;
}

Result<std::span<const std::byte>> Pin::bytes(std::string_view module) const {
  const ModuleUse* use = use_of(module);
  if (use == nullptr) return no_such_module(view_, module);
  auto bytes = use->loaded->bytes();
  if (bytes) begin_run(*use);
  return bytes;
}

const ModuleUse* Pin::use_of(std::string_view module) const {
  return view_ == nullptr ? nullptr : view_->use_of(module);
}

void Pin::begin_run(const ModuleUse& use) const noexcept {
  RunCounter* const counter = view_->counter_of(use);
  if (counter == nullptr) return;
  pin_slots::runs_of(reinterpret_cast<pin_slots::Slot*>(slot_ & ~kRuns)).begin(*counter);
  slot_ |= kRuns;
}

void Pin::end_runs() noexcept {
  slot_ &= ~kRuns;
  auto* const slot = reinterpret_cast<pin_slots::Slot*>(slot_);
  pin_slots::runs_of(slot).end(pin_slots::block_of(slot).number);
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
