// The Transport seam: requests in, replies and events out. Non-blocking; a reply to a peer that is gone is
// dropped. The implementation does framing and decoding: the daemon sees values, and malformed requests are
// answered below this seam.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/caller.h"
#include "protocol/bytes.h"
#include "protocol/clock.h"
#include "protocol/messages.h"

namespace moddev::daemon {

/// Where a reply goes: opaque to the daemon, made and read by the transport.
struct Peer {
  std::vector<SharedBytes> envelope;
  Caller caller{};
};

struct IncomingRequest {
  Peer peer;
  Request request;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::optional<IncomingRequest> receive() = 0;
  /// Whether receive() has something now. Asked after the last send of a step: sending can swallow the
  /// wake-up of a descriptor that is edge-triggered (ZMQ_FD, zmq_getsockopt(3)).
  [[nodiscard]] virtual bool pending() { return false; }
  /// Ends what uses more than its share, when that is due. To be called when receive() has nothing more.
  virtual void look_around(TimePoint /*now*/) {}
  /// When to call look_around() again; kNever: need not be.
  [[nodiscard]] virtual TimePoint look_due() const { return kNever; }
  /// What was refused, oldest first; the same again only counts.
  [[nodiscard]] virtual std::optional<Refusal> take_refusal() { return std::nullopt; }
  /// Who was let in, one after the other; connections of the same one are counted together.
  [[nodiscard]] virtual std::optional<Arrival> take_arrival() { return std::nullopt; }
  /// Returns whether it was handed on to the peer's connection, as far as is known; else it was dropped: the
  /// peer is gone, or does not read.
  virtual bool reply(const Peer& peer, const Reply& reply) = 0;
  /// Returns how many hear of epochs at this moment, as far as is known. One of them may miss this event.
  virtual std::size_t publish(const Event& event) = 0;
  /// The endpoint that people and clients use, and the one in HelloReply::events_endpoint.
  [[nodiscard]] virtual std::string endpoint() const = 0;
  [[nodiscard]] virtual std::string events_endpoint() const = 0;
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
};

}  // namespace moddev::daemon
