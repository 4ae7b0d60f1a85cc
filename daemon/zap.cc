#include "daemon/zap.h"

namespace moddev::daemon {
namespace {

constexpr std::string_view kVersion = "1.0";
constexpr std::size_t kFramesOfNull = 6;  // version, id, domain, address, routing id, mechanism
constexpr std::size_t kKeyBytes = 32;

}  // namespace

std::optional<ZapRequest> decode_zap(const std::vector<std::string>& frames) {
  if (frames.size() < kFramesOfNull || frames[0] != kVersion) return std::nullopt;
  ZapRequest request{frames[1], frames[2], frames[3], frames[5], ""};
  if (request.mechanism == "CURVE") {
    if (frames.size() != kFramesOfNull + 1 || frames[6].size() != kKeyBytes) return std::nullopt;
    request.key = frames[6];
  } else if (request.mechanism != "NULL" || frames.size() != kFramesOfNull) {
    return std::nullopt;
  }
  return request;
}

std::vector<std::string> zap_welcome(const ZapRequest& request, std::string_view user_id) {
  return {std::string(kVersion), request.id, "200", "OK", std::string(user_id), ""};
}

std::vector<std::string> zap_refusal(const ZapRequest& request, std::string_view why) {
  return {std::string(kVersion), request.id, "400", std::string(why), "", ""};
}

}  // namespace moddev::daemon
