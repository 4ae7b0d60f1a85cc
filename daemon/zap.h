// The frames of ZAP (ZeroMQ RFC 27), in which libzmq asks for every new connection whether it may go on.
// Pure; the socket is zmq_transport.cc's, and who is let in is decided there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moddev::daemon {

inline constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";

struct ZapRequest {
  std::string id;         // to be echoed
  std::string domain;     // as the bound socket was told
  std::string address;    // numeric, of the peer
  std::string mechanism;  // "NULL", "CURVE"
  std::string key;        // CURVE: the 32 bytes of the peer's public key
};

/// Nothing for what is no request of version 1.0, and for CURVE without a key of 32 bytes.
[[nodiscard]] std::optional<ZapRequest> decode_zap(const std::vector<std::string>& frames);

/// Who is let in is `user_id` from now on, in every message of that connection.
[[nodiscard]] std::vector<std::string> zap_welcome(const ZapRequest& request, std::string_view user_id);
[[nodiscard]] std::vector<std::string> zap_refusal(const ZapRequest& request, std::string_view why);

}  // namespace moddev::daemon
