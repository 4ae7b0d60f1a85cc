// Text that comes from anywhere (a loader's message, a path) made fit for the wire, for JSON and for a
// terminal: valid UTF-8 and bounded. It does not decide what a text may say.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moddev {

/// The length in bytes of the UTF-8 sequence at the start of `text` (not empty), or 0 when it is malformed
/// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
[[nodiscard]] std::size_t utf8_sequence_length(std::string_view text);

[[nodiscard]] bool is_valid_utf8(std::string_view text);

/// At most `limit` bytes of `text`, cut between characters, with '?' for every byte that is no UTF-8.
[[nodiscard]] std::string clean_text(std::string_view text, std::size_t limit);

/// What a mangled C++ name ("_Z...", Itanium ABI) stands for, or nothing when it is none.
[[nodiscard]] std::string demangle(const std::string& symbol);

}  // namespace moddev
