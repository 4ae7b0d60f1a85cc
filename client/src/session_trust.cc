// What the session does about signatures and the list of allowed modules: before anything of an epoch is
// fetched, loaded or taken for committed. The verdicts are trust.h's. Without signers nothing here refuses.
#include <utility>

#include "client/src/session_state.h"

namespace moddev {

using client::EpochInWork;

void Session::change_trust(std::vector<PublicKey> signers, std::vector<std::string> modules) {
  State& s = *state_;
  if (!s.options.trust.change(std::move(signers), std::move(modules))) return;
  // Whether they are still believed, and may still come in, is found out when they are told again.
  s.discard(s.pending);
  s.discard(s.behind);
  s.hello_delay = client::limits::kHelloFirst;
  if (s.member()) s.connect_anew({});
}

bool Session::State::believes_committed(const std::optional<SignedStatement>& statement, const Uuid& repo,
                                        Epoch epoch, const Manifest* manifest) {
  if (!options.trust.demands_signatures()) return true;
  client::Trust::Subject subject{Purpose::kCommitted, repo, epoch, std::nullopt};
  if (manifest != nullptr) subject.manifest = manifest->digest();
  const Status accepted = options.trust.accept_committed(statement, subject, wall);
  if (accepted) return true;
  // A member may hear something late. Asking again brings what is newer, or else time shows that nothing is.
  if (accepted.error().code == ErrorCode::kConflict && member()) {
    if (manifest != nullptr) want_snapshot();
    return false;
  }
  refuse_daemon(accepted.error());
  return false;
}

void Session::State::refuse_daemon(const Error& why) {
  go_stale("The daemon at " + options.endpoint + " is not believed. " + why.message + going_on());
  connect_anew(client::limits::kHelloLast);
  hello_delay = client::limits::kHelloLast;
  hello_at = now + client::limits::kHelloLast;
}

void Session::State::notice_expiry() {
  if (!member() || !options.trust.expired(wall)) return;
  refuse_daemon({ErrorCode::kTimeout,
                 "For too long it has not said under its signature which epoch is the newest: its voice is "
                 "held back, or old messages are played again.",
                 0});
}

bool Session::State::believes_proposal(const AnnounceEvent& announce, Digest& release) {
  if (!options.trust.demands_signatures()) return true;
  const auto told = options.trust.check(
      announce.statement, {Purpose::kProposed, daemon.repo, announce.epoch, announce.manifest_digest}, wall);
  if (!told) {
    refuse_epoch(announce.epoch, told.error());
    return false;
  }
  release = told->detail;
  return true;
}

bool Session::State::believes_commit(const CommitEvent& commit) {
  if (!options.trust.demands_signatures()) return true;
  if (!pending || pending->epoch != commit.epoch) {
    // Nothing is known of the epoch that could be proven. A snapshot says what is committed.
    if (commit.epoch > have() && (!behind || behind->epoch < commit.epoch)) want_snapshot();
    return false;
  }
  if (!commit.only.empty()) {
    const auto told = options.trust.check(
        commit.statement, {Purpose::kTrial, daemon.repo, commit.epoch, pending->manifest_digest}, wall);
    if (told && told->detail == audience_digest(commit.only)) return true;
    tell_refusal(commit.epoch, told ? "Its trial was signed for other executors." : told.error().message);
    return false;
  }
  if (commit.release && release_digest(*commit.release) == pending->release) return true;
  tell_refusal(commit.epoch,
               "What says that it is committed does not come from whoever signed it; the daemon is asked.");
  want_snapshot();
  return false;
}

void Session::State::refuse_epoch(Epoch epoch, const Error& why) {
  EpochInWork refused;
  refused.epoch = epoch;
  refused.since = now;
  refused.failures = {{"", "Epoch " + std::to_string(epoch) + " is not believed here. " + why.message}};
  ack(epoch, AckPhase::kFailed, &refused);
  tell_refusal(epoch, why.message);
}

void Session::State::tell_refusal(Epoch epoch, const std::string& why) {
  std::pair refusal(epoch, why);
  if (told_refusal == refusal) return;
  told_refusal = std::move(refusal);
  EpochInWork refused;
  refused.epoch = epoch;
  refused.failures = {{"", "Epoch " + std::to_string(epoch) + " is not believed here. " + why}};
  tell_failures(refused);
}

std::vector<ModuleFailure> Session::State::forbidden(const Manifest& manifest) const {
  std::vector<ModuleFailure> failures;
  for (const auto& [name, entry] : manifest.modules) {
    if (failures.size() >= client::limits::kFailuresPerEpoch) break;
    if (const Status allowed = options.trust.allows(name); !allowed) {
      failures.push_back({name, allowed.error().message});
    }
  }
  return failures;
}

std::optional<SignedStatement> Session::applied_statement() const {
  const State& s = *state_;
  const Statement& floor = s.options.trust.floor();
  if (floor.repo != s.live_repo || floor.epoch != s.live_epoch) return std::nullopt;
  return s.options.trust.newest();
}

}  // namespace moddev
