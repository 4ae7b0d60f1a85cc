// A Transport in memory, and the Link of its clients: immediate, lossless, single-threaded, and open to a
// test's eyes. For tests of the daemon that need no sockets.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/transport.h"
#include "protocol/link.h"

namespace moddev::daemon::testing {

class FakeTransport final : public Transport {
 public:
  FakeTransport();
  ~FakeTransport() override;

  [[nodiscard]] std::unique_ptr<Link> connect();
  /// Everything published, in order.
  [[nodiscard]] const std::vector<Event>& published() const { return published_; }

  /// What the next requests seem to come from, and what the doors have to tell.
  Caller caller{};
  std::deque<Refusal> refusals{};
  std::deque<Arrival> arrivals{};

  std::optional<IncomingRequest> receive() override;
  std::optional<Refusal> take_refusal() override;
  std::optional<Arrival> take_arrival() override;
  [[nodiscard]] bool pending() override;
  bool reply(const Peer& peer, const Reply& reply) override;
  std::size_t publish(const Event& event) override;
  [[nodiscard]] std::string endpoint() const override { return "fake"; }
  [[nodiscard]] std::string events_endpoint() const override { return "fake-events"; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

  struct Client {
    std::deque<LinkInput> inbox;
    bool subscribed = false;
  };
  struct Exchange {
    std::deque<IncomingRequest> requests;
    std::map<std::uint64_t, Client> clients;
    std::uint64_t next = 1;
  };

 private:
  std::shared_ptr<Exchange> exchange_;
  std::vector<Event> published_;
};

}  // namespace moddev::daemon::testing
