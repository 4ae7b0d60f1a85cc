// The Link over ZeroMQ: a DEALER for requests, a SUB for events. Frames and bytes are its business; what a
// message means is the session's. Sockets in a directory that others can write to are not connected to, so
// that nobody else can answer in the daemon's place.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/src/link_keys.h"
#include "protocol/endpoint.h"
#include "protocol/link.h"
#include "protocol/result.h"

namespace moddev::client {

class ZmqLink final : public Link {
 public:
  /// Connects as soon as it can; the daemon need not run yet. Keys are those of key_source(). Errors:
  /// kInvalidArgument (an endpoint that cannot be connected to), those of check_named_key() where keys can be
  /// needed, kIo (no sockets).
  static Result<std::unique_ptr<ZmqLink>> connect(const std::string& endpoint, KeyChoice choice = {});
  ~ZmqLink() override;

  void send(const Request& request) override;
  void subscribe(const std::string& endpoint) override;
  void reset() override;
  /// Must be called until it returns nothing: the descriptors are edge-triggered (ZMQ_FD,
  /// zmq_getsockopt(3)). Sending can swallow a wake-up too, so call it again after the last send.
  std::optional<LinkInput> receive() override;
  /// They change with subscribe() and reset().
  [[nodiscard]] std::vector<int> descriptors() const override;

  [[nodiscard]] std::optional<Error> problem() const override;
  /// Messages that could not be decoded and were dropped.
  [[nodiscard]] std::uint64_t malformed() const;
  /// Why the newest reply that was dropped could not be decoded; told once.
  [[nodiscard]] std::optional<Error> take_not_understood();

 private:
  struct State;
  explicit ZmqLink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Where to subscribe when the daemon at `endpoint` says `told`: "tcp://*:PORT" means the same host. Errors:
/// kInvalidArgument for what is no endpoint, or is on the disk of a daemon that was reached over the network.
[[nodiscard]] Result<std::string> reachable_events_endpoint(const Endpoint& endpoint,
                                                            const std::string& told);

}  // namespace moddev::client
