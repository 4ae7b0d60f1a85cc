// Paths and names, digests, UUIDs and text: whatever is accepted is safe to use as a path and in JSON.
#include <cstdlib>

#include "protocol/bytes.h"
#include "protocol/digest.h"
#include "protocol/endpoint.h"
#include "protocol/names.h"
#include "protocol/text.h"
#include "protocol/uuid.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace moddev;
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  if (const auto identity = identify_module(text); identity.ok()) {
    if (!validate_module_name(identity->name).ok()) std::abort();
  }
  if (validate_relative_path(text).ok()) {
    const bool leaves = text.starts_with("/") || text == ".." || text.starts_with("../") ||
                        text.ends_with("/..") || text.find("/../") != std::string_view::npos;
    if (leaves || !is_valid_utf8(text) || text.find('\0') != std::string_view::npos) std::abort();
  }
  const std::string clean = clean_text(text, 64);
  if (clean.size() > 64 || !is_valid_utf8(clean)) std::abort();
  if (const auto digest = Digest::parse(text); digest.ok()) {
    if (Digest::parse(digest->to_string()).value() != *digest) std::abort();
  }
  if (const auto uuid = Uuid::parse(text); uuid.ok()) {
    if (Uuid::parse(uuid->to_string()).value() != *uuid) std::abort();
  }
  if (const auto endpoint = parse_endpoint(text); endpoint.ok()) {
    const auto again = parse_endpoint(endpoint->to_string());
    if (!again.ok() || *again != *endpoint) std::abort();
  }
  return 0;
}
