#include "daemon/doorkeeper.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "daemon/limits.h"
#include "protocol/bytes.h"
#include "protocol/transport_key.h"

namespace moddev::daemon {
namespace {

/// What ZAP lets loopback connections be called: no key, and nothing that a peer could claim.
constexpr std::string_view kLoopbackUser = "loopback";
constexpr std::string_view kIpcUser = "ipc";

struct IpcPeer {
  uid_t uid = 0;
  std::uint32_t pid = 0;
};

/// "localhost:UID:GID:PID" (seen with libzmq 4.3.4, whose stream engine appends the SO_PEERCRED of a PF_UNIX
/// peer).
std::optional<IpcPeer> parse_ipc(std::string_view rest) {
  constexpr std::string_view kHost = "localhost";
  if (!rest.starts_with(kHost)) return std::nullopt;
  rest.remove_prefix(kHost.size());
  std::array<std::uint32_t, 3> numbers{};
  for (std::uint32_t& number : numbers) {
    if (!rest.starts_with(':')) return std::nullopt;
    rest.remove_prefix(1);
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc{}) return std::nullopt;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  }
  if (!rest.empty()) return std::nullopt;
  return IpcPeer{numbers[0], numbers[2]};
}

/// An IPv4 address as people write it.
std::string plain(std::string_view address) {
  constexpr std::string_view kMapped = "::ffff:";
  if (address.starts_with(kMapped)) address.remove_prefix(kMapped.size());
  return std::string(address);
}

Error permission(std::string message) {
  return {ErrorCode::kPermission, std::move(message), 0};
}

}  // namespace

void Doorkeeper::look_again() {
  if (trust_file_.empty()) return;
  auto stamp = stamp_of(trust_file_);
  if (read_ && stamp == stamp_) return;
  read_ = true;
  stamp_ = stamp;
  auto list = TrustList::read(trust_file_, uid_);
  if (!list)
    refused("everybody with a key", "the list of trusted keys cannot be used: " + list.error().message);
  trusted_ = list ? std::move(*list) : TrustList{};
  for (auto at = connections_.begin(); at != connections_.end();) {
    const Connection& one = at->second;
    if (one.key.empty() || trusted_.client_of(one.key)) {
      ++at;
      continue;
    }
    // Still the same connection: the number may be another's by now.
    if (peer_of(at->first) == one.peer) {
      ::shutdown(at->first, SHUT_RDWR);
      refused(
          {one.name, "its key '" + one.key + "' is no longer trusted", Refusal::Kind::kCutOff, one.address});
    }
    at = connections_.erase(at);
  }
}

std::vector<std::string> Doorkeeper::answer(const ZapRequest& request) {
  look_again();
  if (request.domain == kLoopbackDomain && request.mechanism == "NULL")
    return zap_welcome(request, kLoopbackUser);
  if (request.domain == kKeyDomain && request.mechanism == "CURVE") {
    const std::string key = transport_key_text(as_bytes(request.key).first<32>());
    if (const auto name = trusted_.client_of(key)) {
      arrived({Caller::Kind::kKey, *name, key, plain(request.address)});
      return zap_welcome(request, key);
    }
    if (key != ignored_key_) refused(plain(request.address), "its key '" + key + "' is not trusted");
    return zap_refusal(request, "this key is not trusted");
  }
  if (request.domain == kIpcDomain && request.mechanism == "NULL") {
    const auto peer = parse_ipc(request.address);
    if (peer && peer->uid == uid_) {
      arrived({Caller::Kind::kUser, "", "", "pid " + std::to_string(peer->pid)});
      return zap_welcome(request, kIpcUser);
    }
    refused(peer ? "user " + std::to_string(peer->uid) : request.address, "only you may connect");
    return zap_refusal(request, "this daemon serves another user");
  }
  refused(plain(request.address), "it did not come with CURVE");
  return zap_refusal(request, "this way in is closed");
}

Doorkeeper::Connection& Doorkeeper::connection(const Origin& origin) {
  Connection& known = connections_[origin.descriptor];
  const bool ipc = parse_ipc(origin.address).has_value();
  const SocketEnd peer = ipc ? SocketEnd{} : peer_of(origin.descriptor).value_or(SocketEnd{});
  const std::string_view ipc_peer = ipc ? origin.address : std::string_view();
  if (known.peer != peer || known.ipc_peer != ipc_peer)
    known = Connection{.peer = peer, .ipc_peer = std::string(ipc_peer)};
  return known;
}

Result<Caller> Doorkeeper::over_loopback(const Origin& origin) {
  Connection& known = connection(origin);
  if (!known.same_user) {
    const auto owner = owner_of_peer(origin.descriptor);
    known.same_user = owner == uid_;
    // Of one that is over by now, nobody can tell and nobody is to be told: it was cut off.
    if (*known.same_user) {
      arrived({Caller::Kind::kUser, "", "", plain(origin.address)});
    } else if (owner || is_established(origin.descriptor)) {
      refused(plain(origin.address),
              owner ? "it is user " + std::to_string(*owner) + ", and without keys only you may connect"
                    : "whose process it is cannot be told, and without keys only you may connect");
    }
  }
  if (*known.same_user) return Caller{Caller::Kind::kUser, "", "", plain(origin.address)};
  return permission("This daemon serves processes of user " + std::to_string(uid_) +
                    " only here. Connect as that user, or with a key over an address that is not loopback.");
}

Result<Caller> Doorkeeper::identify(const Origin& origin) {
  if (const auto peer = parse_ipc(origin.address)) {
    if (peer->uid == uid_) return Caller{Caller::Kind::kUser, "", "", "pid " + std::to_string(peer->pid)};
    refused("user " + std::to_string(peer->uid), "it is another user");
    return permission("This daemon serves processes of user " + std::to_string(uid_) + " only.");
  }
  if (origin.user_id == kLoopbackUser) return over_loopback(origin);
  if (const auto name = trusted_.client_of(origin.user_id)) {
    Connection& known = connection(origin);
    known.key = origin.user_id;
    known.name = *name;
    known.address = plain(origin.address);
    return Caller{Caller::Kind::kKey, *name, std::string(origin.user_id), plain(origin.address)};
  }
  return permission("The daemon does not trust your key any more. Ask its owner to run `moddev trust add`.");
}

bool Doorkeeper::may_subscribe(const Origin& origin) {
  return ++connection(origin).subscriptions <= limits::kSubscriptionsPerPeer;
}

bool Doorkeeper::by_key(const Origin& origin) {
  return !parse_ipc(origin.address) && origin.user_id != kLoopbackUser;
}

void Doorkeeper::cut(const Origin& origin) {
  if (origin.descriptor >= 0) ::shutdown(origin.descriptor, SHUT_RDWR);
}

void Doorkeeper::dropped(const Caller& caller, std::string why) {
  refused({caller.who(), std::move(why), Refusal::Kind::kDropped, caller.address});
}

void Doorkeeper::refused(Refusal refusal) {
  for (Refusal& waiting : refusals_) {
    if (waiting.kind != refusal.kind || waiting.who != refusal.who || waiting.why != refusal.why) continue;
    ++waiting.count;
    waiting.address = std::move(refusal.address);
    return;
  }
  if (refusals_.size() >= limits::kWaitingRefusals) {
    ++refusals_lost_;
    return;
  }
  refusals_.push_back(std::move(refusal));
}

void Doorkeeper::arrived(Caller caller) {
  const auto [at, fresh] = arrivals_.try_emplace(caller.who(), Arrival{caller, 1});
  if (fresh) return;
  ++at->second.count;
  at->second.caller = std::move(caller);
}

std::optional<Refusal> Doorkeeper::take_refusal() {
  if (refusals_.empty()) {
    if (refusals_lost_ == 0) return std::nullopt;
    Refusal rest{"others", "too many came at once to tell of each"};
    rest.count = std::exchange(refusals_lost_, 0);
    return rest;
  }
  Refusal first = std::move(refusals_.front());
  refusals_.pop_front();
  return first;
}

std::optional<Arrival> Doorkeeper::take_arrival() {
  if (arrivals_.empty()) return std::nullopt;
  Arrival first = std::move(arrivals_.begin()->second);
  arrivals_.erase(arrivals_.begin());
  return first;
}

}  // namespace moddev::daemon
