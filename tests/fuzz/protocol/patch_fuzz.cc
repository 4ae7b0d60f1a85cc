// Patches and compressed bytes. The digests keep anything wrong from coming out; here the decoder itself must
// stay within its memory, so the result's digest is taken from the patch, as a lying daemon would have it.
#include <cstdlib>

#include "protocol/patch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  const auto input = std::as_bytes(std::span(data, size));
  const auto base = as_bytes("the base of all patches of the corpus, which must not be changed: 0123456789");
  const auto header = read_patch_header(input);
  if (header.ok() && header->size < 1U << 20) {
    const auto result = apply_patch(base, input, header->result, header->size);
    if (result.ok() && digest_of(*result) != header->result) std::abort();
  }
  (void)decompress(input, digest_of(""), size % 1024);
  return 0;
}
