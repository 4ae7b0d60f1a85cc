// Who is let in: decides over connections and their messages from what the transport proves about them, and
// keeps the list of trusted keys up to date. It owns no socket of ZeroMQ's; but it cuts connections off, by
// their descriptors, because libzmq has no call for that.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/caller.h"
#include "daemon/socket_owner.h"
#include "daemon/zap.h"
#include "protocol/private_file.h"
#include "protocol/result.h"
#include "protocol/trust.h"

namespace moddev::daemon {

/// What ZeroMQ tells of the connection that a message came over.
struct Origin {
  /// "Peer-Address": an IP address, or "localhost:UID:GID:PID" over ipc. A peer cannot choose it.
  std::string_view address;
  /// "User-Id". Over tcp it is what ZAP said; over ipc a peer can claim anything.
  std::string_view user_id;
  /// ZMQ_SRCFD; the connection may be gone, and the number be another's.
  int descriptor = -1;
};

class Doorkeeper {
 public:
  /// ZAP domains: what a listening socket was told.
  static constexpr const char* kIpcDomain = "moddev.ipc";
  static constexpr const char* kKeyDomain = "moddev.key";
  static constexpr const char* kLoopbackDomain = "moddev.loopback";

  /// `trust_file` empty: no key is trusted.
  Doorkeeper(std::string trust_file, uid_t uid) : trust_file_(std::move(trust_file)), uid_(uid) {}

  /// Reads the list again when its file has changed, and cuts off whom it does not name any more. A list that
  /// cannot be read trusts nobody: an owner who just revoked a key must not be let down by a slip elsewhere.
  void look_again();

  /// The answer to ZAP. The key of our own self-test is refused without a word.
  [[nodiscard]] std::vector<std::string> answer(const ZapRequest& request);
  void ignore_key(std::string key) { ignored_key_ = std::move(key); }

  /// Who sent this message. Errors: kPermission, to be told to the sender.
  [[nodiscard]] Result<Caller> identify(const Origin& origin);
  /// Counts a subscription of that connection. Returns false beyond limits::kSubscriptionsPerPeer.
  [[nodiscard]] bool may_subscribe(const Origin& origin);
  /// Whether it came in by a key, over an address that is not loopback.
  [[nodiscard]] static bool by_key(const Origin& origin);
  /// Ends the connection. Its socket is shut down, and ZeroMQ notices.
  static void cut(const Origin& origin);

  /// Whoever was there sent a message without an end, and was cut off.
  void overran(std::string address) {
    refused(Refusal{std::move(address), "it sent a message without an end", Refusal::Kind::kCutOff});
  }
  /// A message that was let in was dropped.
  void dropped(const Caller& caller, std::string why);

  [[nodiscard]] std::optional<Refusal> take_refusal();
  [[nodiscard]] std::optional<Arrival> take_arrival();

 private:
  struct Connection {
    SocketEnd peer{};
    std::string ipc_peer{};
    std::string key{};  // with its name and address, for people
    std::string name{};
    std::string address{};
    std::optional<bool> same_user{};
    std::size_t subscriptions = 0;
  };
  /// What is known of the connection with that descriptor; forgotten when it is another one now.
  Connection& connection(const Origin& origin);
  [[nodiscard]] Result<Caller> over_loopback(const Origin& origin);
  void refused(std::string who, std::string why) { refused(Refusal{std::move(who), std::move(why)}); }
  void refused(Refusal refusal);
  void arrived(Caller caller);

  std::string trust_file_;
  uid_t uid_;
  std::optional<FileVersion> stamp_;
  bool read_ = false;
  TrustList trusted_;
  std::string ignored_key_;
  /// By descriptor, so no more than RLIMIT_NOFILE.
  std::map<int, Connection> connections_;
  std::deque<Refusal> refusals_;
  std::uint64_t refusals_lost_ = 0;
  /// By who(): the user, and no more than there are trusted keys.
  std::map<std::string, Arrival> arrivals_;
};

}  // namespace moddev::daemon
