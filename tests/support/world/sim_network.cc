#include "tests/support/world/sim_network.h"

#include <cstring>

namespace moddev::sim {
namespace {

constexpr Duration kFastest = std::chrono::microseconds(20);
constexpr Duration kUsual = std::chrono::microseconds(400);
/// ZeroMQ reconnects within about so long after a peer is back (ZMQ_RECONNECT_IVL and its growth).
constexpr Duration kReconnect = std::chrono::milliseconds(300);

SharedBytes number(std::uint64_t value) {
  Bytes bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return share(std::move(bytes));
}

std::uint64_t number(const SharedBytes& bytes) {
  std::uint64_t value = 0;
  MODDEV_ASSERT(bytes->size() == sizeof value, "an envelope that this transport did not make");
  std::memcpy(&value, bytes->data(), sizeof value);
  return value;
}

}  // namespace

SimNetwork::SimNetwork(Random random, std::size_t links) : random_(random), links_(links) {}

TimePoint SimNetwork::next() const {
  return flying_.empty() ? kNever : flying_.begin()->first.first;
}

Duration SimNetwork::delay() {
  if (faults.slow > 0 && random_.chance(faults.slow)) return random_.between(kUsual, faults.slowest);
  return random_.between(kFastest, kUsual);
}

void SimNetwork::damage(Frames& frames, Random& random) {
  // Payload frames only: a header has no checksum, and the transport below (TCP, a local socket) has one.
  if (frames.size() < 2) return;
  SharedBytes& payload = frames.back();
  if (!payload || payload->empty()) return;
  Bytes copy = *payload;
  copy[random.below(copy.size())] ^= std::byte{0x40};
  payload = share(std::move(copy));
}

void SimNetwork::post(bool to_daemon, Mail mail, double loss) {
  if (links_[mail.link].cut || (loss > 0 && random_.chance(loss))) return;
  if (faults.repeat > 0 && random_.chance(faults.repeat))
    flying_.emplace(std::pair(now_ + delay() + delay(), ++order_), Packet{to_daemon, mail});
  flying_.emplace(std::pair(now_ + delay(), ++order_), Packet{to_daemon, std::move(mail)});
}

void SimNetwork::send_request(std::size_t link, Frames frames) {
  post(true, {link, links_[link].connection, std::move(frames), false}, faults.lose_request);
}

void SimNetwork::send_reply(std::size_t link, std::uint64_t connection, Frames frames) {
  if (faults.damage_payload > 0 && random_.chance(faults.damage_payload)) damage(frames, random_);
  post(false, {link, connection, std::move(frames), false}, faults.lose_reply);
}

void SimNetwork::send_event(const Frames& frames, bool with_payload) {
  for (std::size_t link = 0; link < links_.size(); ++link) {
    const LinkState& state = links_[link];
    if (!state.subscribed || now_ < state.hears_from) continue;
    Frames copy = frames;
    if (with_payload && faults.damage_payload > 0 && random_.chance(faults.damage_payload))
      damage(copy, random_);
    post(false, {link, state.connection, std::move(copy), true}, faults.lose_event);
  }
}

void SimNetwork::subscribe(std::size_t link) {
  links_[link].subscribed = true;
  links_[link].hears_from = daemon_up_ ? now_ + delay() : kNever;
}

void SimNetwork::deliver(TimePoint now) {
  now_ = now;
  while (!flying_.empty() && flying_.begin()->first.first <= now) {
    Packet packet = std::move(flying_.begin()->second);
    flying_.erase(flying_.begin());
    LinkState& link = links_[packet.mail.link];
    if (link.cut) continue;
    if (!packet.to_daemon) {
      if (packet.mail.connection == link.connection) link.inbox.push_back(std::move(packet.mail));
    } else if (daemon_up_) {
      daemon_inbox_.push_back(std::move(packet.mail));
    } else if (random_.chance(0.7)) {
      // It waits in its sender's socket for the daemon to come back.
      flying_.emplace(std::pair(now + std::chrono::milliseconds(50), ++order_), std::move(packet));
    }
  }
}

void SimNetwork::daemon_started(TimePoint now) {
  now_ = now;
  daemon_up_ = true;
  for (LinkState& link : links_) link.hears_from = now + random_.between(kFastest, kReconnect);
}

void SimNetwork::daemon_died() {
  daemon_up_ = false;
  daemon_inbox_.clear();
  for (LinkState& link : links_) link.hears_from = kNever;
  // What it sent last was partly still in its own buffers.
  std::erase_if(flying_, [&](const auto& entry) { return !entry.second.to_daemon && random_.chance(0.5); });
}

void SimNetwork::forget(std::size_t link) {
  LinkState& state = links_[link];
  ++state.connection;
  state.subscribed = false;
  state.inbox.clear();
}

std::optional<SimNetwork::Mail> SimNetwork::receive_request() {
  if (daemon_inbox_.empty()) return std::nullopt;
  Mail mail = std::move(daemon_inbox_.front());
  daemon_inbox_.pop_front();
  return mail;
}

std::optional<SimNetwork::Mail> SimNetwork::receive(std::size_t link) {
  auto& inbox = links_[link].inbox;
  if (inbox.empty()) return std::nullopt;
  Mail mail = std::move(inbox.front());
  inbox.pop_front();
  return mail;
}

// ---------------------------------------------------------------------------------------- the daemon's end

std::optional<daemon::IncomingRequest> SimTransport::receive() {
  if (before_operation) before_operation();
  while (auto mail = network_.receive_request()) {
    auto request = decode_request(mail->frames);
    MODDEV_ASSERT(request.ok(), "a request that the codec made cannot be read back");
    if (on_request) on_request(mail->link, *request);
    return daemon::IncomingRequest{{{number(mail->link), number(mail->connection)}}, std::move(*request)};
  }
  return std::nullopt;
}

bool SimTransport::reply(const daemon::Peer& peer, const Reply& reply) {
  if (before_operation) before_operation();
  const std::uint64_t link = number(peer.envelope.at(0));
  if (on_reply) on_reply(link, reply);
  network_.send_reply(link, number(peer.envelope.at(1)), encode(reply));
  if (after_operation) after_operation();
  return true;
}

std::size_t SimTransport::publish(const Event& event) {
  if (before_operation) before_operation();
  if (on_publish) on_publish(event);
  const auto* announce = std::get_if<AnnounceEvent>(&event.body);
  network_.send_event(encode(event), announce != nullptr && !announce->inline_blobs.empty());
  if (after_operation) after_operation();
  return 0;
}

// ------------------------------------------------------------------------------------------ a client's end

void SimLink::send(const Request& request) {
  ++requests;
  if (std::holds_alternative<BlobRequest>(request.body)) ++blob_requests;
  if (!before_send) return network_.send_request(link_, encode(request));
  Request changed = request;
  before_send(changed);
  network_.send_request(link_, encode(changed));
}

void SimLink::subscribe(const std::string& endpoint) {
  MODDEV_ASSERT(endpoint == "sim-events", "a client subscribes where the daemon said");
  network_.subscribe(link_);
}

std::optional<LinkInput> SimLink::receive() {
  if (!tampered_.empty()) {
    LinkInput input = std::move(tampered_.front());
    tampered_.pop_front();
    return input;
  }
  auto mail = network_.receive(link_);
  if (!mail) return std::nullopt;
  heard = true;
  std::optional<LinkInput> input;
  if (mail->event) {
    auto event = decode_event(mail->frames);
    MODDEV_ASSERT(event.ok(), "an event that the codec made cannot be read back");
    input = std::move(*event);
  } else {
    auto reply = decode_reply(mail->frames);
    MODDEV_ASSERT(reply.ok(), "a reply that the codec made cannot be read back");
    input = std::move(*reply);
  }
  if (!tamper) return input;
  for (LinkInput& one : tamper(std::move(*input))) tampered_.push_back(std::move(one));
  return receive();
}

}  // namespace moddev::sim
