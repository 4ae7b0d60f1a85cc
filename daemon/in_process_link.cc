#include "daemon/in_process_link.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "daemon/limits.h"

namespace moddev::daemon {
namespace {

constexpr std::string_view kEndpointName = "in-process";

/// An eventfd that is readable from ring() to silence().
class Bell {
 public:
  Bell() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Bell() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_; }
  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(descriptor_, &one, sizeof one);
  }
  void silence() const {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(descriptor_, &count, sizeof count);
  }

 private:
  int descriptor_;
};

/// A bounded queue with a bell. The exchange's lock guards it.
template <typename T>
class Mailbox {
 public:
  [[nodiscard]] const Bell& bell() const { return bell_; }
  [[nodiscard]] bool empty() const { return messages_.empty(); }
  void put(T message) {
    if (messages_.size() >= limits::kInProcessQueue) return;
    if (messages_.empty()) bell_.ring();
    messages_.push_back(std::move(message));
  }
  std::optional<T> take() {
    if (messages_.empty()) return std::nullopt;
    std::optional<T> message(std::move(messages_.front()));
    messages_.pop_front();
    if (messages_.empty()) bell_.silence();
    return message;
  }
  void clear() {
    messages_.clear();
    bell_.silence();
  }

 private:
  Bell bell_;
  std::deque<T> messages_;
};

struct Client {
  Mailbox<LinkInput> inbox;
  bool subscribed = false;
  /// Counts resets: answers to requests from before one are not delivered.
  std::uint64_t connection = 0;
};

/// Where a reply goes: the client and its connection at that time.
struct Address {
  std::uint64_t client = 0;
  std::uint64_t connection = 0;
};

}  // namespace

struct InProcessTransport::Exchange {
  std::mutex mutex;
  Mailbox<IncomingRequest> requests;
  std::map<std::uint64_t, std::shared_ptr<Client>> clients;
  std::uint64_t next_client = 1;
  bool closed = false;
};

namespace {

class InProcessLink final : public Link {
 public:
  InProcessLink(std::shared_ptr<InProcessTransport::Exchange> exchange, std::shared_ptr<Client> client,
                std::uint64_t number)
      : exchange_(std::move(exchange)), client_(std::move(client)), number_(number) {}

  ~InProcessLink() override {
    const std::lock_guard lock(exchange_->mutex);
    exchange_->clients.erase(number_);
  }

  void send(const Request& request) override {
    const std::lock_guard lock(exchange_->mutex);
    if (exchange_->closed) return;
    const Address address{number_, client_->connection};
    const auto raw = std::as_bytes(std::span(&address, 1));
    exchange_->requests.put({Peer{{share(Bytes(raw.begin(), raw.end()))}}, request});
  }

  void subscribe(const std::string& /*endpoint*/) override {
    const std::lock_guard lock(exchange_->mutex);
    client_->subscribed = true;
  }

  void reset() override {
    const std::lock_guard lock(exchange_->mutex);
    client_->subscribed = false;
    client_->inbox.clear();
    ++client_->connection;
  }

  std::optional<LinkInput> receive() override {
    const std::lock_guard lock(exchange_->mutex);
    return client_->inbox.take();
  }

  [[nodiscard]] std::vector<int> descriptors() const override { return {client_->inbox.bell().descriptor()}; }

 private:
  std::shared_ptr<InProcessTransport::Exchange> exchange_;
  std::shared_ptr<Client> client_;
  std::uint64_t number_;
};

}  // namespace

InProcessTransport::InProcessTransport(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

InProcessTransport::~InProcessTransport() {
  const std::lock_guard lock(exchange_->mutex);
  exchange_->closed = true;
  exchange_->clients.clear();
  exchange_->requests.clear();
}

Result<std::unique_ptr<InProcessTransport>> InProcessTransport::create() {
  auto exchange = std::make_shared<Exchange>();
  if (exchange->requests.bell().descriptor() < 0) return errno_error("Cannot make an eventfd", errno);
  return std::unique_ptr<InProcessTransport>(new InProcessTransport(std::move(exchange)));
}

Result<std::unique_ptr<Link>> InProcessTransport::connect() {
  auto client = std::make_shared<Client>();
  if (client->inbox.bell().descriptor() < 0) return errno_error("Cannot make an eventfd", errno);
  const std::lock_guard lock(exchange_->mutex);
  const std::uint64_t number = exchange_->next_client++;
  exchange_->clients.emplace(number, client);
  return std::unique_ptr<Link>(std::make_unique<InProcessLink>(exchange_, std::move(client), number));
}

std::optional<IncomingRequest> InProcessTransport::receive() {
  const std::lock_guard lock(exchange_->mutex);
  return exchange_->requests.take();
}

bool InProcessTransport::pending() {
  const std::lock_guard lock(exchange_->mutex);
  return !exchange_->requests.empty();
}

bool InProcessTransport::reply(const Peer& peer, const Reply& reply) {
  if (peer.envelope.empty() || peer.envelope.front()->size() != sizeof(Address)) return false;
  Address address;
  std::memcpy(&address, peer.envelope.front()->data(), sizeof address);
  const std::lock_guard lock(exchange_->mutex);
  const auto client = exchange_->clients.find(address.client);
  if (client == exchange_->clients.end() || client->second->connection != address.connection) return false;
  client->second->inbox.put(reply);
  return true;
}

std::size_t InProcessTransport::publish(const Event& event) {
  std::size_t hearers = 0;
  const std::lock_guard lock(exchange_->mutex);
  for (const auto& [number, client] : exchange_->clients) {
    if (!client->subscribed) continue;
    client->inbox.put(event);
    ++hearers;
  }
  return hearers;
}

std::string InProcessTransport::endpoint() const {
  return std::string(kEndpointName);
}
std::string InProcessTransport::events_endpoint() const {
  return std::string(kEndpointName);
}
std::vector<int> InProcessTransport::descriptors() const {
  return {exchange_->requests.bell().descriptor()};
}

}  // namespace moddev::daemon
