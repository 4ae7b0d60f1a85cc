// Signed statements: bytes of anybody, and bytes that were signed by the right key without being a statement.
// What is accepted says the same when it is signed again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "protocol/signature.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  static const SigningKey key = SigningKey::from_seed({});
  SignedStatement statement;
  std::copy_n(data, std::min(size, statement.bytes.size()), statement.bytes.begin());
  (void)open(statement);
  // The same body under a good signature.
  constexpr std::size_t kBodyAt = 96;
  const auto body = std::as_bytes(std::span(statement.bytes).subspan(kBodyAt));
  const PublicKey signer = key.public_key();
  const Signature signature = key.sign(body);
  std::copy(signer.bytes.begin(), signer.bytes.end(), statement.bytes.begin());
  std::copy(signature.begin(), signature.end(), statement.bytes.begin() + 32);
  const auto opened = open(statement);
  if (opened.ok() && sign(key, *opened) != statement) std::abort();
  return 0;
}
