// One message of every type with every field set, and its variants where a field may be absent. The golden
// files under tests/golden/wire are named after them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "protocol/codec.h"
#include "protocol/messages.h"

namespace moddev::test {

Uuid sample_uuid(std::uint8_t first);
Digest sample_digest(std::uint8_t first);
ModuleEntry sample_module(const std::string& name = "scorer");
Manifest sample_manifest();
SignedStatement sample_statement();

std::vector<std::pair<std::string, Request>> sample_requests();
std::vector<std::pair<std::string, Reply>> sample_replies();
std::vector<std::pair<std::string, Event>> sample_events();

}  // namespace moddev::test
