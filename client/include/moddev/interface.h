// Typed interfaces between a program and its modules, whose layouts are compared before anything is called.
//
// An interface is a struct (usually of function pointers) or an abstract class, in a header that program and
// modules include. Say so right after it, in its namespace; name all its members, in their order:
//
//   // scoring.h
//   namespace shop {
//   struct Order { long id; double weight; };
//   MODDEV_LAYOUT(Order, id, weight)         // a type that the interface speaks of
//   struct Scoring { double (*score)(const Order&); double limit; };
//   MODDEV_INTERFACE(Scoring, score, limit)  // the interface
//   }
//
// The module, in the same namespace (or after `using shop::Scoring`):
//
//   static const Scoring scoring{.score = [](const Order& order) { return 2 * order.weight; }, .limit = 10};
//   MODDEV_PROVIDE(Scoring, scoring)
//
// The program (client.h, view.h):
//
//   auto scoring = client->interface<shop::Scoring>("scorer");  // always the newest version
//   scoring->score({1, 2.5});
//
// The compiler computes, in both, a description of the layout: names, places and types of the members, the
// slots of virtual functions, sizes and alignments, and the same of every type that it meets and that has a
// MODDEV_LAYOUT. Both keep it as data. A module whose description is not the program's is refused before it
// is loaded, with the difference; the last good version goes on.
//
// What a description does not see: the inside of classes without a MODDEV_LAYOUT (their name always, their
// size where they are passed or kept by value), what enumerators mean, what a function does, and the version
// of the standard library beyond its ABI switches. Not possible: bit-fields, base classes with members,
// references as members, overloaded virtual functions, templates as interfaces, more than 86 members.
//
// This header is for modules, too: it links nothing of moddev's. C++20.
#pragma once

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "<moddev/interface.h> needs C++20: target_compile_features(TARGET PRIVATE cxx_std_20)"
#endif

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace moddev::layout {

/// Types that one description may speak of.
inline constexpr std::size_t kMostTypes = 64;

template <typename T>
struct Tag {
  using type = T;
};

/// What a module exports for each interface: its bytes stand in the file as they are, without relocations, so
/// that they are read before anything is loaded. All integers are of the machine's order.
///   magic "moddevI1", text_bytes, slots_at, slot_bytes, then the text, then at `slots_at` the slots
/// The text: "type NAME SIZE ALIGNMENT", "m NAME OFFSET TYPE" or "v NAME TYPE" for each member, one a line;
/// "std WORD" at the end when a type of the standard library was met. The slots: for each "v" the
/// pointer to the member function as the C++ ABI has it (Itanium C++ ABI, 2.3), and one more for a function
/// declared after the last.
struct Header {
  char magic[8] = {'m', 'o', 'd', 'd', 'e', 'v', 'I', '1'};
  std::uint32_t text_bytes = 0;
  std::uint32_t slots_at = 0;
  std::uint32_t slot_bytes = 0;
  std::uint32_t unused = 0;
};

class Writer;
template <typename T>
concept Described = requires(Writer& out) {
  moddev_describe(Tag<T>{}, out);
};

/// Takes the text of a description, or counts it.
class Writer {
 public:
  constexpr explicit Writer(char* out) : out_(out) {}
  constexpr void put(std::string_view text) {
    for (const char c : text) put(c);
  }
  constexpr void put(char c) {
    if (out_ != nullptr) out_[size_] = c;
    ++size_;
  }
  constexpr void number(std::size_t value) {
    if (value >= 10) number(value / 10);
    put(static_cast<char>('0' + value % 10));
  }
  [[nodiscard]] constexpr std::size_t size() const { return size_; }

  /// Describes `T` and all that it leads to.
  template <typename T>
  constexpr void describe_all() {
    lead_to<T>();
    for (std::size_t next = 0; next < types_; ++next) describe_[next](*this);
    if (!standard_) return;
    put("std ");
#ifdef _LIBCPP_VERSION
    put("libc++");
#elif defined(_GLIBCXX_USE_CXX11_ABI) && !_GLIBCXX_USE_CXX11_ABI
    put("old_strings");
#else
    put("libstdc++");
#endif
#if defined(_GLIBCXX_DEBUG)
    put("_debug");
#endif
    put('\n');
  }

  /// One member of the type that is being described. `offset` gives its place when it is data.
  template <typename T, typename Member, typename Offset>
  constexpr void member(std::string_view name, Member T::* /*pointer*/, Offset offset);
  /// The same for a function that a base class declares.
  template <typename T, typename Base, typename Member, typename Offset>
  requires(!std::is_same_v<T, Base>) constexpr void member(std::string_view name, Member Base::* /*pointer*/,
                                                           Offset offset);

  template <typename T>
  constexpr void type();
  /// A type whose objects are there themselves, not only pointers to them.
  template <typename T>
  constexpr void value();
  template <typename... T>
  constexpr void list() {
    [[maybe_unused]] bool first = true;
    ((first ? void() : put(", "), first = false, value<T>()), ...);
  }

  /// Whether the members that were named fill the struct.
  [[nodiscard]] constexpr bool complete(std::size_t size, std::size_t alignment) const {
    return !gap_ && (end_ + alignment - 1) / alignment * alignment == size;
  }

 private:
  template <typename T>
  constexpr void lead_to();
  template <typename T>
  constexpr void class_name();
  template <typename T, typename Member>
  constexpr void function_member(std::string_view name);

  char* out_;
  std::size_t size_ = 0;
  std::size_t types_ = 0;
  std::string_view known_[kMostTypes] = {};
  void (*describe_[kMostTypes])(Writer&) = {};
  std::size_t end_ = 0;
  bool gap_ = false;
  bool standard_ = false;
};

/// The name of `T` as GCC and Clang both write it for types that are no templates.
template <typename T>
constexpr const char* pretty_function() {
  return __PRETTY_FUNCTION__;
}
template <typename T>
constexpr std::string_view name_of() {
  std::string_view name = pretty_function<T>();
  name.remove_prefix(name.find("T = ") + 4);
  name.remove_suffix(1);
  return name;
}

template <typename T>
struct ArgumentsOf : std::false_type {};
template <template <typename...> typename Template, typename... Arguments>
struct ArgumentsOf<Template<Arguments...>> : std::true_type {
  static constexpr void write(Writer& out) {
    // Those of the standard library that nobody chooses would only make messages long.
    [[maybe_unused]] bool first = true;
    [[maybe_unused]] const auto one = [&]<typename T>(Tag<T>) {
      const std::string_view name = name_of<T>();
      for (const std::string_view usual : {"std::allocator<", "std::char_traits<", "std::default_delete<"}) {
        if (name.substr(0, usual.size()) == usual) return;
      }
      if (!first) out.put(", ");
      first = false;
      out.type<T>();
    };
    (one(Tag<Arguments>{}), ...);
  }
};

template <typename T>
struct FunctionOf : std::false_type {};
// NOLINTBEGIN(bugprone-macro-parentheses)
#define MODDEV_LAYOUT_FUNCTION(qualifiers, text)                             \
  template <typename Return, typename... Arguments>                          \
  struct FunctionOf<Return(Arguments...) qualifiers> : std::true_type {      \
    static constexpr void write(Writer& out, std::string_view middle) {      \
      out.value<Return>();                                                   \
      out.put(middle);                                                       \
      out.put('(');                                                          \
      out.list<Arguments...>();                                              \
      out.put(")" text);                                                     \
    }                                                                        \
  };                                                                         \
  template <typename Return, typename... Arguments>                          \
  struct FunctionOf<Return(Arguments..., ...) qualifiers> : std::true_type { \
    static constexpr void write(Writer& out, std::string_view middle) {      \
      out.value<Return>();                                                   \
      out.put(middle);                                                       \
      out.put('(');                                                          \
      out.list<Arguments...>();                                              \
      out.put(", ...)" text);                                                \
    }                                                                        \
  };
MODDEV_LAYOUT_FUNCTION(, "")
MODDEV_LAYOUT_FUNCTION(const, " const")
MODDEV_LAYOUT_FUNCTION(noexcept, " noexcept")
MODDEV_LAYOUT_FUNCTION(const noexcept, " const noexcept")
#undef MODDEV_LAYOUT_FUNCTION
// NOLINTEND(bugprone-macro-parentheses)

template <typename T>
constexpr void Writer::class_name() {
  std::string_view name = name_of<T>();
  if (name.substr(0, 5) == "std::") standard_ = true;
  if constexpr (ArgumentsOf<T>::value) name = name.substr(0, name.find('<'));
  // An inline namespace that GCC writes and Clang does not; describe_all() says which strings they are.
  constexpr std::string_view kInlineNamespace = "__cxx11::";
  while (!name.empty()) {
    if (name.substr(0, kInlineNamespace.size()) == kInlineNamespace) {
      name.remove_prefix(kInlineNamespace.size());
      continue;
    }
    put(name.front() == ' ' ? '_' : name.front());
    name.remove_prefix(1);
  }
  if constexpr (ArgumentsOf<T>::value) {
    put('<');
    ArgumentsOf<T>::write(*this);
    put('>');
  }
}

template <typename T>
constexpr void Writer::type() {
  if constexpr (std::is_const_v<T> && !std::is_array_v<T>) {
    put("const ");
    type<std::remove_const_t<T>>();
  } else if constexpr (std::is_volatile_v<T> && !std::is_array_v<T>) {
    put("volatile ");
    type<std::remove_volatile_t<T>>();
  } else if constexpr (std::is_lvalue_reference_v<T>) {
    type<std::remove_reference_t<T>>();
    put('&');
  } else if constexpr (std::is_rvalue_reference_v<T>) {
    type<std::remove_reference_t<T>>();
    put("&&");
  } else if constexpr (std::is_pointer_v<T> && FunctionOf<std::remove_pointer_t<T>>::value) {
    FunctionOf<std::remove_pointer_t<T>>::write(*this, "(*)");
  } else if constexpr (std::is_pointer_v<T>) {
    type<std::remove_pointer_t<T>>();
    put('*');
  } else if constexpr (FunctionOf<T>::value) {
    FunctionOf<T>::write(*this, "");
  } else if constexpr (std::is_array_v<T>) {
    type<std::remove_extent_t<T>>();
    put('[');
    number(std::extent_v<T>);
    put(']');
  } else if constexpr (std::is_void_v<T> || std::is_same_v<T, bool> || std::is_same_v<T, char>) {
    put(name_of<T>());
  } else if constexpr (std::is_floating_point_v<T>) {
    put("float");
    number(sizeof(T) * 8);
  } else if constexpr (std::is_integral_v<T>) {
    put(std::is_signed_v<T> ? "int" : "uint");
    number(sizeof(T) * 8);
  } else if constexpr (std::is_enum_v<T>) {
    class_name<T>();
    put(':');
    type<std::underlying_type_t<T>>();
  } else {
    class_name<T>();
    if constexpr (Described<T>) lead_to<T>();
  }
}

template <typename T>
constexpr void Writer::value() {
  type<T>();
  using Element = std::remove_cv_t<std::remove_all_extents_t<T>>;
  if constexpr (std::is_class_v<Element> || std::is_union_v<Element>) {
    if constexpr (!Described<Element>) {
      put('#');
      number(sizeof(Element));
      put('/');
      number(alignof(Element));
    }
  }
}

template <typename T>
constexpr void Writer::lead_to() {
  // By name: GCC 12 compares the addresses of two variables at compile time only without UBSan.
  for (std::size_t i = 0; i < types_; ++i) {
    if (known_[i] == name_of<T>()) return;
  }
  known_[types_] = name_of<T>();  // beyond kMostTypes the compiler reports this line
  describe_[types_] = [](Writer& out) {
    out.put("type ");
    out.class_name<T>();
    out.put(' ');
    out.number(sizeof(T));
    out.put(' ');
    out.number(alignof(T));
    out.put('\n');
    moddev_describe(Tag<T>{}, out);
  };
  ++types_;
}

template <typename T, typename Member>
constexpr void Writer::function_member(std::string_view name) {
  static_assert(std::is_polymorphic_v<T>, "a member function of an interface must be virtual");
  put("v ");
  put(name);
  put(' ');
  type<Member>();
  put('\n');
}

template <typename T, typename Member, typename Offset>
constexpr void Writer::member(std::string_view name, Member T::* /*pointer*/, Offset offset) {
  if constexpr (std::is_function_v<Member>) {
    function_member<T, Member>(name);
  } else {
    const std::size_t at = offset(Tag<T>{});
    gap_ = gap_ || at != (end_ + alignof(Member) - 1) / alignof(Member) * alignof(Member);
    end_ = at + sizeof(Member);
    put("m ");
    put(name);
    put(' ');
    number(at);
    put(' ');
    value<Member>();
    put('\n');
  }
}

template <typename T, typename Base, typename Member, typename Offset>
requires(!std::is_same_v<T, Base>) constexpr void Writer::member(std::string_view name,
                                                                 Member Base::* /*pointer*/,
                                                                 Offset /*offset*/) {
  static_assert(std::is_function_v<Member>, "a described type has no members in base classes");
  function_member<T, Member>(name);
}

/// What every MODDEV_LAYOUT promises.
template <typename T>
constexpr bool whole() {
  if constexpr (std::is_polymorphic_v<T>) {
    return sizeof(T) == sizeof(void*);
  } else if constexpr (std::is_empty_v<T>) {
    return true;
  } else {
    Writer out(nullptr);
    moddev_describe(Tag<T>{}, out);
    return out.complete(sizeof(T), alignof(T));
  }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
/// Its function's slot is the number of slots in `T`.
template <typename T>
struct AfterTheLast : T {
  virtual void moddev_after_the_last();
};
#pragma GCC diagnostic pop

template <typename... Pointers>
struct Slots {};
template <typename First, typename... Rest>
struct Slots<First, Rest...> {
  First first;
  [[no_unique_address]] Slots<Rest...> rest;
};
constexpr Slots<> slots_of() {
  return {};
}
template <typename First, typename... Rest>
constexpr auto slots_of(First first, Rest... rest) {
  return Slots<First, Rest...>{first, slots_of(rest...)};
}

template <std::size_t kTextBytes, typename AllSlots>
struct Record {
  Header header;
  char text[kTextBytes];
  [[no_unique_address]] AllSlots slots;
};

template <typename T, typename... Pointers>
constexpr auto record_of(Tag<T> /*type*/, [[maybe_unused]] Pointers... pointers) {
  constexpr std::size_t kTextBytes = [] {
    Writer counting(nullptr);
    counting.describe_all<T>();
    return counting.size();
  }();
  const auto fill = [](auto& record, std::size_t slot_bytes) {
    record.header.text_bytes = kTextBytes;
    record.header.slot_bytes = static_cast<std::uint32_t>(slot_bytes);
    Writer out(record.text);
    out.describe_all<T>();
  };
  if constexpr (std::is_polymorphic_v<T>) {
    const auto all = slots_of(pointers..., &AfterTheLast<T>::moddev_after_the_last);
    using Whole = Record<kTextBytes, std::remove_const_t<decltype(all)>>;
    Whole record{{}, {}, all};
    record.header.slots_at = offsetof(Whole, slots);
    fill(record, sizeof all);
    return record;
  } else {
    Record<kTextBytes, Slots<>> record{{}, {}, {}};
    fill(record, 0);
    return record;
  }
}

/// A type that has a MODDEV_INTERFACE.
template <typename T>
concept Interface = requires {
  moddev_interface_record(Tag<T>{});
};

}  // namespace moddev::layout

// NOLINTBEGIN(bugprone-macro-parentheses): member names are no expressions
// Applies `macro(type, member)` to up to 86 members: so often do four levels of four expand again.
#define MODDEV_LAYOUT_PARENTHESES ()
#define MODDEV_LAYOUT_EXPAND(...) \
  MODDEV_LAYOUT_EXPAND3(MODDEV_LAYOUT_EXPAND3(MODDEV_LAYOUT_EXPAND3(MODDEV_LAYOUT_EXPAND3(__VA_ARGS__))))
#define MODDEV_LAYOUT_EXPAND3(...) \
  MODDEV_LAYOUT_EXPAND2(MODDEV_LAYOUT_EXPAND2(MODDEV_LAYOUT_EXPAND2(MODDEV_LAYOUT_EXPAND2(__VA_ARGS__))))
#define MODDEV_LAYOUT_EXPAND2(...) \
  MODDEV_LAYOUT_EXPAND1(MODDEV_LAYOUT_EXPAND1(MODDEV_LAYOUT_EXPAND1(MODDEV_LAYOUT_EXPAND1(__VA_ARGS__))))
#define MODDEV_LAYOUT_EXPAND1(...) __VA_ARGS__
#define MODDEV_LAYOUT_EACH(macro, type, ...) \
  __VA_OPT__(MODDEV_LAYOUT_EXPAND(MODDEV_LAYOUT_NEXT(macro, type, __VA_ARGS__)))
#define MODDEV_LAYOUT_NEXT(macro, type, member, ...) \
  macro(type, member) __VA_OPT__(MODDEV_LAYOUT_AGAIN MODDEV_LAYOUT_PARENTHESES(macro, type, __VA_ARGS__))
#define MODDEV_LAYOUT_AGAIN() MODDEV_LAYOUT_NEXT

#define MODDEV_LAYOUT_MEMBER(Type, name) \
  out.member<Type>(#name, &Type::name,   \
                   [](auto moddev_tag) { return offsetof(typename decltype(moddev_tag)::type, name); });
#define MODDEV_LAYOUT_POINTER(Type, name) , &Type::name

/// Describes a struct that interfaces speak of; all its members, in their order.
#define MODDEV_LAYOUT(Type, ...)                                                                             \
  [[maybe_unused]] constexpr void moddev_describe(::moddev::layout::Tag<Type>,                               \
                                                  [[maybe_unused]] ::moddev::layout::Writer& out) {          \
    MODDEV_LAYOUT_EACH(MODDEV_LAYOUT_MEMBER, Type, __VA_ARGS__)                                              \
  }                                                                                                          \
  static_assert(::moddev::layout::whole<Type>(),                                                             \
                "name all members of " #Type                                                                 \
                ", in the order of their declaration; a class with virtual functions has no other members, " \
                "and packed structs, bit-fields and base classes with members cannot be described");

/// The same for an interface; right after its definition, in its namespace.
#define MODDEV_INTERFACE(Type, ...)                                                                 \
  MODDEV_LAYOUT(Type, __VA_ARGS__)                                                                  \
  inline constexpr auto moddev_record_##Type = ::moddev::layout::record_of(                         \
      ::moddev::layout::Tag<Type> {} MODDEV_LAYOUT_EACH(MODDEV_LAYOUT_POINTER, Type, __VA_ARGS__)); \
  [[maybe_unused]] constexpr const auto& moddev_interface_record(::moddev::layout::Tag<Type>) {     \
    return moddev_record_##Type;                                                                    \
  }

/// In a module: offers `object`, which is or derives from `Type` and lives as long as the module. Once for
/// each interface, where `Type` needs no qualification.
#define MODDEV_PROVIDE(Type, object)                                                     \
  extern "C" __attribute__((visibility("default")))                                      \
  const decltype(moddev_record_##Type) moddev_interface_1_##Type;                        \
  const decltype(moddev_record_##Type) moddev_interface_1_##Type = moddev_record_##Type; \
  extern "C" __attribute__((visibility("default"), used))                                \
  const void* moddev_provided_1_##Type(void) noexcept {                                  \
    return static_cast<const Type*>(&(object));                                          \
  }
// NOLINTEND(bugprone-macro-parentheses)
