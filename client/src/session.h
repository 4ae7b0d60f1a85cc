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
#include <memory>
#include <string>
#include <vector>

#include "client/src/loader.h"
#include "client/src/view_store.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/link.h"
#include "protocol/messages.h"

namespace moddev {

struct SessionOptions {
  ExecutorIdentity identity;
  std::string software;
  /// Seed of the jitter that spreads reconnecting crowds.
  std::uint64_t seed = 1;
};

class Session {
 public:
  /// The references must outlive the session. `cache` holds fetched artifacts.
  Session(SessionOptions options, Link& link, Loader& loader, BlobStore& cache, ViewStore& views);
  ~Session();

  TimePoint step(TimePoint now);
  /// What happened since the last call, in order.
  [[nodiscard]] std::vector<ClientEvent> take_events();
  /// Says goodbye: the daemon need not wait for the lease.
  void leave();

  [[nodiscard]] Epoch applied_epoch() const;
  [[nodiscard]] bool connected() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moddev
