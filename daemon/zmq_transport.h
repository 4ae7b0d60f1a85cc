// The Transport over ZeroMQ: one ROUTER for requests, one XPUB for events, both bound to every endpoint.
// Framing, decoding and the answers to malformed requests are here; cppzmq is included only in
// zmq_transport.cc. One thread owns it; ZeroMQ's io thread does the sending.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/transport.h"
#include "protocol/result.h"
#include "protocol/transport_key.h"

namespace moddev::daemon {

struct TransportOptions {
  std::vector<std::string> endpoints{};
  /// The daemon's own; nothing: this machine only.
  std::optional<TransportKeys> keys{};
  /// Who may connect with a key (protocol/trust.h); read again whenever it changes.
  std::string trust_file{};
  /// Who may hear of every module; others hear heartbeats only, and ask. Null: everybody.
  std::function<bool(const Caller&)> may_hear_all{};
};

class ZmqTransport final : public Transport {
 public:
  /// Binds all of `endpoints` (1..limits::kEndpoints), or none. An ipc endpoint's events are at its path with
  /// "-events"; those of the tcp endpoints on one free port. Only endpoints that this machine alone can reach
  /// are bound, and serve this user only: others need keys. Errors: those of parse_endpoint() and
  /// EndpointLock::take(); kUnsupported for a tcp endpoint that is not local; kAlreadyExists when the port is
  /// taken.
  static Result<std::unique_ptr<ZmqTransport>> bind(const std::vector<std::string>& endpoints);
  /// The same with keys: then tcp endpoints that other machines can reach are bound too, with CURVE, after a
  /// test that a key that nobody trusts is refused. Errors also: kInternal when it is not.
  static Result<std::unique_ptr<ZmqTransport>> open(const TransportOptions& options);
  ~ZmqTransport() override;

  std::optional<IncomingRequest> receive() override;
  [[nodiscard]] bool pending() override;
  void look_around(TimePoint now) override;
  [[nodiscard]] TimePoint look_due() const override;
  [[nodiscard]] std::optional<Refusal> take_refusal() override;
  [[nodiscard]] std::optional<Arrival> take_arrival() override;
  bool reply(const Peer& peer, const Reply& reply) override;
  std::size_t publish(const Event& event) override;
  /// The first of the endpoints, with its port when "*" was asked for.
  [[nodiscard]] std::string endpoint() const override;
  /// The one that belongs to endpoint(). A HelloReply gets the one that fits how its client came.
  [[nodiscard]] std::string events_endpoint() const override;
  [[nodiscard]] std::vector<int> descriptors() const override;

  /// Every bound endpoint.
  [[nodiscard]] const std::vector<std::string>& endpoints() const;
  /// Messages that were no request: told to their senders when possible, and otherwise dropped.
  [[nodiscard]] std::uint64_t malformed() const;

 private:
  struct State;
  explicit ZmqTransport(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon
