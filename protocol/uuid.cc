#include "protocol/uuid.h"

#include <sys/random.h>

namespace moddev {

Uuid Uuid::random() {
  Uuid uuid;
  // getrandom(2): requests of up to 256 bytes are not interrupted once the pool is ready.
  while (getrandom(uuid.bytes.data(), uuid.bytes.size(), 0) != static_cast<ssize_t>(uuid.bytes.size())) {
  }
  uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0FU) | 0x40U);
  uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3FU) | 0x80U);
  return uuid;
}

Result<Uuid> Uuid::parse(std::string_view text) {
  const auto bad = [&] {
    return Error{ErrorCode::kInvalidArgument, "'" + std::string(text.substr(0, 60)) + "' is no UUID", 0};
  };
  if (text.size() != 36) return bad();
  Uuid uuid;
  std::size_t digit = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return bad();
      continue;
    }
    unsigned value = 0;
    if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = static_cast<unsigned>(c - 'a' + 10);
    } else if (c >= 'A' && c <= 'F') {
      value = static_cast<unsigned>(c - 'A' + 10);
    } else {
      return bad();
    }
    auto& byte = uuid.bytes[digit / 2];
    byte = static_cast<std::uint8_t>((static_cast<unsigned>(byte) << 4U) | value);
    ++digit;
  }
  return uuid;
}

std::string Uuid::to_string() const {
  static constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(kHexDigits[bytes[i] >> 4]);
    text.push_back(kHexDigits[bytes[i] & 0xFU]);
  }
  return text;
}

}  // namespace moddev
