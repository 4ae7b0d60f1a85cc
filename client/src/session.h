// The client's core: from "no daemon known" to "the newest committed epoch is live", whatever is lost,
// repeated, delayed or restarted on the way. A state machine over the seams Link and Loader: step(now) takes
// in what came, sends what is due and returns the next deadline. It owns no thread, reads no clock, and runs
// no module code.
//
//   hello -> subscribe -> join (snapshot) -> [fetch what is missing -> prepare -> apply] -> live
//   announce E: fetch -> prepare -> ack prepared | failed;  commit E: apply -> ack applied;  abort E: discard
//   a gap in seq, or a heartbeat ahead of us: snapshot again;  silence for a lease: stale, reset the link,
//   hello again
#pragma once

#include <moddev/client.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/src/cache_use.h"
#include "client/src/loader.h"
#include "client/src/trust.h"
#include "client/src/view_store.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/link.h"
#include "protocol/messages.h"

namespace moddev {

struct SessionOptions {
  ExecutorIdentity identity;
  std::string software;
  /// Where the daemon is, for messages to people.
  std::string endpoint;
  /// Seed of the jitter that spreads reconnecting crowds.
  std::uint64_t seed = 1;
  /// The other clients of the cache; null when there are none.
  std::shared_ptr<client::CacheUse> cache_use;
  /// Encodings in which large blobs are fetched; none: whole. They save bytes and cost time.
  std::vector<Encoding> accept;
  /// Whom it believes, and which modules it lets in.
  client::Trust trust;
};

/// What a session knows about itself, for people who wait for something.
struct SessionStatus {
  /// The daemon answered within its lease.
  bool connected = false;
  /// What runs, and the newest committed epoch that was heard of.
  Epoch applied = 0;
  Epoch committed = 0;
  /// Why the newest epoch does not run here; empty when nothing is wrong with it.
  std::vector<ModuleFailure> failures;
  /// Why there is no daemon, as far as it told; empty when there is nothing to say.
  std::string problem;
  /// Goes up with every change of the above.
  std::uint64_t revision = 0;
};

class Session {
 public:
  /// The references must outlive the session. `cache` holds fetched artifacts.
  Session(SessionOptions options, Link& link, Loader& loader, BlobStore& cache, ViewStore& views);
  ~Session();

  /// What ran here last time: it is loaded from the cache when no daemon answers soon after the start, and
  /// only if the cache has all of it. Before the first step.
  void remember(const Uuid& repo, Manifest manifest);

  /// Whom to believe and what to let in from now on: what is under way is dropped, and the daemon asked anew.
  /// What runs goes on. Before or between steps.
  void change_trust(std::vector<PublicKey> signers, std::vector<std::string> modules);

  /// Ends with Link::receive() having returned nothing after the last send, so that edge-triggered
  /// descriptors are armed; else the deadline is `now`.
  /// `wall` is for the expiry of signed statements, and nothing else.
  TimePoint step(TimePoint now, WallTime wall = {});
  /// What happened since the last call, in order.
  [[nodiscard]] std::vector<ClientEvent> take_events();
  /// Asks to hold one epoch: the live one, one that is held here still, or any other that the daemon has yet,
  /// which is then loaded beside the live one without replacing it. One that is to come is waited for. `done`
  /// is called once, inside this or a later call. Errors: kNotFound (the daemon does not have it), kRefused
  /// (it does not load here), kTimeout, kLimit (client/src/limits.h: kEpochsBeside, kWaitingPins),
  /// kUnavailable (left), kInvalidArgument (epoch 0).
  void pin_epoch(Epoch epoch, TimePoint deadline, std::function<void(Result<Pin>)> done);
  /// Says goodbye: the daemon need not wait for the lease. After it, step() only waits for the answer.
  void leave();
  /// After leave(): the daemon has heard it, or there is none to tell.
  [[nodiscard]] bool left() const;

  [[nodiscard]] Epoch applied_epoch() const;
  [[nodiscard]] bool connected() const;
  /// Until then the daemon cannot have excluded this executor for its silence: the lease, counted from when
  /// the newest `alive` that was answered had been sent, so that time in which the process was stopped does
  /// not extend it. In the past when it is no member, or does not run the newest committed epoch it heard of.
  [[nodiscard]] TimePoint in_lease_until() const;
  [[nodiscard]] const SessionStatus& status() const;
  /// The history that applied_epoch() counts in; nil before the first.
  [[nodiscard]] Uuid applied_repo() const;
  /// With signers: what was signed about it. Nothing as long as the daemon has not said that it is committed.
  [[nodiscard]] std::optional<SignedStatement> applied_statement() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev
