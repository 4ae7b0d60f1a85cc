// Views and pins: what an executor's code sees of an epoch.
//
// A View is one epoch, whole and immutable. The current view is replaced in one store. A Pin holds a view:
// for as long as the pin lives, its modules stay loaded and their code stays mapped. pin() is wait-free: two
// stores and a load, whatever other threads do; no count is shared between threads.
#pragma once

#include <moddev/protocol/result.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moddev {

class View;       // opaque: client/src/view.h
class ViewStore;  // opaque: client/src/view_store.h

/// What a view knows of one module.
struct ModuleInfo {
  std::string name;
  std::string kind;  // "native", "python", "blob"
  std::uint64_t version = 0;
  std::string digest;  // "sha256:..."
  std::uint64_t size = 0;
  std::vector<std::string> depends_on;
};

/// One epoch, held. Movable, also to another thread; not shared between threads at the same time. Everything
/// that a pin returns (functions, pointers, bytes) may be used only while the pin lives.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();

  /// 0 before the first epoch and for an empty pin.
  [[nodiscard]] std::uint64_t epoch() const;

  /// The address of an exported symbol of a native module. Errors: kNotFound names what there is instead.
  [[nodiscard]] Result<void*> symbol(std::string_view module, std::string_view symbol) const;

  /// pin.function<double(int)>("scorer", "score"): the same as a function pointer. The signature is the
  /// caller's promise.
  template <typename Signature>
  [[nodiscard]] Result<Signature*> function(std::string_view module, std::string_view name) const {
    Result<void*> address = symbol(module, name);
    if (!address) return address.error();
    return reinterpret_cast<Signature*>(*address);
  }

  /// The bytes of a module of any kind. Errors: kNotFound.
  [[nodiscard]] Result<std::span<const std::byte>> bytes(std::string_view module) const;

  [[nodiscard]] Result<ModuleInfo> module(std::string_view name) const;
  [[nodiscard]] std::vector<ModuleInfo> modules() const;

 private:
  friend class ViewStore;
  const View* view_ = nullptr;
  void* slot_ = nullptr;  // where the hold is written down, see client/src/view_store.h
};

}  // namespace moddev
