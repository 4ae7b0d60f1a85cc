#include "client/src/interface_layout.h"

#include <moddev/interface.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/text.h"

namespace moddev {
namespace {

Error damaged(const std::string& what) {
  return {ErrorCode::kCorrupt, "the description of an interface in it is damaged: " + what, 0};
}

/// Takes the text up to `end` off the front of `text`.
std::string_view take(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return taken;
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Pointers to virtual member functions as the C++ ABI has them in memory.
class Slots {
 public:
  explicit Slots(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// The next pointer's place among the virtual functions. Errors: kCorrupt, kRefused.
  Result<std::uint64_t> next(std::string_view name) {
    std::array<std::uint64_t, 2> words{};
    if (bytes_.size() < sizeof words) return damaged("it has too few virtual functions");
    std::memcpy(words.data(), bytes_.data(), sizeof words);
    bytes_ = bytes_.subspan(sizeof words);
#if defined(__aarch64__)  // "C++ ABI for the Arm 64-bit Architecture", 3.2.1: the low bit of adj says virtual
    const bool is_virtual = (words[1] & 1U) != 0;
    const std::uint64_t offset = words[0];
    const std::uint64_t adjustment = words[1] >> 1U;
#else  // Itanium C++ ABI, 2.3: ptr is 1 plus the offset in the table
    const bool is_virtual = (words[0] & 1U) != 0;
    const std::uint64_t offset = words[0] - 1;
    const std::uint64_t adjustment = words[1];
#endif
    if (!is_virtual || adjustment != 0 || offset % sizeof(void*) != 0) {
      return Error{ErrorCode::kRefused,
                   "the interface function '" + clean_text(name, 256) +
                       "' is not a virtual function of its first base; MODDEV_INTERFACE takes no other",
                   0};
    }
    return offset / sizeof(void*);
  }

 private:
  std::span<const std::byte> bytes_;
};

/// One line of the text. Errors: kCorrupt, kRefused.
Status read_line(std::string_view line, InterfaceLayout& layout, Slots& slots) {
  const std::string_view kind = take(line, ' ');
  if (kind == "std") {
    layout.standard_library = line;
    return {};
  }
  if (kind == "type") {
    LayoutType& type = layout.types.emplace_back();
    type.name = take(line, ' ');
    const auto size = number(take(line, ' '));
    const auto alignment = number(line);
    if (!size || !alignment || type.name.empty()) return damaged("a type without its size");
    type.size = *size;
    type.alignment = *alignment;
    return {};
  }
  if ((kind != "m" && kind != "v") || layout.types.empty()) return damaged("a line of no known kind");
  LayoutMember member;
  member.name = take(line, ' ');
  if (kind == "m") {
    member.place = "byte " + std::string(take(line, ' '));
  } else if (layout.types.size() == 1) {
    auto slot = slots.next(member.name);
    if (!slot) return slot.error();
    member.place = "slot " + std::to_string(*slot);
  }
  member.type = line;
  layout.types.back().members.push_back(std::move(member));
  return {};
}

const LayoutMember* find_member(const LayoutType& type, const std::string& name) {
  const auto found = std::find_if(type.members.begin(), type.members.end(),
                                  [&](const LayoutMember& member) { return member.name == name; });
  return found == type.members.end() ? nullptr : &*found;
}

const LayoutType* find_type(const InterfaceLayout& layout, const std::string& name) {
  const auto found = std::find_if(layout.types.begin(), layout.types.end(),
                                  [&](const LayoutType& type) { return type.name == name; });
  return found == layout.types.end() ? nullptr : &*found;
}

std::string here_and_there(const std::string& here, const std::string& there) {
  return here + " here and " + there + " there";
}

/// How two descriptions of one type differ, the most telling first.
void compare_types(const LayoutType& here, const LayoutType& there, std::vector<std::string>& differences) {
  if (here == there) return;
  const std::size_t before = differences.size();
  const std::string of = " of " + here.name;
  if (here.members.size() != there.members.size()) {
    differences.push_back(here.name + " has " +
                          here_and_there(std::to_string(here.members.size()) + " members",
                                         std::to_string(there.members.size())));
  }
  for (const LayoutMember& member : here.members) {
    const LayoutMember* other = find_member(there, member.name);
    if (other == nullptr) {
      differences.push_back("'" + member.name + "'" + of + " is only here");
    } else if (other->type != member.type) {
      differences.push_back("'" + member.name + "'" + of + " is " + here_and_there(member.type, other->type));
    }
  }
  for (const LayoutMember& member : there.members) {
    if (find_member(here, member.name) == nullptr) {
      differences.push_back("'" + member.name + "'" + of + " is only there");
    }
  }
  if (differences.size() != before) return;
  for (const LayoutMember& member : here.members) {
    const LayoutMember* other = find_member(there, member.name);
    if (other->place != member.place) {
      differences.push_back("'" + member.name + "'" + of + " is at " +
                            here_and_there(member.place, other->place));
    }
  }
  if (here.size != there.size) {
    differences.push_back(here.name + " has " +
                          here_and_there(std::to_string(here.size) + " bytes", std::to_string(there.size)));
  }
  if (here.alignment != there.alignment) {
    differences.push_back(
        here.name + " is aligned to " +
        here_and_there(std::to_string(here.alignment) + " bytes", std::to_string(there.alignment)));
  }
  if (here.slots != there.slots) {
    differences.push_back(
        here.name + " has " +
        here_and_there(std::to_string(here.slots) + " virtual functions", std::to_string(there.slots)));
  }
  if (differences.size() == before) differences.push_back("the members" + of + " come in another order");
}

}  // namespace

std::string InterfaceLayout::identity() const {
  std::string all = standard_library;
  for (const LayoutType& type : types) {
    all += "\n" + type.name + " " + std::to_string(type.size) + " " + std::to_string(type.alignment) + " " +
           std::to_string(type.slots);
    for (const LayoutMember& member : type.members) {
      all += "\n" + member.name + " " + member.place + " " + member.type;
    }
  }
  constexpr std::size_t kDigits = 12;
  return digest_of(all).hex().substr(0, kDigits);
}

Result<InterfaceLayout> read_interface_layout(std::span<const std::byte> record) {
  const layout::Header known;
  layout::Header header;
  if (record.size() < sizeof header) return damaged("it is cut off");
  std::memcpy(&header, record.data(), sizeof header);
  if (std::memcmp(header.magic, known.magic, sizeof known.magic) != 0) {
    return Error{
        ErrorCode::kUnsupported,
        "it describes its interfaces as another version of moddev does; build it and the program with "
        "the same one",
        0};
  }
  if (record.size() > kMostLayoutBytes) {
    return Error{
        ErrorCode::kLimit,
        "the description of an interface has more than " + std::to_string(kMostLayoutBytes) + " bytes", 0};
  }
  if (header.text_bytes > record.size() - sizeof header || header.slots_at > record.size() ||
      header.slot_bytes > record.size() - header.slots_at) {
    return damaged("it is cut off");
  }
  std::string_view text = as_text(record.subspan(sizeof header, header.text_bytes));
  Slots slots(record.subspan(header.slots_at, header.slot_bytes));
  InterfaceLayout layout;
  while (!text.empty()) MODDEV_TRY(read_line(take(text, '\n'), layout, slots));
  if (layout.types.empty()) return damaged("it is empty");
  if (header.slot_bytes != 0) {
    auto all = slots.next("after the last");
    if (!all) return all.error();
    layout.types.front().slots = *all;
  }
  return layout;
}

std::string layout_difference(const InterfaceLayout& here, const InterfaceLayout& there) {
  if (here == there) return {};
  std::vector<std::string> differences;
  for (const LayoutType& type : here.types) {
    if (const LayoutType* other = find_type(there, type.name)) compare_types(type, *other, differences);
  }
  if (here.standard_library != there.standard_library) {
    differences.push_back(
        "the standard library is " +
        here_and_there(here.standard_library.empty() ? "not used" : here.standard_library,
                       there.standard_library.empty() ? "not used" : there.standard_library));
  }
  if (differences.empty()) differences.emplace_back("they speak of other types");
  std::string text;
  for (std::size_t i = 0; i < std::min(differences.size(), kDifferencesTold); ++i) {
    text += (i == 0 ? "" : "; ") + differences[i];
  }
  if (differences.size() > kDifferencesTold) {
    text += "; and " + std::to_string(differences.size() - kDifferencesTold) + " more";
  }
  return text;
}

}  // namespace moddev
