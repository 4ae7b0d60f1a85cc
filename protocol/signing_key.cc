#include "protocol/signing_key.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "protocol/private_file.h"

namespace moddev {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Memory = std::unique_ptr<BIO, Free>;

Memory memory_of(std::string_view text) {
  return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

Error malformed(const std::string& file, std::string_view what) {
  return {ErrorCode::kCorrupt,
          file + " holds no Ed25519 " + std::string(what) + " in PEM. `moddev keygen` makes one.", 0};
}

/// Never asks a person for a passphrase.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) {
  return -1;
}

}  // namespace

std::string signing_secret_text(const SigningKey& secret) {
  const SigningKey::Seed seed = secret.seed();
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  const Memory memory(BIO_new(BIO_s_mem()));
  MODDEV_ASSERT(
      key && memory &&
          PEM_write_bio_PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "OpenSSL writes no Ed25519 key");
  return text_of(memory.get());
}

std::string signing_public_text(const PublicKey& public_key) {
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, public_key.bytes.data(),
                                            public_key.bytes.size()));
  const Memory memory(BIO_new(BIO_s_mem()));
  MODDEV_ASSERT(key && memory && PEM_write_bio_PUBKEY(memory.get(), key.get()) == 1,
                "OpenSSL writes no Ed25519 key");
  return text_of(memory.get());
}

Result<SigningKey> parse_signing_key(std::string_view text, const std::string& file) {
  const Memory memory = memory_of(text);
  const Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, no_passphrase, nullptr));
  SigningKey::Seed seed{};
  std::size_t size = seed.size();
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_private_key(key.get(), seed.data(), &size) != 1 || size != seed.size())
    return malformed(file, "secret key");
  return SigningKey::from_seed(seed);
}

Result<PublicKey> parse_signing_public_key(std::string_view text, const std::string& file) {
  const Memory memory = memory_of(text);
  const Key key(PEM_read_bio_PUBKEY(memory.get(), nullptr, no_passphrase, nullptr));
  PublicKey result;
  std::size_t size = result.bytes.size();
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(key.get(), result.bytes.data(), &size) != 1 || size != result.bytes.size())
    return malformed(file, "public key");
  return result;
}

Result<SigningKey> read_signing_key(const std::string& file, uid_t uid) {
  const auto text = read_private_file(file, Secrecy::kSecret, uid);
  if (!text) return text.error();
  return parse_signing_key(*text, file);
}

}  // namespace moddev
