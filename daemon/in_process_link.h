// A daemon and its clients in one process, without sockets: the Transport that the daemon gets, and the Links
// that sessions get from it. The daemon and each link may run in threads of their own; messages are handed
// over as values under a lock, and an eventfd wakes the other side. Like every link it may drop (when a queue
// is full), so that nothing relies on it not to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/transport.h"
#include "protocol/link.h"
#include "protocol/result.h"

namespace moddev::daemon {

class InProcessTransport final : public Transport {
 public:
  /// Errors: kIo when descriptors are used up.
  static Result<std::unique_ptr<InProcessTransport>> create();
  ~InProcessTransport() override;

  /// A link to the daemon that owns this transport. From any thread, while the transport lives; the link may
  /// outlive it, and is silent then. Errors: kIo when descriptors are used up.
  [[nodiscard]] Result<std::unique_ptr<Link>> connect();

  std::optional<IncomingRequest> receive() override;
  [[nodiscard]] bool pending() override;
  bool reply(const Peer& peer, const Reply& reply) override;
  std::size_t publish(const Event& event) override;
  [[nodiscard]] std::string endpoint() const override;
  [[nodiscard]] std::string events_endpoint() const override;
  [[nodiscard]] std::vector<int> descriptors() const override;

  struct Exchange;  // what both sides share

 private:
  explicit InProcessTransport(std::shared_ptr<Exchange> exchange);
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace moddev::daemon
