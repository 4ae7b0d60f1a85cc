// The optional hooks of a native module (<moddev/module.h>): finds them and calls them, with everything that
// a module may do wrong turned into an Error. It does not decide when; that is transaction.cc and
// native_loader.cc.
#pragma once

#include <moddev/module.h>

#include <cstddef>
#include <cstdint>

#include "client/src/symbol_table.h"
#include "protocol/bytes.h"
#include "protocol/result.h"

namespace moddev {

/// A module that saves more is refused: it would be held in memory twice.
inline constexpr std::size_t kMostStateBytes = 256UL * 1024 * 1024;
/// A longer reason of a hook is cut.
inline constexpr std::size_t kHookReasonBytes = 1024;

struct SavedState {
  Bytes data;
  std::uint32_t version = 0;
};

class ModuleHooks {
 public:
  ModuleHooks() = default;
  explicit ModuleHooks(const SymbolTable& symbols);

  [[nodiscard]] bool has_stop() const { return stop_ != nullptr; }
  [[nodiscard]] bool saves() const { return save_ != nullptr; }
  [[nodiscard]] bool restores() const { return restore_ != nullptr; }

  /// Errors: kRefused with the hook's reason. A missing hook succeeds.
  Status start() const;
  Status restore(const SavedState& state) const;
  /// Only when saves(). Errors: kRefused, kLimit.
  [[nodiscard]] Result<SavedState> save() const;
  /// Must not throw: the thread that it runs on is ours alone, and its exceptions end here.
  void stop() const;

 private:
  const char* (*start_)() = nullptr;
  void (*stop_)() = nullptr;
  const char* (*save_)(moddev_state_writer*) = nullptr;
  const char* (*restore_)(const moddev_saved_state*) = nullptr;
};

}  // namespace moddev
