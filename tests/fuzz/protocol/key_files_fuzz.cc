// Files that people and other programs write: key files, the list of trusted keys, moddev.toml. The first
// byte chooses which. What is accepted is the same when it is written and read again.
#include <cstdlib>
#include <string>

#include "protocol/bytes.h"
#include "protocol/configuration.h"
#include "protocol/signing_key.h"
#include "protocol/transport_key.h"
#include "protocol/trust.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  if (size == 0) return 0;
  const std::string_view text = as_text(std::as_bytes(std::span(data + 1, size - 1)));
  const std::string file = "file";
  switch (data[0] % 5) {
    case 0:
      if (const auto list = TrustList::parse(text, file); list.ok()) {
        const auto again = TrustList::parse(list->text(), file);
        if (!again.ok() || again->entries() != list->entries()) std::abort();
      }
      break;
    case 1:
      if (const auto keys = parse_transport_keys(text, file); keys.ok()) {
        const auto again = parse_transport_keys(transport_secret_text(*keys, "name"), file);
        if (!again.ok() || again->public_key != keys->public_key) std::abort();
      }
      break;
    case 2:
      if (const auto key = parse_signing_key(text, file); key.ok()) {
        const auto again = parse_signing_key(signing_secret_text(*key), file);
        if (!again.ok() || again->public_key() != key->public_key()) std::abort();
      }
      break;
    case 3:
      if (const auto key = parse_signing_public_key(text, file); key.ok()) {
        const auto again = parse_signing_public_key(signing_public_text(*key), file);
        if (!again.ok() || *again != *key) std::abort();
      }
      break;
    default:
      (void)parse_configuration(text, file);
  }
  return 0;
}
