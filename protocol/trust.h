// The list of whom a user believes: the file `trusted` in the configuration directory, one key a line,
//     client laptop              <transport key>    may connect to this user's daemons
//     daemon tcp://10.0.0.1:7070 <transport key>    is what this user's clients expect there
//     signer alice               <signing key>      may sign what this user's executors run
// Lines that begin with '#' are for people. `moddev trust` edits it; what a client may do is said in
// moddev.toml.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace moddev {

namespace limits {
inline constexpr std::size_t kTrustedKeys = 1'000;
inline constexpr std::size_t kTrustNameBytes = 255;
}  // namespace limits

enum class TrustKind : std::uint8_t { kClient, kDaemon, kSigner };
/// "client", "daemon", "signer".
[[nodiscard]] std::string_view to_string(TrustKind kind);

struct Trusted {
  TrustKind kind = TrustKind::kClient;
  /// A client's or signer's name (no spaces), or a daemon's endpoint.
  std::string name;
  /// As text: 40 characters of Z85, or PublicKey::to_string().
  std::string key;
  friend bool operator==(const Trusted&, const Trusted&) = default;
};

/// Whether a client's or signer's key may be called so. Not by what rules and the audit call those who came
/// without a key ("you", "user", "others", an IP address, and words that sound like them): a line of the
/// audit must not be mistaken. Errors: kInvalidArgument with what would be right.
[[nodiscard]] Status validate_key_name(std::string_view name);

/// What "WHO KEY" means: an endpoint names a daemon, a signing key a signer, else it is a client. Errors:
/// kInvalidArgument with what would be right.
[[nodiscard]] Result<Trusted> trusted_from(std::string_view who, std::string_view key);

class TrustList {
 public:
  /// Errors: kCorrupt with `file` and the line; kLimit.
  [[nodiscard]] static Result<TrustList> parse(std::string_view text, const std::string& file);
  /// Empty when the file is not there. Errors: those of parse() and read_private_file().
  [[nodiscard]] static Result<TrustList> read(const std::string& file, uid_t uid);
  [[nodiscard]] std::string text() const;

  [[nodiscard]] const std::vector<Trusted>& entries() const { return entries_; }
  /// The name of the client with this transport key.
  [[nodiscard]] std::optional<std::string> client_of(std::string_view key) const;
  /// Every key that is believed to be the daemon's at `endpoint`; two while it is being changed.
  [[nodiscard]] std::vector<std::string> daemon_keys(std::string_view endpoint) const;
  [[nodiscard]] std::vector<Trusted> signers() const;
  [[nodiscard]] bool has_clients() const;

  /// A name may have several keys: the new one is added before the old one is removed. Returns whether it was
  /// new. Errors: kLimit; kAlreadyExists for a key that another client has.
  Result<bool> add(Trusted entry);
  /// Everything with this name, or only this key of it. Returns how many went.
  std::size_t remove(std::string_view name, std::string_view key = {});

 private:
  std::vector<Trusted> entries_;
};

/// What is in a configuration directory.
[[nodiscard]] std::string trust_file(const std::string& configuration_directory);
[[nodiscard]] std::string transport_key_file(const std::string& configuration_directory);
[[nodiscard]] std::string transport_secret_file(const std::string& configuration_directory);
[[nodiscard]] std::string signing_key_file(const std::string& configuration_directory);
[[nodiscard]] std::string signing_secret_file(const std::string& configuration_directory);

}  // namespace moddev
