// The files of signing keys. The secret is PEM in PKCS #8 (RFC 8410), as `openssl genpkey -algorithm ed25519`
// writes it, and the public key is PEM too; as a word for lists and messages a public key is
// PublicKey::to_string(). Signing and verifying are signature.h.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/signature.h"

namespace moddev {

/// PEM texts of the two files.
[[nodiscard]] std::string signing_secret_text(const SigningKey& key);
[[nodiscard]] std::string signing_public_text(const PublicKey& key);

/// Errors: kCorrupt, naming `file`.
[[nodiscard]] Result<SigningKey> parse_signing_key(std::string_view text, const std::string& file);
[[nodiscard]] Result<PublicKey> parse_signing_public_key(std::string_view text, const std::string& file);

/// A secret file of `uid`. Errors: those of read_private_file() and parse_signing_key().
[[nodiscard]] Result<SigningKey> read_signing_key(const std::string& file, uid_t uid);

}  // namespace moddev
