// The Link seam: how a client's session reaches its daemon. Pull-based and non-blocking; messages may be
// lost, repeated, delayed and reordered, and the session must cope. Implementations: client/src/zmq_link
// (sockets), daemon/in_process_link (standalone mode), tests/support/fake_link (simulation). Not thread-safe:
// one thread owns a link.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "protocol/result.h"

namespace moddev {

using LinkInput = std::variant<Reply, Event>;

class Link {
 public:
  virtual ~Link() = default;

  /// Sends or drops; never waits. The session repeats what is not answered in time.
  virtual void send(const Request& request) = 0;

  /// Subscribes to the events at `endpoint` (HelloReply::events_endpoint), replacing a former subscription.
  /// After it, the session must take a snapshot: events sent before the subscription arrived are lost.
  virtual void subscribe(const std::string& endpoint) = 0;

  /// Throws away sockets and everything in flight, and connects anew. For a peer that has been silent too
  /// long.
  virtual void reset() = 0;

  /// The next message, or nothing now.
  virtual std::optional<LinkInput> receive() = 0;

  /// Descriptors that become readable when receive() may have something; for the event loop.
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;

  /// Why nothing gets through, if the link knows (a directory that is not private, a key that is missing or
  /// refused), in words for people.
  [[nodiscard]] virtual std::optional<Error> problem() const { return std::nullopt; }
};

}  // namespace moddev
