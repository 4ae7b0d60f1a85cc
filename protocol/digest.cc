#include "protocol/digest.h"

#include <openssl/evp.h>

namespace moddev {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr std::string_view kHexDigits = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Fetched once: looking an algorithm up by name costs more than hashing a small file (OpenSSL 3,
/// EVP_MD_fetch(3)).
const EVP_MD* sha256() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  MODDEV_ASSERT(md != nullptr, "OpenSSL has no SHA-256");
  return md;
}

}  // namespace

std::string Digest::hex() const {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const auto byte : bytes) {
    text.push_back(kHexDigits[byte >> 4]);
    text.push_back(kHexDigits[byte & 0xFU]);
  }
  return text;
}

std::string Digest::to_string() const {
  return std::string(kPrefix) + hex();
}

Result<Digest> Digest::parse(std::string_view text) {
  const std::string_view given = text;
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  Digest digest;
  const auto bad = [&] {
    return Error{
        ErrorCode::kInvalidArgument,
        "'" + std::string(given.substr(0, 80)) + "' is no digest: 64 hexadecimal digits are expected", 0};
  };
  if (text.size() != digest.bytes.size() * 2) return bad();
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return bad();
    digest.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return digest;
}

Result<Digest> Digest::from_bytes(std::span<const std::byte> raw) {
  Digest digest;
  if (raw.size() != digest.bytes.size()) {
    return Error{ErrorCode::kCorrupt, "a digest of " + std::to_string(raw.size()) + " bytes instead of 32",
                 0};
  }
  for (std::size_t i = 0; i < raw.size(); ++i) digest.bytes[i] = std::to_integer<std::uint8_t>(raw[i]);
  return digest;
}

struct Hasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() {
    MODDEV_ASSERT(context != nullptr, "out of memory");
    restart();
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  void restart() const {
    MODDEV_ASSERT(EVP_DigestInit_ex2(context, sha256(), nullptr) == 1, "SHA-256 does not start");
  }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::span<const std::byte> data) {
  MODDEV_ASSERT(EVP_DigestUpdate(state_->context, data.data(), data.size()) == 1, "SHA-256 failed");
}

Digest Hasher::finish() {
  Digest digest;
  unsigned int length = 0;
  MODDEV_ASSERT(EVP_DigestFinal_ex(state_->context, digest.bytes.data(), &length) == 1 && length == 32,
                "SHA-256 failed");
  state_->restart();
  return digest;
}

Digest digest_of(std::span<const std::byte> data) {
  Digest digest;
  unsigned int length = 0;
  MODDEV_ASSERT(EVP_Digest(data.data(), data.size(), digest.bytes.data(), &length, sha256(), nullptr) == 1,
                "SHA-256 failed");
  return digest;
}

Digest digest_of(std::string_view data) {
  return digest_of(std::as_bytes(std::span(data.data(), data.size())));
}

}  // namespace moddev
