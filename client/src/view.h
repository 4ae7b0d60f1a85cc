// A View is one epoch inside an executor: the manifest and every loaded module. Immutable once made. Views of
// successive epochs share the modules that did not change.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

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

class View {
 public:
  using Modules = std::map<std::string, std::shared_ptr<const LoadedModule>, std::less<>>;
  View(Manifest manifest, Modules modules)
      : manifest_(std::move(manifest)), modules_(std::move(modules)), serial_(next_serial()) {}

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

 private:
  static std::uint64_t next_serial() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  Manifest manifest_;
  Modules modules_;
  std::uint64_t serial_;
};

}  // namespace moddev
