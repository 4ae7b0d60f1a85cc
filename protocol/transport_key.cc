#include "protocol/transport_key.h"

#include <sodium.h>
#include <zmq.h>

#include <array>
#include <optional>

#include "protocol/private_file.h"

namespace moddev {
namespace {

constexpr std::size_t kKeyBytes = 32;
using KeyText = std::array<char, kTransportKeyCharacters + 1>;

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The value of `name = "value"` in a ZPL text (ZeroMQ RFC 4); Z85 has neither quotes nor spaces, but '#', so
/// only whole lines are comments.
std::optional<std::string> value_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!line.starts_with(name)) continue;
    std::string_view rest = trimmed(line.substr(name.size()));
    if (!rest.starts_with('=')) continue;
    rest = trimmed(rest.substr(1));
    if (rest.size() >= 2 && (rest.front() == '"' || rest.front() == '\'') && rest.back() == rest.front())
      rest = rest.substr(1, rest.size() - 2);
    return std::string(rest);
  }
  return std::nullopt;
}

Error malformed(const std::string& file, std::string_view why) {
  return {ErrorCode::kCorrupt,
          file + " is no key file: " + std::string(why) + ". `moddev keygen` makes a new one.", 0};
}

std::string certificate(const TransportKeys& keys, std::string_view name, std::string_view head,
                        bool with_secret) {
  std::string text(head);
  text += "metadata\n    name = \"";
  for (const char c : name)
    if (c != '"' && static_cast<unsigned char>(c) >= 0x20) text += c;
  text += "\"\ncurve\n    public-key = \"" + keys.public_key + "\"\n";
  if (with_secret) text += "    secret-key = \"" + keys.secret_key + "\"\n";
  return text;
}

/// The 32 bytes that 40 characters of Z85 stand for.
std::optional<std::array<std::uint8_t, kKeyBytes>> decoded(std::string_view text) {
  if (text.size() != kTransportKeyCharacters) return std::nullopt;
  constexpr std::string_view kAlphabet =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
  // zmq_z85_decode() of 4.3.4 checks less than that.
  if (text.find_first_not_of(kAlphabet) != std::string_view::npos) return std::nullopt;
  std::array<std::uint8_t, kKeyBytes> bytes{};
  if (::zmq_z85_decode(bytes.data(), std::string(text).c_str()) == nullptr) return std::nullopt;
  return bytes;
}

}  // namespace

Result<TransportKeys> TransportKeys::generate() {
  KeyText public_key{};
  KeyText secret_key{};
  do {
    if (::zmq_curve_keypair(public_key.data(), secret_key.data()) != 0)
      return Error{ErrorCode::kUnsupported,
                   "This libzmq was built without CURVE: no keys, no other machines."};
  } while (public_key.front() == '-');
  return TransportKeys{public_key.data(), secret_key.data()};
}

Status validate_transport_key(std::string_view text) {
  const auto bytes = decoded(text);
  if (!bytes) {
    return Error{ErrorCode::kInvalidArgument,
                 "'" + std::string(text.substr(0, 80)) + "' is not 40 characters of Z85.", 0};
  }
  // It refuses exactly these points (libsodium 1.0.18, crypto_scalarmult/curve25519); which scalar does not
  // matter.
  const std::array<std::uint8_t, crypto_scalarmult_SCALARBYTES> scalar{1};
  std::array<std::uint8_t, crypto_scalarmult_BYTES> shared{};
  if (crypto_scalarmult_curve25519(shared.data(), scalar.data(), bytes->data()) == 0) return {};
  return Error{
      ErrorCode::kRefused,
      "'" + std::string(text) +
          "' looks like a key, but anybody could pretend to have it. `moddev keygen` makes real ones.",
      0};
}

std::string transport_key_text(std::span<const std::byte, kKeyBytes> key) {
  KeyText text{};
  ::zmq_z85_encode(text.data(), reinterpret_cast<const std::uint8_t*>(key.data()), key.size());
  return text.data();
}

std::string transport_public_text(const TransportKeys& keys, std::string_view name) {
  return certificate(keys, name,
                     "#   ZeroMQ CURVE public certificate, made by moddev keygen.\n"
                     "#   It is no secret; whoever gets it must be sure that it is yours.\n\n",
                     false);
}

std::string transport_secret_text(const TransportKeys& keys, std::string_view name) {
  return certificate(keys, name,
                     "#   ZeroMQ CURVE **secret** certificate, made by moddev keygen.\n"
                     "#   DO NOT GIVE THIS FILE TO ANYBODY.\n\n",
                     true);
}

Result<std::string> parse_transport_public_key(std::string_view text, const std::string& file) {
  auto key = value_of(text, "public-key");
  if (!key) return malformed(file, "it has no public-key");
  if (const Status valid = validate_transport_key(*key); !valid) {
    return malformed(file, valid.error().code == ErrorCode::kRefused
                               ? "its public-key is one that anybody could pretend to have"
                               : "its public-key is not 40 characters of Z85");
  }
  return std::move(*key);
}

Result<TransportKeys> parse_transport_keys(std::string_view text, const std::string& file) {
  auto public_key = parse_transport_public_key(text, file);
  if (!public_key) return public_key.error();
  auto secret_key = value_of(text, "secret-key");
  if (!secret_key) return malformed(file, "it has no secret-key (the secret is in the file NAME.key_secret)");
  if (!decoded(*secret_key)) return malformed(file, "its secret-key is not 40 characters of Z85");
  KeyText derived{};
  if (::zmq_curve_public(derived.data(), secret_key->c_str()) != 0 || *public_key != derived.data())
    return malformed(file, "its public-key is not the one of its secret-key");
  return TransportKeys{std::move(*public_key), std::move(*secret_key)};
}

Result<TransportKeys> read_transport_keys(const std::string& file, uid_t uid) {
  const auto text = read_private_file(file, Secrecy::kSecret, uid);
  if (!text) return text.error();
  return parse_transport_keys(*text, file);
}

}  // namespace moddev
