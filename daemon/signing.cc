#include "daemon/signing.h"

#include <algorithm>

#include "protocol/limits.h"

namespace moddev::daemon {
namespace {

using moddev::limits::kStatementRefresh;
using moddev::limits::kStatementValidity;

/// A clock that was set back must not leave a statement from the future in use.
bool fresh(WallTime at, WallTime now) {
  return now >= at && now - at < kStatementRefresh;
}

Release new_release() {
  // 32 random bytes: two version 4 UUIDs have 244 bits that nobody can guess.
  Release release{};
  const Uuid first = Uuid::random();
  const Uuid second = Uuid::random();
  const auto middle = std::copy(first.bytes.begin(), first.bytes.end(), release.begin());
  std::copy(second.bytes.begin(), second.bytes.end(), middle);
  return release;
}

}  // namespace

SignedStatement Signing::signed_now(Statement statement, WallTime now) const {
  statement.issued_at_ns = now.time_since_epoch().count();
  statement.expires_at_ns = (now + kStatementValidity).time_since_epoch().count();
  return sign(*key_, statement);
}

const SignedStatement& Signing::committed(const Uuid& repo, const Manifest& manifest, WallTime now) {
  const bool known = newest_ && newest_->repo == repo && newest_->epoch == manifest.epoch;
  if (known && fresh(newest_->at, now)) return newest_->statement;
  // The digest of a large manifest costs more than the signature.
  const Digest digest = known ? newest_->manifest : manifest.digest();
  newest_ = Newest{repo, manifest.epoch, digest, now,
                   signed_now({Purpose::kCommitted, repo, manifest.epoch, digest}, now)};
  return newest_->statement;
}

void Signing::propose(const Uuid& repo, AnnounceEvent& announce, WallTime now) {
  release_ = new_release();
  announce.statement = std::nullopt;
  renew(repo, announce, now);
}

void Signing::renew(const Uuid& repo, AnnounceEvent& announce, WallTime now) {
  if (announce.statement && fresh(proposed_at_, now)) return;
  proposed_at_ = now;
  announce.statement = signed_now(
      {Purpose::kProposed, repo, announce.epoch, announce.manifest_digest, release_digest(release_)}, now);
}

SignedStatement Signing::trial(const Uuid& repo, Epoch epoch, const Digest& manifest,
                               std::span<const Uuid> canaries, WallTime now) const {
  return signed_now({Purpose::kTrial, repo, epoch, manifest, audience_digest(canaries)}, now);
}

SignedStatement Signing::retained(const Uuid& repo, const Manifest& manifest, WallTime now) const {
  return signed_now({Purpose::kRetained, repo, manifest.epoch, manifest.digest()}, now);
}

}  // namespace moddev::daemon
