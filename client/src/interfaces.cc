#include "client/src/interfaces.h"

#include <moddev/client.h>
#include <moddev/interface.h>
#include <moddev/view.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "client/src/view.h"

namespace moddev {
namespace {

std::string symbol_of(std::string_view prefix, std::string_view interface) {
  return std::string(prefix) + std::string(unqualified(interface));
}

/// The record that a loaded module exports: it says itself how long it is, and was read before it was loaded.
std::span<const std::byte> record_at(const void* address) {
  layout::Header header;
  std::memcpy(&header, address, sizeof header);
  const std::size_t text_end = sizeof header + header.text_bytes;
  const std::size_t slots_end = std::size_t{header.slots_at} + header.slot_bytes;
  return {static_cast<const std::byte*>(address), std::max(text_end, slots_end)};
}

}  // namespace

std::string_view unqualified(std::string_view interface) {
  const std::size_t colon = interface.rfind(':');
  return colon == std::string_view::npos ? interface : interface.substr(colon + 1);
}

Error layout_mismatch(const InterfaceLayout& expected, const InterfaceLayout& offered) {
  return {ErrorCode::kRefused,
          "it was built against layout " + offered.identity() + " of interface " + expected.name() +
              ", this program against " + expected.identity() + ": " + layout_difference(expected, offered) +
              "; build both from the same header",
          0};
}

// ------------------------------------------------------------------------------------------
// ExpectedInterfaces

ExpectedInterfaces& ExpectedInterfaces::of_process() {
  static auto* all = new ExpectedInterfaces;  // outlives every static that uses it
  return *all;
}

void ExpectedInterfaces::add(const InterfaceLayout& layout) {
  const std::lock_guard lock(mutex_);
  auto& of_name = expected_[layout.name()];
  for (auto& [known, count] : of_name) {
    if (known == layout) {
      ++count;
      return;
    }
  }
  of_name.emplace_back(layout, 1U);
}

void ExpectedInterfaces::remove(const InterfaceLayout& layout) {
  const std::lock_guard lock(mutex_);
  const auto of_name = expected_.find(layout.name());
  if (of_name == expected_.end()) return;
  std::erase_if(of_name->second, [&](auto& known) { return known.first == layout && --known.second == 0; });
  if (of_name->second.empty()) expected_.erase(of_name);
}

void ExpectedInterfaces::require(std::string_view module, std::string_view interface) {
  const std::lock_guard lock(mutex_);
  ++required_[{std::string(module), std::string(interface)}];
}

void ExpectedInterfaces::release(std::string_view module, std::string_view interface) {
  const std::lock_guard lock(mutex_);
  const auto found = required_.find({std::string(module), std::string(interface)});
  if (found != required_.end() && --found->second == 0) required_.erase(found);
}

Status ExpectedInterfaces::check(std::string_view module,
                                 std::span<const std::span<const std::byte>> records) const {
  std::set<std::string, std::less<>> offered;
  const std::lock_guard lock(mutex_);
  for (const auto record : records) {
    const auto layout = read_interface_layout(record);
    if (!layout) return layout.error();
    offered.insert(layout->name());
    const auto expected = expected_.find(layout->name());
    if (expected == expected_.end()) continue;
    for (const auto& [known, count] : expected->second) {
      if (!(known == *layout)) return layout_mismatch(known, *layout);
    }
  }
  for (const auto& [both, count] : required_) {
    if (both.first != module || offered.contains(both.second)) continue;
    return Error{ErrorCode::kRefused,
                 "it does not offer interface " + both.second +
                     ", which this program uses; put MODDEV_PROVIDE(" +
                     std::string(unqualified(both.second)) + ", OBJECT) into the module",
                 0};
  }
  return {};
}

// ------------------------------------------------------------------------------------ what a program holds

struct InterfaceUse::Known {
  InterfaceLayout layout;
};

InterfaceUse::InterfaceUse(const void* record, std::size_t bytes) {
  auto layout = read_interface_layout({static_cast<const std::byte*>(record), bytes});
  MODDEV_ASSERT(layout.ok(), "an interface of this program: " + (layout.ok() ? "" : layout.error().message));
  ExpectedInterfaces::of_process().add(*layout);
  known_ = std::make_unique<const Known>(Known{*std::move(layout)});
}

InterfaceUse::~InterfaceUse() {
  ExpectedInterfaces::of_process().remove(known_->layout);
}

const std::string& InterfaceUse::name() const {
  return known_->layout.name();
}

Result<void*> Pin::provided(std::string_view module, const InterfaceUse& use) const {
  const InterfaceLayout& expected = use.known_->layout;
  const std::string whose = "module '" + std::string(module) + "'";
  const ModuleUse* const used = use_of(module);
  const auto record = look_up(used, module, symbol_of("moddev_interface_1_", expected.name()));
  const auto provide = look_up(used, module, symbol_of("moddev_provided_1_", expected.name()));
  if (!record || !provide) {
    if (used == nullptr || record.error().code != ErrorCode::kNotFound) {
      return record ? provide.error() : record.error();
    }
    return Error{ErrorCode::kNotFound, whose + ": it does not offer interface " + expected.name(), 0};
  }
  const auto offered = read_interface_layout(record_at(*record));
  if (!offered) return offered.error().with_context(whose);
  if (!(*offered == expected)) return layout_mismatch(expected, *offered).with_context(whose);
  begin_run(*used);
  // Interfaces are handed to programs as they were declared: const or not is theirs to say.
  return const_cast<void*>(reinterpret_cast<const void* (*)()>(*provide)());
}

}  // namespace moddev
