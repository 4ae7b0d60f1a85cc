// A View is one epoch inside an executor: the manifest and every loaded module. Immutable once made, but for
// the counters of its modules' runs. Views of successive epochs share the modules that did not change.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client/src/runs.h"
#include "protocol/bytes.h"
#include "protocol/manifest.h"
#include "protocol/result.h"

namespace moddev {

/// One version of one module, loaded. Its destructor unloads; it runs on the loader's thread, never under a
/// pin.
class LoadedModule {
 public:
  virtual ~LoadedModule() = default;
  /// Errors: kNotFound.
  [[nodiscard]] virtual Result<void*> symbol(std::string_view name) const = 0;
  /// The artifact as published.
  [[nodiscard]] virtual Result<std::span<const std::byte>> bytes() const = 0;
  /// Bytes that stay mapped for ever although the module was unloaded; 0 when it can be unloaded.
  [[nodiscard]] virtual std::uint64_t retired_bytes() const { return 0; }
};

/// One module of one view, for who looks something up in it.
struct ModuleUse {
  std::string_view name;
  Version version = 0;
  const LoadedModule* loaded = nullptr;
  /// Made by the first run.
  mutable std::atomic<RunCounter*> runs{nullptr};
  mutable const ModuleUse* next_used = nullptr;
};

class View {
 public:
  using Modules = std::map<std::string, std::shared_ptr<const LoadedModule>, std::less<>>;
  View(Manifest manifest, Modules modules);
  ~View();
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  /// Names this view among all of the process, from 1, rising: what was looked up in a view may be kept under
  /// it.
  [[nodiscard]] std::uint64_t serial() const { return serial_; }
  [[nodiscard]] Epoch epoch() const { return manifest_.epoch; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const Modules& modules() const { return modules_; }
  /// Null when there is none of that name.
  [[nodiscard]] const LoadedModule* find(std::string_view name) const {
    const auto found = modules_.find(name);
    return found == modules_.end() ? nullptr : found->second.get();
  }
  /// The same for look-ups: null when there is none of that name.
  [[nodiscard]] const ModuleUse* use_of(std::string_view name) const;

  /// Where runs of `use`, which is of this view, are counted. Any thread. Null when there is no memory for
  /// it.
  [[nodiscard]] RunCounter* counter_of(const ModuleUse& use) const noexcept {
    RunCounter* const there = use.runs.load(std::memory_order_acquire);
    return there != nullptr ? there : make_counter(use);
  }
  /// Calls visit(const ModuleUse&, RunTotals) for each module that was run in this view. Any thread.
  template <typename Visit>
  void each_run(Visit visit) const {
    for (const ModuleUse* use = used_.load(std::memory_order_acquire); use != nullptr; use = use->next_used)
      visit(*use, use->runs.load(std::memory_order_acquire)->totals());
  }

 private:
  static std::uint64_t next_serial() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  RunCounter* make_counter(const ModuleUse& use) const noexcept;

  Manifest manifest_;
  Modules modules_;
  std::uint64_t serial_;
  std::unique_ptr<ModuleUse[]> uses_;  // sorted by name, as many as modules_
  mutable std::atomic<const ModuleUse*> used_{nullptr};
};

}  // namespace moddev
