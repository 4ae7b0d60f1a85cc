// Operating errors as values. A function that can fail for a reason outside the program returns Result<T>;
// a broken promise between our own functions is asserted (MODDEV_ASSERT), in release builds too.
// This file does not know where errors are shown: libraries return them, daemon and tools print them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace moddev {

/// What kind of failure it was; decides what a caller may do next, and crosses the wire by name.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  // the caller's fault: a malformed name, a wrong usage
  kNotFound,         // no such file, module, version, epoch
  kAlreadyExists,
  kConflict,     // true in itself, but not together with what is there (two modules of one name)
  kPermission,   // not allowed
  kUnavailable,  // nobody answers; trying again later can help
  kTimeout,
  kLimit,        // a named limit of limits.h was reached
  kCorrupt,      // bytes are not what their digest, header or format says
  kIo,           // the operating system refused; sys_errno says why
  kUnsupported,  // a newer protocol, a missing feature of kernel or file system
  kRefused,      // understood and declined, the message says why (a module that does not load)
  kInternal,
};

/// The wire and JSON name of a code, e.g. "not_found".
[[nodiscard]] std::string_view to_string(ErrorCode code);
[[nodiscard]] std::optional<ErrorCode> error_code_from_string(std::string_view name);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  /// A full sentence for a person: what happened, to which file or module, and why.
  std::string message;
  /// The errno of the failing call, or 0. Already part of `message`; kept for decisions.
  int sys_errno = 0;

  /// The same error with `context + ": "` before its message.
  [[nodiscard]] Error with_context(std::string_view context) const;
  friend bool operator==(const Error&, const Error&) = default;
};

/// An error whose message is `what + ": " + strerror(err)`.
[[nodiscard]] Error errno_error(std::string_view what, int err);

/// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T result) : state_(std::in_place_index<0>, std::move(result)) {}    // NOLINT: implicit on purpose
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit on purpose

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// Asserts ok().
  [[nodiscard]] T& value() &;
  [[nodiscard]] const T& value() const&;
  [[nodiscard]] T&& value() &&;
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }

  /// Asserts !ok().
  [[nodiscard]] const Error& error() const;

 private:
  std::variant<T, Error> state_;
};

/// Success, or the reason why not.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit on purpose
  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const;

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line, std::string_view why);

/// Ends the process with a message when `condition` does not hold, in every build.
#define MODDEV_ASSERT(condition, why) \
  ((condition) ? void() : ::moddev::assertion_failed(#condition, __FILE__, __LINE__, (why)))

/// Returns the error of `expression` (a Status or Result) from the calling function.
#define MODDEV_TRY(expression)                                       \
  do {                                                               \
    if (auto moddev_try_result = (expression); !moddev_try_result) { \
      return moddev_try_result.error();                              \
    }                                                                \
  } while (false)

template <typename T>
T& Result<T>::value() & {
  MODDEV_ASSERT(ok(), error().message);
  return std::get<0>(state_);
}
template <typename T>
const T& Result<T>::value() const& {
  MODDEV_ASSERT(ok(), error().message);
  return std::get<0>(state_);
}
template <typename T>
T&& Result<T>::value() && {
  MODDEV_ASSERT(ok(), error().message);
  return std::move(std::get<0>(state_));
}
template <typename T>
const Error& Result<T>::error() const {
  MODDEV_ASSERT(state_.index() == 1, "error() asked of a value");
  return std::get<1>(state_);
}
inline const Error& Result<void>::error() const {
  MODDEV_ASSERT(error_.has_value(), "error() asked of a success");
  return *error_;
}

}  // namespace moddev
