#include "client/src/trust.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "protocol/limits.h"

namespace moddev::client {
namespace {

std::string list_of(const std::vector<PublicKey>& keys) {
  std::string text;
  for (const PublicKey& key : keys) text += (text.empty() ? "" : ", ") + key.to_string();
  return text;
}

std::string utc(std::int64_t since_epoch_ns) {
  const std::time_t seconds = since_epoch_ns / 1'000'000'000;
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return std::to_string(seconds);
  return {text.data(), std::strftime(text.data(), text.size(), "%F %T UTC", &parts)};
}

std::string described(const Uuid& repo, Epoch epoch) {
  return "epoch " + std::to_string(epoch) + " of repo " + repo.to_string();
}

Status about(const Statement& statement, const Trust::Subject& subject) {
  if (statement.purpose != subject.purpose) {
    return Error{ErrorCode::kCorrupt,
                 "What is signed was not signed for this: it belongs to another kind of message."};
  }
  if (statement.repo != subject.repo || statement.epoch != subject.epoch) {
    return Error{ErrorCode::kCorrupt,
                 "What is signed is about " + described(statement.repo, statement.epoch) +
                     ", the message is about " + described(subject.repo, subject.epoch) + "."};
  }
  if (subject.manifest && statement.manifest != *subject.manifest) {
    return Error{ErrorCode::kCorrupt, "The modules of " + described(subject.repo, subject.epoch) +
                                          " are not the set that was signed."};
  }
  return {};
}

Status in_time(const Statement& statement, WallTime now) {
  const std::int64_t now_ns = now.time_since_epoch().count();
  if (now_ns >= statement.expires_at_ns) {
    return Error{ErrorCode::kTimeout,
                 "What is signed was good until " + utc(statement.expires_at_ns) + ", and it is " +
                     utc(now_ns) +
                     " here. It is an old message that is played again, or the clocks of "
                     "the two machines differ: compare `date -u` on both."};
  }
  const std::int64_t tolerated = Duration(moddev::limits::kClockTolerance).count();
  if (statement.issued_at_ns > now_ns && statement.issued_at_ns - now_ns > tolerated) {
    return Error{ErrorCode::kTimeout,
                 "What is signed was signed at " + utc(statement.issued_at_ns) + ", and it is only " +
                     utc(now_ns) +
                     " here: the clocks of the two machines differ, compare `date -u` on "
                     "both."};
  }
  return {};
}

}  // namespace

bool Trust::change(std::vector<PublicKey> signers, std::vector<std::string> modules) {
  if (signers == signers_ && modules == modules_) return false;
  signers_ = std::move(signers);
  modules_ = std::move(modules);
  demands_ = demands_ || !signers_.empty();
  // Its signature was checked, but by a list that may have had its signer.
  newest_.reset();
  return true;
}

Result<Statement> Trust::opened(const std::optional<SignedStatement>& statement) const {
  if (signers_.empty()) {
    return Error{
        ErrorCode::kPermission,
        "No signer is left whom this executor believes: the last one was taken from its list. Add one with "
        "`moddev trust add`, or restart the executor to let it run what is not signed."};
  }
  if (!statement) {
    return Error{ErrorCode::kPermission,
                 "It is not signed, and this executor believes only " + list_of(signers_) +
                     ". Give the daemon a signing key (`moddev keygen`), or take `signers` away here."};
  }
  const PublicKey signer = statement->signer();
  if (std::find(signers_.begin(), signers_.end(), signer) == signers_.end()) {
    return Error{ErrorCode::kPermission, "It is signed by " + signer.to_string() +
                                             ", and this executor believes only " + list_of(signers_) +
                                             ". If that signer is right, add it to `signers` here."};
  }
  return open(*statement);
}

Result<Statement> Trust::check(const std::optional<SignedStatement>& statement, const Subject& subject,
                               WallTime now) const {
  auto told = opened(statement);
  if (!told) return told;
  MODDEV_TRY(about(*told, subject));
  MODDEV_TRY(in_time(*told, now));
  return told;
}

Status Trust::accept_committed(const std::optional<SignedStatement>& statement, const Subject& subject,
                               WallTime now) {
  if (newest_ && statement == newest_) {  // its signature was checked when it was accepted
    MODDEV_TRY(about(floor_, subject));
    return in_time(floor_, now);
  }
  auto told = check(statement, subject, now);
  if (!told) return told.error();
  if (newest_ && told->repo == floor_.repo && told->epoch < floor_.epoch) {
    return Error{ErrorCode::kConflict,
                 "What is told to be the newest is " + described(told->repo, told->epoch) + ", but epoch " +
                     std::to_string(floor_.epoch) +
                     " was committed before: an old message is played again. A rollback "
                     "would be a new epoch."};
  }
  if (newest_ && told->repo == floor_.repo && told->epoch == floor_.epoch &&
      told->manifest != floor_.manifest) {
    return Error{ErrorCode::kConflict,
                 "There are two signed contents of " + described(told->repo, told->epoch) + "."};
  }
  if (newest_ && told->repo != floor_.repo && told->issued_at_ns < floor_.issued_at_ns) {
    return Error{ErrorCode::kConflict, "What is told is " + described(told->repo, told->epoch) + " as of " +
                                           utc(told->issued_at_ns) + ", older than " +
                                           described(floor_.repo, floor_.epoch) +
                                           ", which was heard of before: an old message is played again."};
  }
  if (newest_ && told->repo == floor_.repo && told->issued_at_ns < floor_.issued_at_ns) return {};
  floor_ = *told;
  newest_ = statement;
  return {};
}

Status Trust::accept_remembered(const SignedStatement& statement, const Uuid& repo,
                                const Manifest& manifest) {
  auto told = opened(statement);
  if (!told) return told.error();
  MODDEV_TRY(about(*told, {Purpose::kCommitted, repo, manifest.epoch, manifest.digest()}));
  floor_ = *told;
  newest_ = statement;
  return {};
}

bool Trust::expired(WallTime now) const {
  return demands_signatures() && now.time_since_epoch().count() >= floor_.expires_at_ns;
}

Status Trust::allows(const std::string& module) const {
  if (modules_.empty()) return {};
  const auto fits = [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), module.c_str(), 0) == 0;
  };
  if (std::any_of(modules_.begin(), modules_.end(), fits)) return {};
  std::string list;
  for (const std::string& pattern : modules_) list += (list.empty() ? "" : ", ") + pattern;
  return Error{ErrorCode::kPermission, "this executor may not load it: its `modules` are " + list +
                                           ". Nothing of the epoch is used here."};
}

}  // namespace moddev::client
