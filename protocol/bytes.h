// Owned and shared byte strings. A SharedBytes is immutable and may be read by any thread: what is served,
// hashed, sent and written is one buffer without copies.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace moddev {

using Bytes = std::vector<std::byte>;
using SharedBytes = std::shared_ptr<const Bytes>;

[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}
[[nodiscard]] inline SharedBytes share(Bytes bytes) {
  return std::make_shared<const Bytes>(std::move(bytes));
}
[[nodiscard]] inline SharedBytes share(std::string_view text) {
  const auto view = as_bytes(text);
  return std::make_shared<const Bytes>(view.begin(), view.end());
}

}  // namespace moddev
