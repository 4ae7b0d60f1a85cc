// Views and pins: what an executor's code sees of an epoch.
//
// A View is one epoch, whole and immutable. The current view is replaced in one store. A Pin holds a view:
// for as long as the pin lives, its modules stay loaded and their code stays mapped. pin() is wait-free: two
// stores and a load, whatever other threads do; no count is shared between threads. Nothing here takes the
// dynamic loader's lock, so calls go on while a new version is being loaded.
//
// Runs are counted: `moddev stats` tells who ran which module how often and how long. A run begins with the
// first thing that a pin hands out of a module, and ends with the pin. Beside the look-up it costs two looks
// at the clock; a pin without look-ups costs nothing more.
#pragma once

#include <moddev/interface.h>
#include <moddev/protocol/result.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace moddev {

class View;        // opaque: client/src/view.h
struct ModuleUse;  // the same
class ViewStore;   // opaque: client/src/view_store.h

/// What a view knows of one module.
struct ModuleInfo {
  std::string name;
  std::string kind;  // "native", "python", "blob"
  std::uint64_t version = 0;
  std::string digest;  // "sha256:..."
  std::uint64_t size = 0;
  std::vector<std::string> depends_on;
};

/// That this program expects an interface: from the start of the program (or plug-in) that mentions
/// `interface<T>()` on, versions of modules that offer another layout of it are refused.
class InterfaceUse {
 public:
  /// `record` is what MODDEV_INTERFACE made.
  InterfaceUse(const void* record, std::size_t bytes);
  ~InterfaceUse();
  InterfaceUse(const InterfaceUse&) = delete;
  InterfaceUse& operator=(const InterfaceUse&) = delete;
  [[nodiscard]] const std::string& name() const;

 private:
  friend class Pin;
  struct Known;
  std::unique_ptr<const Known> known_;
};
template <layout::Interface T>
struct UsedInterface {
  static inline const InterfaceUse use{&moddev_interface_record(layout::Tag<T>{}),
                                       sizeof(moddev_interface_record(layout::Tag<T>{}))};
};
/// A struct of functions is only read; an abstract class has functions of its own that change it.
template <layout::Interface T>
using InterfacePointer = std::conditional_t<std::is_polymorphic_v<T>, T*, const T*>;

/// One epoch, held. Movable, also to another thread; not shared between threads at the same time. Everything
/// that a pin returns (functions, pointers, bytes) may be used only while the pin lives.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept
      : view_(std::exchange(other.view_, nullptr)), slot_(std::exchange(other.slot_, 0)) {}
  Pin& operator=(Pin&& other) noexcept {
    if (this != &other) {
      release();
      view_ = std::exchange(other.view_, nullptr);
      slot_ = std::exchange(other.slot_, 0);
    }
    return *this;
  }
  ~Pin() { release(); }

  /// Whether a view is held; false before the first epoch.
  explicit operator bool() const { return view_ != nullptr; }
  /// Lets go early. What the pin returned may not be used any more.
  void release() noexcept {
    if (slot_ != 0) {
      if ((slot_ & kRuns) != 0) end_runs();
      reinterpret_cast<std::atomic<std::uintptr_t>*>(slot_)->store(0, std::memory_order_release);
    }
    view_ = nullptr;
    slot_ = 0;
  }

  /// 0 before the first epoch and for an empty pin.
  [[nodiscard]] std::uint64_t epoch() const;

  /// The address of a symbol that the native module itself exports. Errors: kNotFound, whose message names
  /// what there is instead; kRefused when the module is not native.
  [[nodiscard]] Result<void*> symbol(std::string_view module, std::string_view symbol) const;

  /// pin.function<double(int)>("scorer", "score"): the same as a function pointer. The signature is the
  /// caller's promise.
  template <typename Signature>
  [[nodiscard]] Result<Signature*> function(std::string_view module, std::string_view name) const {
    Result<void*> address = symbol(module, name);
    if (!address) return address.error();
    return reinterpret_cast<Signature*>(*address);
  }

  /// pin.interface<shop::Scoring>("scorer"): what the module's MODDEV_PROVIDE offers. Never null. Errors:
  /// kNotFound (no such module, or it does not offer the interface); kRefused (not native, or another layout,
  /// and in which way).
  template <layout::Interface T>
  [[nodiscard]] Result<InterfacePointer<T>> interface(std::string_view module) const {
    const Result<void*> object = provided(module, UsedInterface<T>::use);
    if (!object) return object.error();
    return static_cast<InterfacePointer<T>>(*object);
  }

  /// The bytes of a module of any kind. Errors: kNotFound.
  [[nodiscard]] Result<std::span<const std::byte>> bytes(std::string_view module) const;

  [[nodiscard]] Result<ModuleInfo> module(std::string_view name) const;
  [[nodiscard]] std::vector<ModuleInfo> modules() const;

 private:
  friend class ViewStore;
  friend class NewestSymbol;  // client.h
  /// In `slot_`: modules run under this pin.
  static constexpr std::uintptr_t kRuns = 1;
  Pin(const View* view, std::atomic<std::uintptr_t>* slot)
      : view_(view), slot_(reinterpret_cast<std::uintptr_t>(slot)) {}
  [[nodiscard]] Result<void*> provided(std::string_view module, const InterfaceUse& use) const;
  [[nodiscard]] const ModuleUse* use_of(std::string_view module) const;
  [[nodiscard]] Result<void*> look_up(const ModuleUse* use, std::string_view module,
                                      std::string_view symbol) const;
  void begin_run(const ModuleUse& use) const noexcept;
  void end_runs() noexcept;
  const View* view_ = nullptr;
  // The address of where the hold is written down (client/src/view_store.h), and kRuns.
  mutable std::uintptr_t slot_ = 0;
};

}  // namespace moddev
