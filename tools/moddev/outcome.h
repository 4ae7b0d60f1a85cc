// What `refresh` and `build` say of what did not become live, and why. It decides nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/src/requester.h"
#include "protocol/messages.h"

namespace moddev::tools {

/// " w1: scorer: undefined symbol: score." for the epoch that executors refused; empty when the history does
/// not tell.
[[nodiscard]] std::string why_refused(client::Requester& daemon, Epoch epoch);

/// The epoch in which executors refused what is on disk; 0: none. `R`: RefreshReply, or the BuildReply to an
/// end. A daemon that does not tell it tells two numbers.
template <typename R>
[[nodiscard]] Epoch refused_epoch(const R& reply) {
  if (reply.refused != 0) return reply.refused;
  return reply.epoch > reply.committed_epoch ? reply.epoch : 0;
}

/// Complains about each file. `count` may be greater than what is listed. Returns whether there are any.
bool complain_unpublished(const std::vector<UnpublishedFile>& files, std::uint64_t count);

}  // namespace moddev::tools
