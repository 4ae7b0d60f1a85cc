// What the daemon says under its signature (PROTOCOL.md, "Signed statements"): made when it is needed, kept
// as long as it is fresh. Decides nothing and sends nothing. An epoch is signed only after it was recorded.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "protocol/signature.h"

namespace moddev::daemon {

class Signing {
 public:
  explicit Signing(std::shared_ptr<const SigningKey> key) : key_(std::move(key)) {}

  /// Of the newest committed epoch. Made anew for another epoch, and after limits::kStatementRefresh.
  [[nodiscard]] const SignedStatement& committed(const Uuid& repo, const Manifest& manifest, WallTime now);
  /// Signs an announcement that is new, with a new release.
  void propose(const Uuid& repo, AnnounceEvent& announce, WallTime now);
  /// Signs the same announcement again when its statement is no longer fresh.
  void renew(const Uuid& repo, AnnounceEvent& announce, WallTime now);
  /// What commits the epoch that was proposed last.
  [[nodiscard]] const Release& release() const { return release_; }
  [[nodiscard]] SignedStatement trial(const Uuid& repo, Epoch epoch, const Digest& manifest,
                                      std::span<const Uuid> canaries, WallTime now) const;
  [[nodiscard]] SignedStatement retained(const Uuid& repo, const Manifest& manifest, WallTime now) const;

 private:
  [[nodiscard]] SignedStatement signed_now(Statement statement, WallTime now) const;

  std::shared_ptr<const SigningKey> key_;
  Release release_{};
  struct Newest {
    Uuid repo;
    Epoch epoch = 0;
    Digest manifest;
    WallTime at{};
    SignedStatement statement;
  };
  std::optional<Newest> newest_;
  WallTime proposed_at_{};
};

}  // namespace moddev::daemon
