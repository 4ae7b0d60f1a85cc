#include "protocol/signature.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "protocol/bytes.h"

namespace moddev {
namespace {

constexpr std::string_view kKeyPrefix = "ed25519:";
/// Begins every statement, so that a signature of ours is never one of something else.
constexpr std::string_view kDomain = "moddev signed 1\n";

// Where things are in a signed statement.
constexpr std::size_t kSignerAt = 0;
constexpr std::size_t kSignatureAt = 32;
constexpr std::size_t kBodyAt = 96;
// In the body, which is what is signed.
constexpr std::size_t kPurposeAt = 16;
constexpr std::size_t kZeroesAt = 17;
constexpr std::size_t kRepoAt = 24;
constexpr std::size_t kEpochAt = 40;
constexpr std::size_t kManifestAt = 48;
constexpr std::size_t kDetailAt = 80;
constexpr std::size_t kIssuedAt = 112;
constexpr std::size_t kExpiresAt = 120;
constexpr std::size_t kBodyBytes = 128;
static_assert(kBodyAt + kBodyBytes == SignedStatement::kBytes);
static_assert(kDomain.size() == kPurposeAt);
static_assert(sizeof(PublicKey::bytes) == crypto_sign_PUBLICKEYBYTES);
static_assert(sizeof(Signature) == crypto_sign_BYTES);
static_assert(sizeof(SigningKey::Seed) == crypto_sign_SEEDBYTES);

/// Any number of times, from any thread (libsodium, "Usage").
void use_sodium() {
  MODDEV_ASSERT(sodium_init() >= 0, "libsodium does not start");
}

const unsigned char* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

void put(std::span<std::uint8_t> body, std::size_t at, std::uint64_t value) {
  for (std::size_t i = 0; i < 8; ++i) body[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint64_t get(std::span<const std::uint8_t> body, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(body[at + i]) << (8 * i);
  return value;
}

template <std::size_t N>
void put(std::span<std::uint8_t> body, std::size_t at, const std::array<std::uint8_t, N>& value) {
  std::copy(value.begin(), value.end(), body.begin() + static_cast<std::ptrdiff_t>(at));
}

template <std::size_t N>
void get(std::span<const std::uint8_t> body, std::size_t at, std::array<std::uint8_t, N>& value) {
  std::copy_n(body.begin() + static_cast<std::ptrdiff_t>(at), N, value.begin());
}

void write_body(std::span<std::uint8_t> body, const Statement& statement) {
  std::copy(kDomain.begin(), kDomain.end(), body.begin());
  body[kPurposeAt] = static_cast<std::uint8_t>(statement.purpose);
  put(body, kRepoAt, statement.repo.bytes);
  put(body, kEpochAt, statement.epoch);
  put(body, kManifestAt, statement.manifest.bytes);
  put(body, kDetailAt, statement.detail.bytes);
  put(body, kIssuedAt, static_cast<std::uint64_t>(statement.issued_at_ns));
  put(body, kExpiresAt, static_cast<std::uint64_t>(statement.expires_at_ns));
}

Result<Statement> read_body(std::span<const std::uint8_t> body) {
  const auto wrong = [](const char* what) {
    return Error{ErrorCode::kCorrupt, std::string("What was signed ") + what + ".", 0};
  };
  if (!std::equal(kDomain.begin(), kDomain.end(), body.begin())) return wrong("is no statement of moddev");
  const auto zeroes = body.subspan(kZeroesAt, kRepoAt - kZeroesAt);
  if (std::any_of(zeroes.begin(), zeroes.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return wrong("has something where there must be zeroes");
  }
  const std::uint8_t purpose = body[kPurposeAt];
  if (purpose < static_cast<std::uint8_t>(Purpose::kProposed) ||
      purpose > static_cast<std::uint8_t>(Purpose::kRetained)) {
    return wrong("has a purpose that is not known here");
  }
  Statement statement;
  statement.purpose = static_cast<Purpose>(purpose);
  get(body, kRepoAt, statement.repo.bytes);
  statement.epoch = get(body, kEpochAt);
  get(body, kManifestAt, statement.manifest.bytes);
  get(body, kDetailAt, statement.detail.bytes);
  statement.issued_at_ns = static_cast<std::int64_t>(get(body, kIssuedAt));
  statement.expires_at_ns = static_cast<std::int64_t>(get(body, kExpiresAt));
  return statement;
}

}  // namespace

std::string PublicKey::to_string() const {
  return std::string(kKeyPrefix) + Digest{bytes}.hex();
}

Result<PublicKey> PublicKey::parse(std::string_view text) {
  const auto digits =
      text.starts_with(kKeyPrefix) ? Digest::parse(text.substr(kKeyPrefix.size())) : Result<Digest>(Error{});
  if (!digits || text.size() != kKeyPrefix.size() + 2 * sizeof(PublicKey::bytes)) {
    return Error{ErrorCode::kInvalidArgument,
                 "'" + std::string(text.substr(0, 80)) +
                     "' is no signer's key: 'ed25519:' and 64 hexadecimal digits are expected.",
                 0};
  }
  if (crypto_core_ed25519_is_valid_point(digits->bytes.data()) == 0) {
    return Error{
        ErrorCode::kInvalidArgument,
        "'" + std::string(text) + "' is no signer's key: no secret belongs to it. Copy it once more.", 0};
  }
  return PublicKey{digits->bytes};
}

struct SigningKey::Secret {
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> bytes{};
  Secret() { (void)sodium_mlock(bytes.data(), bytes.size()); }
  ~Secret() { (void)sodium_munlock(bytes.data(), bytes.size()); }  // wipes, locked or not
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
};

SigningKey::SigningKey(std::unique_ptr<Secret> secret) : secret_(std::move(secret)) {}
SigningKey::~SigningKey() = default;
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;

SigningKey SigningKey::generate() {
  use_sodium();
  Seed seed{};
  randombytes_buf(seed.data(), seed.size());
  SigningKey key = from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return key;
}

SigningKey SigningKey::from_seed(const Seed& seed) {
  use_sodium();
  auto secret = std::make_unique<Secret>();
  PublicKey unused;
  const int made = crypto_sign_seed_keypair(unused.bytes.data(), secret->bytes.data(), seed.data());
  MODDEV_ASSERT(made == 0, "Ed25519 makes no key");
  return SigningKey(std::move(secret));
}

PublicKey SigningKey::public_key() const {
  PublicKey key;
  const int got = crypto_sign_ed25519_sk_to_pk(key.bytes.data(), secret_->bytes.data());
  MODDEV_ASSERT(got == 0, "a secret key has its public one inside");
  return key;
}

SigningKey::Seed SigningKey::seed() const {
  Seed seed{};
  const int got = crypto_sign_ed25519_sk_to_seed(seed.data(), secret_->bytes.data());
  MODDEV_ASSERT(got == 0, "a secret key has its seed inside");
  return seed;
}

Signature SigningKey::sign(std::span<const std::byte> message) const {
  Signature signature{};
  const int done =
      crypto_sign_detached(signature.data(), nullptr, raw(message), message.size(), secret_->bytes.data());
  MODDEV_ASSERT(done == 0, "Ed25519 does not sign");
  return signature;
}

bool verify(const PublicKey& signer, std::span<const std::byte> message, const Signature& signature) {
  use_sodium();
  return crypto_sign_verify_detached(signature.data(), raw(message), message.size(), signer.bytes.data()) ==
         0;
}

PublicKey SignedStatement::signer() const {
  PublicKey key;
  get(bytes, kSignerAt, key.bytes);
  return key;
}

SignedStatement sign(const SigningKey& key, const Statement& statement) {
  SignedStatement result;
  const std::span<std::uint8_t> all(result.bytes);
  const auto body = all.subspan(kBodyAt);
  write_body(body, statement);
  put(all, kSignerAt, key.public_key().bytes);
  put(all, kSignatureAt, key.sign(std::as_bytes(body)));
  return result;
}

Result<Statement> open(const SignedStatement& signed_statement) {
  const std::span<const std::uint8_t> all(signed_statement.bytes);
  const auto body = all.subspan(kBodyAt);
  Signature signature{};
  get(all, kSignatureAt, signature);
  if (!verify(signed_statement.signer(), std::as_bytes(body), signature)) {
    return Error{ErrorCode::kCorrupt, "The signature does not belong to what was signed.", 0};
  }
  return read_body(body);
}

Digest release_digest(const Release& release) {
  return digest_of(std::as_bytes(std::span(release)));
}

Digest audience_digest(std::span<const Uuid> executors) {
  Hasher hasher;
  hasher.update(as_bytes("moddev audience 1\n"));
  for (const Uuid& executor : executors) hasher.update(std::as_bytes(std::span(executor.bytes)));
  return hasher.finish();
}

}  // namespace moddev
