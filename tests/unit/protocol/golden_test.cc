// The bytes of every message are a promise to clients in other languages. Each golden file holds the frames
// of one message, one a line in hexadecimal. MODDEV_UPDATE_GOLDEN=1 writes them anew, for a protocol version
// that means to differ.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "protocol/codec.h"
#include "tests/support/protocol/sample_messages.h"

namespace moddev {
namespace {

namespace fs = std::filesystem;

const fs::path kDirectory = fs::path(MODDEV_GOLDEN_DIR) / "wire";

std::string hexadecimal(std::span<const std::byte> bytes) {
  std::string text;
  for (const auto byte : bytes) {
    const auto value = std::to_integer<unsigned>(byte);
    text += "0123456789abcdef"[value >> 4];
    text += "0123456789abcdef"[value & 15];
  }
  return text;
}

Bytes from_hexadecimal(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string text_of(const Frames& frames) {
  std::string text;
  for (const auto& frame : frames) text += hexadecimal(*frame) + "\n";
  return text;
}

Frames frames_of(const std::string& text) {
  Frames frames;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) frames.push_back(share(from_hexadecimal(line)));
  return frames;
}

std::string read_golden(const std::string& name) {
  std::ifstream file(kDirectory / (name + ".hex"));
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Encoding gives the golden bytes; decoding them and encoding again gives them once more, so that no field
/// is lost on the way.
template <typename Message, typename Decode>
void expect_golden(const std::string& name, const Message& message, Decode decode) {
  SCOPED_TRACE(name);
  const std::string encoded = text_of(encode(message));
  if (std::getenv("MODDEV_UPDATE_GOLDEN") != nullptr) std::ofstream(kDirectory / (name + ".hex")) << encoded;
  const std::string golden = read_golden(name);
  ASSERT_FALSE(golden.empty()) << "no golden file";
  EXPECT_EQ(encoded, golden);
  auto decoded = decode(frames_of(golden));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message;
  EXPECT_EQ(text_of(encode(*decoded)), golden);
}

TEST(GoldenWire, Requests) {
  for (const auto& [name, message] : test::sample_requests()) expect_golden(name, message, decode_request);
}

TEST(GoldenWire, Replies) {
  for (const auto& [name, message] : test::sample_replies()) expect_golden(name, message, decode_reply);
}

TEST(GoldenWire, Events) {
  for (const auto& [name, message] : test::sample_events()) expect_golden(name, message, decode_event);
}

TEST(GoldenWire, Manifest) {
  const Manifest manifest = test::sample_manifest();
  const std::string encoded = hexadecimal(encode_manifest(manifest)) + "\n";
  if (std::getenv("MODDEV_UPDATE_GOLDEN") != nullptr) std::ofstream(kDirectory / "manifest.hex") << encoded;
  EXPECT_EQ(encoded, read_golden("manifest"));
  const auto decoded = decode_manifest(*frames_of(read_golden("manifest")).at(0));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, manifest);
}

TEST(GoldenWire, EveryFileBelongsToAMessage) {
  std::set<std::string> known{"manifest"};
  for (const auto& [name, unused] : test::sample_requests()) known.insert(name);
  for (const auto& [name, unused] : test::sample_replies()) known.insert(name);
  for (const auto& [name, unused] : test::sample_events()) known.insert(name);
  for (const auto& entry : fs::directory_iterator(kDirectory)) {
    EXPECT_TRUE(known.contains(entry.path().stem().string())) << entry.path();
  }
}

TEST(GoldenWire, EveryTypeOfMessageHasASample) {
  std::set<std::size_t> requests;
  std::set<std::size_t> replies;
  std::set<std::size_t> events;
  for (const auto& [unused, message] : test::sample_requests()) requests.insert(message.body.index());
  for (const auto& [unused, message] : test::sample_replies()) replies.insert(message.body.index());
  for (const auto& [unused, message] : test::sample_events()) events.insert(message.body.index());
  EXPECT_EQ(requests.size(), std::variant_size_v<RequestBody>);
  EXPECT_EQ(replies.size(), std::variant_size_v<ReplyBody>);
  EXPECT_EQ(events.size(), std::variant_size_v<decltype(Event::body)>);
}

}  // namespace
}  // namespace moddev
