// The file in which an executor writes down what it runs: bytes of anybody, and the same bytes with the right
// digest behind them. What is accepted is the same when it is written again.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "client/src/last_epoch.h"
#include "protocol/digest.h"

namespace moddev::client {
namespace {

void check(std::span<const std::byte> bytes) {
  const auto first = decode_remembered(bytes);
  if (!first.ok()) return;
  const auto again = decode_remembered(encode_remembered(*first));
  if (!again.ok() || again->repo != first->repo || again->manifest != first->manifest ||
      again->statement != first->statement)
    std::abort();
}

}  // namespace
}  // namespace moddev::client

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  moddev::client::check(bytes);
  moddev::Bytes whole(bytes.begin(), bytes.end());
  const moddev::Digest digest = moddev::digest_of(bytes);
  for (const std::uint8_t byte : digest.bytes) whole.push_back(std::byte{byte});
  moddev::client::check(whole);
  return 0;
}
