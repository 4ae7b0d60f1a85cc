// Which interfaces (<moddev/interface.h>) this process expects of modules, and whether a module keeps to
// them: asked before a version is loaded, and again before a program gets an object. The layouts themselves
// are compared by interface_layout.h.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/src/interface_layout.h"
#include "protocol/result.h"

namespace moddev {

/// All of the process, whichever library or plug-in of it expects them. From any thread.
class ExpectedInterfaces {
 public:
  static ExpectedInterfaces& of_process();

  /// From now on, whoever offers an interface of this name must offer this one. Counted.
  void add(const InterfaceLayout& layout);
  void remove(const InterfaceLayout& layout);
  /// From now on, `module` must offer `interface`. Counted.
  void require(std::string_view module, std::string_view interface);
  void release(std::string_view module, std::string_view interface);

  /// Whether a version of `module` that offers what `records` describe is one for this process. Errors:
  /// kRefused, with both sides and the difference; those of read_interface_layout().
  [[nodiscard]] Status check(std::string_view module,
                             std::span<const std::span<const std::byte>> records) const;

 private:
  mutable std::mutex mutex_;
  /// By name; several of one name when parts of the program were built from different headers.
  std::map<std::string, std::vector<std::pair<InterfaceLayout, unsigned>>, std::less<>> expected_;
  std::map<std::pair<std::string, std::string>, unsigned> required_;
};

/// What a module exports for an interface: shop::Scoring is "Scoring".
[[nodiscard]] std::string_view unqualified(std::string_view interface);

/// Says that `offered` is not `expected`. Only when they differ.
[[nodiscard]] Error layout_mismatch(const InterfaceLayout& expected, const InterfaceLayout& offered);

}  // namespace moddev
