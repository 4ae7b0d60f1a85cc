// The sockets of a simulated world: messages pass through the real codec and are then lost, delayed,
// repeated, reordered and cut off as one seed says. It behaves as ZeroMQ does where that matters: requests
// wait while the daemon is away (or get lost), a subscription has to reach the daemon before events flow, and
// comes back by itself some time after the daemon does.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/transport.h"
#include "protocol/codec.h"
#include "protocol/link.h"
#include "tests/support/world/random.h"

namespace moddev::sim {

/// Thrown where a process is killed: out of a seam, in the middle of whatever it was doing.
struct Killed {};

struct NetworkFaults {
  double lose_event = 0;
  double lose_request = 0;
  double lose_reply = 0;
  double repeat = 0;
  double slow = 0;  // such a message takes up to `slowest`, so that others overtake it
  Duration slowest{};
  double damage_payload = 0;  // one byte of a blob's bytes is different: a bad cable, a bad proxy
};

class SimNetwork {
 public:
  SimNetwork(Random random, std::size_t links);

  NetworkFaults faults;
  /// A link that is cut loses everything in both directions.
  void cut(std::size_t link, bool is_cut) { links_[link].cut = is_cut; }

  /// When the next message arrives.
  [[nodiscard]] TimePoint next() const;
  /// Puts what has arrived by `now` into the inboxes.
  void deliver(TimePoint now);

  void daemon_started(TimePoint now);
  void daemon_died();
  [[nodiscard]] bool daemon_has_mail() const { return !daemon_inbox_.empty(); }
  [[nodiscard]] bool has_mail(std::size_t link) const { return !links_[link].inbox.empty(); }
  /// The process behind the link is gone: what is under way to it is lost.
  void forget(std::size_t link);

  // What SimTransport and SimLink are made of.
  struct Mail {
    std::size_t link = 0;
    std::uint64_t connection = 0;
    Frames frames;
    bool event = false;
  };
  void send_request(std::size_t link, Frames frames);
  void send_reply(std::size_t link, std::uint64_t connection, Frames frames);
  void send_event(const Frames& frames, bool with_payload);
  std::optional<Mail> receive_request();
  std::optional<Mail> receive(std::size_t link);
  void subscribe(std::size_t link);

  [[nodiscard]] std::uint64_t sent() const { return order_; }

 private:
  struct Packet {
    bool to_daemon = false;
    Mail mail;
  };
  struct LinkState {
    std::uint64_t connection = 1;
    bool subscribed = false;
    TimePoint hears_from = kNever;  // events sent before are lost
    bool cut = false;
    std::deque<Mail> inbox;
  };
  void post(bool to_daemon, Mail mail, double loss);
  [[nodiscard]] Duration delay();
  static void damage(Frames& frames, Random& random);

  Random random_;
  TimePoint now_{};
  std::uint64_t order_ = 0;
  std::map<std::pair<TimePoint, std::uint64_t>, Packet> flying_;
  std::vector<LinkState> links_;
  std::deque<Mail> daemon_inbox_;
  bool daemon_up_ = false;
};

/// The daemon's end. `before_operation` and `after_operation` may throw Killed; the observers see values at
/// the moment at which they cross the seam.
class SimTransport final : public daemon::Transport {
 public:
  explicit SimTransport(SimNetwork& network) : network_(network) {}

  std::function<void()> before_operation;
  std::function<void()> after_operation;
  std::function<void(const Event&)> on_publish;
  std::function<void(std::size_t link, const Reply&)> on_reply;
  std::function<void(std::size_t link, const Request&)> on_request;

  std::optional<daemon::IncomingRequest> receive() override;
  [[nodiscard]] bool pending() override { return network_.daemon_has_mail(); }
  bool reply(const daemon::Peer& peer, const Reply& reply) override;
  std::size_t publish(const Event& event) override;
  [[nodiscard]] std::string endpoint() const override { return "sim"; }
  [[nodiscard]] std::string events_endpoint() const override { return "sim-events"; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

 private:
  SimNetwork& network_;
};

/// A client's end.
class SimLink final : public Link {
 public:
  SimLink(SimNetwork& network, std::size_t link) : network_(network), link_(link) {}

  /// Requests sent so far.
  std::uint64_t requests = 0;
  std::uint64_t blob_requests = 0;
  /// Whether anything was received since it was last set to false.
  bool heard = false;
  /// The planted bug: the client gets what this makes of its mail.
  std::function<std::vector<LinkInput>(LinkInput)> tamper;
  /// Changes what is sent.
  std::function<void(Request&)> before_send;

  void send(const Request& request) override;
  void subscribe(const std::string& endpoint) override;
  void reset() override { network_.forget(link_); }
  std::optional<LinkInput> receive() override;
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

 private:
  SimNetwork& network_;
  std::size_t link_;
  std::deque<LinkInput> tampered_;
};

}  // namespace moddev::sim
