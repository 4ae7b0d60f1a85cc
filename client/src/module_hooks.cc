#include "client/src/module_hooks.h"

#include <cstring>
#include <exception>
#include <string>
#include <utility>

namespace moddev {
namespace {

template <typename Function>
Function* find(const SymbolTable& symbols, const char* name) {
  return reinterpret_cast<Function*>(symbols.find(name).address);
}

Error refusal(const char* hook, const std::string& reason) {
  return Error{ErrorCode::kRefused, std::string(hook) + " refused: " + reason, 0};
}

/// Calls a hook that answers with a reason.
template <typename Call>
Status ask(const char* hook, Call call) {
  try {
    const char* reason = call();
    if (reason == nullptr) return {};
    return refusal(hook, std::string(reason, ::strnlen(reason, kHookReasonBytes)));
  } catch (const std::exception& error) {
    return refusal(hook, "it threw " + std::string(error.what()).substr(0, kHookReasonBytes));
  } catch (...) {
    return refusal(hook, "it threw something that is not a std::exception");
  }
}

struct Collected {
  SavedState state;
  bool too_much = false;
};

void collect(void* context, const void* data, std::size_t size) {
  auto& collected = *static_cast<Collected*>(context);
  Bytes& all = collected.state.data;
  if (collected.too_much || size > kMostStateBytes - all.size()) {
    collected.too_much = true;
    return;
  }
  const auto* bytes = static_cast<const std::byte*>(data);
  all.insert(all.end(), bytes, bytes + size);
}

}  // namespace

ModuleHooks::ModuleHooks(const SymbolTable& symbols)
    : start_(find<const char*()>(symbols, "moddev_on_start_1")),
      stop_(find<void()>(symbols, "moddev_on_stop_1")),
      save_(find<const char*(moddev_state_writer*)>(symbols, "moddev_on_save_1")),
      restore_(find<const char*(const moddev_saved_state*)>(symbols, "moddev_on_restore_1")) {}

Status ModuleHooks::start() const {
  if (start_ == nullptr) return {};
  return ask("MODDEV_ON_START", start_);
}

Status ModuleHooks::restore(const SavedState& state) const {
  if (restore_ == nullptr) return {};
  const moddev_saved_state offered{state.data.data(), state.data.size(), state.version};
  return ask("MODDEV_ON_RESTORE", [&] { return restore_(&offered); });
}

Result<SavedState> ModuleHooks::save() const {
  Collected collected;
  moddev_state_writer writer{&collected, collect, 0};
  MODDEV_TRY(ask("MODDEV_ON_SAVE", [&] { return save_(&writer); }));
  if (collected.too_much) {
    return Error{ErrorCode::kLimit,
                 "MODDEV_ON_SAVE wrote more than " + std::to_string(kMostStateBytes) +
                     " bytes; keep such state in the program",
                 0};
  }
  collected.state.version = writer.version;
  return std::move(collected.state);
}

void ModuleHooks::stop() const {
  if (stop_ == nullptr) return;
  try {
    stop_();
  } catch (...) {
    // It has ended what it could; nobody is left to be told.
  }
}

}  // namespace moddev
