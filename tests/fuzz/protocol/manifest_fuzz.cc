// Manifests, as they come from a journal or a cache: what is accepted can be digested, ordered and written.
#include <cstdlib>

#include "protocol/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  const auto manifest = decode_manifest(std::as_bytes(std::span(data, size)));
  if (!manifest.ok()) return 0;
  const auto again = decode_manifest(encode_manifest(*manifest));
  if (!again.ok() || *again != *manifest || again->digest() != manifest->digest()) std::abort();
  if (load_order(*manifest).size() != manifest->modules.size()) std::abort();
  for (const auto& [name, unused] : manifest->modules) {
    if (!closure_digest(*manifest, name).ok()) std::abort();
  }
  return 0;
}
