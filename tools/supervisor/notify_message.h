// What a worker says on its notify socket: the protocol of sd_notify(3), lines of NAME=VALUE in one datagram.
#pragma once

#include <string_view>

namespace moddev::supervisor {

struct NotifyMessage {
  bool ready = false;
  bool stopping = false;
};

/// Unknown names are passed over, as the protocol wants it.
[[nodiscard]] NotifyMessage decode_notify(std::string_view datagram);

}  // namespace moddev::supervisor
