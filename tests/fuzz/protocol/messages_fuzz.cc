// Messages. The first byte chooses the decoder, the second the number of payload frames; the rest is the
// header. What is accepted must survive encoding and decoding unchanged.
#include <cstdlib>

#include "protocol/codec.h"

namespace moddev {
namespace {

bool same(const Frames& a, const Frames& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const SharedBytes& x, const SharedBytes& y) { return *x == *y; });
}

template <typename Decode>
void check(const Frames& frames, Decode decode) {
  const auto first = decode(frames);
  if (!first.ok()) {
    if (first.error().message.empty()) std::abort();
    return;
  }
  const Frames encoded = encode(*first);
  const auto second = decode(encoded);
  if (!second.ok() || !same(encode(*second), encoded)) std::abort();
}

}  // namespace
}  // namespace moddev

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  if (size < 2) return 0;
  const auto header = share(as_text(std::as_bytes(std::span(data + 2, size - 2))));
  Frames frames{header};
  for (unsigned i = 0; i < data[1] % 4U; ++i) frames.push_back(share("payload"));
  switch (data[0] % 4) {
    case 0:
      check(frames, decode_request);
      break;
    case 1:
      check(frames, decode_reply);
      break;
    case 2:
      frames.insert(frames.begin(), share(kEpochTopic));
      check(frames, decode_event);
      break;
    default:
      (void)request_id_of(*header);
  }
  return 0;
}
