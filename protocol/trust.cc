#include "protocol/trust.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "protocol/endpoint.h"
#include "protocol/private_file.h"
#include "protocol/signature.h"
#include "protocol/transport_key.h"

namespace moddev {
namespace {

constexpr std::array kKinds = {TrustKind::kClient, TrustKind::kDaemon, TrustKind::kSigner};

std::optional<TrustKind> kind_from_string(std::string_view text) {
  for (const TrustKind kind : kKinds)
    if (to_string(kind) == text) return kind;
  return std::nullopt;
}

/// The next word of `line`, taken from its front.
std::string_view take_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

Error unusable(std::string what) {
  return {ErrorCode::kInvalidArgument, std::move(what), 0};
}

/// Callers without a key, as rules and the audit call them, and words that a person takes for one.
constexpr std::array<std::string_view, 15> kReservedNames = {
    "you",     "user",     "others",    "other",  "me",      "owner",    "root", "anyone",
    "anybody", "everyone", "everybody", "nobody", "someone", "somebody", "all"};

bool is_reserved(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::find(kReservedNames.begin(), kReservedNames.end(), lower) != kReservedNames.end();
}

/// Strangers are told of by their address.
bool is_address(std::string_view name) {
  const std::string host(name.substr(0, name.find('%')));
  in6_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

Status check_name(TrustKind kind, std::string_view name) {
  if (kind != TrustKind::kDaemon) return validate_key_name(name);
  const auto endpoint = parse_endpoint(name);
  if (!endpoint) return endpoint.error();
  if (endpoint->host == "*" || (endpoint->scheme == Endpoint::Scheme::kTcp && !endpoint->port))
    return unusable("'" + std::string(name) + "' names no one place; write tcp://HOST:PORT.");
  return {};
}

}  // namespace

std::string_view to_string(TrustKind kind) {
  switch (kind) {
    case TrustKind::kDaemon:
      return "daemon";
    case TrustKind::kSigner:
      return "signer";
    case TrustKind::kClient:
      break;
  }
  return "client";
}

Status validate_key_name(std::string_view name) {
  const bool sane = !name.empty() && name.size() <= limits::kTrustNameBytes && !name.starts_with('#') &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '*' && c != '"';
                    });
  if (!sane || name.find("://") != std::string_view::npos) {
    return unusable("'" + std::string(name.substr(0, 80)) + "' is no name for a key: 1 to " +
                    std::to_string(limits::kTrustNameBytes) + " characters, no spaces, no '*'.");
  }
  if (!is_reserved(name) && !is_address(name)) return {};
  return unusable("'" + std::string(name) +
                  "' is no name for a key: rules and the audit could mean somebody without a key by it. Take "
                  "the name of a machine or a person.");
}

Result<Trusted> trusted_from(std::string_view who, std::string_view key) {
  Trusted entry{TrustKind::kClient, std::string(who), std::string(key)};
  if (who.find("://") != std::string_view::npos) entry.kind = TrustKind::kDaemon;
  if (PublicKey::parse(key)) {
    if (entry.kind == TrustKind::kDaemon)
      return unusable("A daemon is known by its transport key (40 characters), not by a signing key.");
    entry.kind = TrustKind::kSigner;
  } else if (key.starts_with("ed25519:")) {
    return PublicKey::parse(key).error();
  } else if (const Status valid = validate_transport_key(key); !valid) {
    if (valid.error().code == ErrorCode::kRefused) return unusable(valid.error().message);
    return unusable(
        "'" + std::string(key.substr(0, 80)) +
        "' is no key: `moddev keygen` prints both kinds, the transport key with 40 characters and "
        "the signing key that begins with ed25519:. A shell needs 'quotes' around the first.");
  }
  MODDEV_TRY(check_name(entry.kind, who));
  return entry;
}

Result<TrustList> TrustList::parse(std::string_view text, const std::string& file) {
  TrustList list;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const auto wrong = [&](const std::string& what) {
      return Error{ErrorCode::kCorrupt, file + ":" + std::to_string(number) + ": " + what, 0};
    };
    const std::string_view first = take_word(line);
    if (first.empty() || first.starts_with('#')) continue;
    const auto kind = kind_from_string(first);
    const std::string_view name = take_word(line);
    const std::string_view key = take_word(line);
    if (!kind || key.empty() || !take_word(line).empty())
      return wrong("a line must be `client NAME KEY`, `daemon ENDPOINT KEY` or `signer NAME KEY`.");
    auto entry = trusted_from(name, key);
    if (!entry) return wrong(entry.error().message);
    if (entry->kind != *kind)
      return wrong("this is a key or name of a " + std::string(to_string(entry->kind)) + ".");
    const auto added = list.add(std::move(*entry));
    if (!added) return wrong(added.error().message);
  }
  return list;
}

Result<TrustList> TrustList::read(const std::string& file, uid_t uid) {
  const auto text = read_private_file(file, Secrecy::kPublic, uid, limits::kTrustFileBytes);
  if (!text) return text.error().code == ErrorCode::kNotFound ? Result(TrustList{}) : text.error();
  return parse(*text, file);
}

std::string TrustList::text() const {
  std::string text =
      "# Whom moddev believes; edited by `moddev trust`.\n"
      "#   client NAME KEY      may connect to this user's daemons\n"
      "#   daemon ENDPOINT KEY  is the daemon that this user's clients expect there\n"
      "#   signer NAME KEY      may sign what this user's executors run\n";
  for (const Trusted& entry : entries_)
    text += std::string(to_string(entry.kind)) + " " + entry.name + " " + entry.key + "\n";
  return text;
}

std::optional<std::string> TrustList::client_of(std::string_view key) const {
  for (const Trusted& entry : entries_)
    if (entry.kind == TrustKind::kClient && entry.key == key) return entry.name;
  return std::nullopt;
}

std::vector<std::string> TrustList::daemon_keys(std::string_view endpoint) const {
  std::vector<std::string> keys;
  for (const Trusted& entry : entries_)
    if (entry.kind == TrustKind::kDaemon && entry.name == endpoint) keys.push_back(entry.key);
  return keys;
}

std::vector<Trusted> TrustList::signers() const {
  std::vector<Trusted> signers;
  std::copy_if(entries_.begin(), entries_.end(), std::back_inserter(signers),
               [](const Trusted& entry) { return entry.kind == TrustKind::kSigner; });
  return signers;
}

bool TrustList::has_clients() const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [](const Trusted& entry) { return entry.kind == TrustKind::kClient; });
}

Result<bool> TrustList::add(Trusted entry) {
  for (const Trusted& known : entries_) {
    if (known == entry) return false;
    if (known.kind == entry.kind && known.key == entry.key && entry.kind == TrustKind::kClient) {
      return Error{ErrorCode::kAlreadyExists, "This key is trusted already, as '" + known.name +
                                                  "'. Run `moddev trust remove " + known.name +
                                                  "` first to give it another name."};
    }
  }
  if (entries_.size() >= limits::kTrustedKeys) {
    return Error{ErrorCode::kLimit, "There are " + std::to_string(limits::kTrustedKeys) +
                                        " trusted keys (kTrustedKeys) already. Remove some."};
  }
  entries_.push_back(std::move(entry));
  return true;
}

std::size_t TrustList::remove(std::string_view name, std::string_view key) {
  return std::erase_if(entries_, [&](const Trusted& entry) {
    return entry.name == name && (key.empty() || entry.key == key);
  });
}

std::string trust_file(const std::string& directory) {
  return directory + "/trusted";
}
std::string transport_key_file(const std::string& directory) {
  return directory + "/transport.key";
}
std::string transport_secret_file(const std::string& directory) {
  return directory + "/transport.key_secret";
}
std::string signing_key_file(const std::string& directory) {
  return directory + "/signing.pub.pem";
}
std::string signing_secret_file(const std::string& directory) {
  return directory + "/signing.pem";
}

}  // namespace moddev
