#include "tests/support/service/fake_transport.h"

#include <utility>

namespace moddev::daemon::testing {
namespace {

class FakeLink final : public Link {
 public:
  FakeLink(std::shared_ptr<FakeTransport::Exchange> exchange, std::uint64_t number)
      : exchange_(std::move(exchange)), number_(number) {
    exchange_->clients[number_];
  }
  ~FakeLink() override { exchange_->clients.erase(number_); }

  void send(const Request& request) override {
    exchange_->requests.push_back({Peer{{share(std::to_string(number_))}}, request});
  }
  void subscribe(const std::string& /*endpoint*/) override { exchange_->clients[number_].subscribed = true; }
  void reset() override { exchange_->clients[number_] = {}; }
  std::optional<LinkInput> receive() override {
    auto& inbox = exchange_->clients[number_].inbox;
    if (inbox.empty()) return std::nullopt;
    LinkInput input = std::move(inbox.front());
    inbox.pop_front();
    return input;
  }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

 private:
  std::shared_ptr<FakeTransport::Exchange> exchange_;
  std::uint64_t number_;
};

}  // namespace

FakeTransport::FakeTransport() : exchange_(std::make_shared<Exchange>()) {}
FakeTransport::~FakeTransport() = default;

std::unique_ptr<Link> FakeTransport::connect() {
  return std::make_unique<FakeLink>(exchange_, exchange_->next++);
}

std::optional<IncomingRequest> FakeTransport::receive() {
  if (exchange_->requests.empty()) return std::nullopt;
  IncomingRequest request = std::move(exchange_->requests.front());
  exchange_->requests.pop_front();
  request.peer.caller = caller;
  return request;
}

std::optional<Refusal> FakeTransport::take_refusal() {
  if (refusals.empty()) return std::nullopt;
  Refusal first = std::move(refusals.front());
  refusals.pop_front();
  return first;
}

std::optional<Arrival> FakeTransport::take_arrival() {
  if (arrivals.empty()) return std::nullopt;
  Arrival first = std::move(arrivals.front());
  arrivals.pop_front();
  return first;
}

bool FakeTransport::pending() {
  return !exchange_->requests.empty();
}

bool FakeTransport::reply(const Peer& peer, const Reply& reply) {
  const auto client = exchange_->clients.find(std::stoull(std::string(as_text(*peer.envelope.at(0)))));
  if (client == exchange_->clients.end()) return false;
  client->second.inbox.emplace_back(reply);
  return true;
}

std::size_t FakeTransport::publish(const Event& event) {
  published_.push_back(event);
  std::size_t hearers = 0;
  for (auto& [number, client] : exchange_->clients) {
    if (!client.subscribed) continue;
    client.inbox.emplace_back(event);
    ++hearers;
  }
  return hearers;
}

}  // namespace moddev::daemon::testing
