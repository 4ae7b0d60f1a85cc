// Ed25519 signatures (libsodium) over what a daemon states about an epoch. A statement is a value of fixed
// size; its manifest digest stands for every module with version, digest, size, kind, path and dependencies,
// so a signed statement covers a whole set or nothing. Which signers an executor believes, and when a
// statement is too old, is client/src/trust.h; where keys lie on disk is not known here.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "protocol/digest.h"
#include "protocol/manifest.h"
#include "protocol/result.h"
#include "protocol/uuid.h"

namespace moddev {

/// Who signs, as executors know it.
struct PublicKey {
  std::array<std::uint8_t, 32> bytes{};

  /// "ed25519:" and 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string to_string() const;
  /// Errors: kInvalidArgument, also for bytes that are nobody's key: no point of the curve, one of low order,
  /// or outside of the group (RFC 8032, 5.1.3; libsodium's crypto_core_ed25519_is_valid_point()).
  [[nodiscard]] static Result<PublicKey> parse(std::string_view text);
  friend auto operator<=>(const PublicKey&, const PublicKey&) = default;
};

using Signature = std::array<std::uint8_t, 64>;

/// The secret half. Its memory is locked where the system allows it, and wiped at the end.
class SigningKey {
 public:
  using Seed = std::array<std::uint8_t, 32>;

  /// From the kernel's random numbers.
  [[nodiscard]] static SigningKey generate();
  /// The secret of RFC 8032, 5.1.5, from which everything else follows.
  [[nodiscard]] static SigningKey from_seed(const Seed& seed);
  ~SigningKey();
  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;

  [[nodiscard]] PublicKey public_key() const;
  [[nodiscard]] Seed seed() const;
  [[nodiscard]] Signature sign(std::span<const std::byte> message) const;

 private:
  struct Secret;
  explicit SigningKey(std::unique_ptr<Secret> secret);
  std::unique_ptr<Secret> secret_;
};

[[nodiscard]] bool verify(const PublicKey& signer, std::span<const std::byte> message,
                          const Signature& signature);

/// What a statement is good for. One that was made for one purpose is worth nothing for another.
enum class Purpose : std::uint8_t {
  kProposed = 1,   // prepare this epoch; `detail` is the digest of the 32 bytes whose disclosure commits it
  kTrial = 2,      // the executors whose ids have the digest `detail` switch to it
  kCommitted = 3,  // this is the newest committed epoch
  kRetained = 4,   // this is an older epoch, to be held beside the live one
};

/// Random bytes whose digest is in the statement that proposes an epoch. They are disclosed when it is
/// committed: checking them takes no signature, so that nobody waits for one between the decision and the
/// switch.
using Release = std::array<std::uint8_t, 32>;

struct Statement {
  Purpose purpose = Purpose::kCommitted;
  Uuid repo;
  Epoch epoch = 0;
  /// Manifest::digest() of the epoch.
  Digest manifest;
  Digest detail{};
  /// Nanoseconds since the Unix epoch.
  std::int64_t issued_at_ns = 0;
  std::int64_t expires_at_ns = 0;
  friend bool operator==(const Statement&, const Statement&) = default;
};

/// A statement as bytes, with who signed it and the signature (PROTOCOL.md, "Signed statements").
struct SignedStatement {
  static constexpr std::size_t kBytes = 224;
  std::array<std::uint8_t, kBytes> bytes{};

  [[nodiscard]] PublicKey signer() const;
  friend bool operator==(const SignedStatement&, const SignedStatement&) = default;
};

[[nodiscard]] SignedStatement sign(const SigningKey& key, const Statement& statement);

/// What was stated, if the signature is the one of `signed_statement.signer()`: whether that one is to be
/// believed is the caller's question, and goes first. Errors: kCorrupt.
[[nodiscard]] Result<Statement> open(const SignedStatement& signed_statement);

/// `detail` of a proposal.
[[nodiscard]] Digest release_digest(const Release& release);

/// Digest of executors' ids in their order: `detail` of a trial.
[[nodiscard]] Digest audience_digest(std::span<const Uuid> executors);

}  // namespace moddev
