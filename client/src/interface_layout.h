// The description of an interface's layout that <moddev/interface.h> makes the compiler write: read from its
// bytes, and compared with another one for a person. Pure; who expects which interface is interfaces.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace moddev {

/// A larger description is refused.
inline constexpr std::size_t kMostLayoutBytes = 256UL * 1024;
/// Differences that one message tells; of more it says how many.
inline constexpr std::size_t kDifferencesTold = 3;

struct LayoutMember {
  std::string name;
  /// "byte 8", or "slot 2" of the virtual functions.
  std::string place;
  std::string type;
  friend bool operator==(const LayoutMember&, const LayoutMember&) = default;
};

struct LayoutType {
  std::string name;
  std::uint64_t size = 0;
  std::uint64_t alignment = 0;
  /// Virtual functions, those that were not named included.
  std::uint64_t slots = 0;
  std::vector<LayoutMember> members;
  friend bool operator==(const LayoutType&, const LayoutType&) = default;
};

struct InterfaceLayout {
  /// The interface itself first, then what it speaks of.
  std::vector<LayoutType> types;
  /// Which standard library; empty when no type of it was met.
  std::string standard_library;
  friend bool operator==(const InterfaceLayout&, const InterfaceLayout&) = default;

  [[nodiscard]] const std::string& name() const { return types.front().name; }
  /// Twelve hexadecimal digits of a digest over all of it, for people.
  [[nodiscard]] std::string identity() const;
};

/// `record` as <moddev/interface.h> lays it out; bytes behind it do not matter. Errors: kCorrupt, kLimit,
/// kUnsupported (of a newer moddev), kRefused (a function that is not virtual).
[[nodiscard]] Result<InterfaceLayout> read_interface_layout(std::span<const std::byte> record);

/// In which way `there` is not as `here`: "member 'limit' is float64 here and float32 there". Empty when they
/// are equal.
[[nodiscard]] std::string layout_difference(const InterfaceLayout& here, const InterfaceLayout& there);

}  // namespace moddev
