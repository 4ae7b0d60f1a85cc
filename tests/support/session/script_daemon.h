// A daemon for one session under test: answers at once and correctly, unless the test says otherwise, and
// records what it was asked. It decides nothing by itself: the test announces, commits and aborts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "protocol/clock.h"
#include "protocol/messages.h"
#include "tests/support/session/fake_link.h"

namespace moddev::test {

class ScriptDaemon {
 public:
  explicit ScriptDaemon(FakeLink& link);

  // What is on disk, so to speak.
  /// The manifest of `epoch` with these modules (name, content); dependencies by "name -> needs".
  using Contents = std::vector<std::pair<std::string, std::string>>;
  Manifest make_manifest(Epoch epoch, const Contents& contents,
                         const std::map<std::string, std::vector<std::string>>& depends_on = {});

  // Epochs. Each pushes its event to the link, unless `heard` is false: then it is lost.
  void announce(const Manifest& manifest, bool inline_bytes = true);
  void commit();
  /// `canary` alone shall switch.
  void try_in(const Uuid& canary);
  void abort(std::vector<ExecutorFailure> failures = {});
  void heartbeat();
  /// announce(), commit() as one.
  void publish(const Manifest& manifest) {
    announce(manifest);
    commit();
  }
  /// Committed without anyone hearing of it.
  void commit_silently(const Manifest& manifest);

  /// Another run of the same history, or of a new one.
  void restart();
  void restart_with_new_history();

  [[nodiscard]] Event event(std::variant<AnnounceEvent, CommitEvent, AbortEvent, HeartbeatEvent> body);
  void push(Event event);
  [[nodiscard]] std::optional<ReplyBody> answer_to(const RequestBody& request);

  /// What it says about an epoch, if it signs.
  [[nodiscard]] std::optional<SignedStatement> stated(Purpose purpose, Epoch epoch, const Digest& manifest,
                                                      const Digest& detail = {}) const;
  [[nodiscard]] std::optional<SignedStatement> committed_statement() const {
    return stated(Purpose::kCommitted, committed.epoch, committed.digest());
  }

  /// Not null: it signs, at the time `wall`.
  std::shared_ptr<const SigningKey> signing_key;
  WallTime wall{Duration(1'700'000'000'000'000'000)};
  /// What commits the epoch that was announced last.
  Release release{};
  /// Changes what is sent.
  std::function<void(Event&)> before_push;

  FakeLink& link;
  DaemonId id;
  std::uint64_t seq = 0;
  Epoch head = 0;
  Manifest committed;
  std::optional<AnnounceEvent> pending;
  Manifest pending_manifest;
  std::map<Digest, SharedBytes> blobs;
  std::map<Epoch, Manifest> manifests;

  /// false: no request is answered.
  bool answering = true;
  /// false: events are lost.
  bool heard = true;
  /// Answers AliveReply::member.
  bool member = true;
  /// Requests of a type answered in another way; nothing: not at all.
  std::function<std::optional<std::optional<ReplyBody>>(const RequestBody&)> instead;

  std::vector<Request> requests;
  std::vector<JoinRequest> joins;
  std::vector<AckRequest> acks;
  std::vector<AliveRequest> alives;
  std::vector<BlobRequest> blob_requests;
  unsigned hellos = 0;
  unsigned snapshots = 0;
  unsigned manifest_requests = 0;
  unsigned leaves = 0;
};

}  // namespace moddev::test
