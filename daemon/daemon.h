// The daemon core: watcher, catalog, versioner, journal, fleet and transport put together as one state
// machine. It owns no thread and no socket; event_loop.h drives it. Libraries do not log: what a person
// should know is in take_events().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/access.h"
#include "daemon/catalog.h"
#include "daemon/change_feed.h"
#include "daemon/encoder.h"
#include "daemon/fleet.h"
#include "daemon/journal.h"
#include "daemon/retention.h"
#include "daemon/transport.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/signature.h"
#include "watcher/watcher.h"

namespace moddev::daemon {

struct DaemonOptions {
  std::string directory;  // as shown to people: absolute
  std::string software;   // "moddev 0.1.0"
  std::int64_t pid = 0;   // told in hello and status
  std::string host{};     // this machine's name, as its executors tell it
  FleetOptions fleet;
  /// How long what changed waits after a start for executors that ran what is committed: they shall be asked.
  /// Long enough to notice a silent daemon, connect again and join.
  Duration rejoin_patience = moddev::limits::kLease + moddev::limits::kHeartbeatInterval;
  CatalogOptions catalog;
  /// For patches and compressed blobs; null: everything is sent as it is.
  std::shared_ptr<Encoder> encoder{};
  RetentionOptions retention{};
  /// Null: nothing is signed.
  std::shared_ptr<const SigningKey> signing_key{};
  /// Who may do what; by default the user everything, and trusted keys nothing that changes something.
  AccessRules access{};
};

// What happened, for the terminal; the JSON lines of `moddev watch --json` are made of these.
struct PublishedEvent {
  Epoch epoch = 0;
  std::vector<ModuleChange> changes;
  std::uint64_t executors = 0;
  /// "change", "rollback of scorer to version 3", ...
  std::string cause{};
};
struct CommittedEvent {
  Epoch epoch = 0;
  std::vector<ModuleChange> changes;
  std::uint64_t applied = 0;
  std::uint64_t excluded = 0;
  Duration elapsed{};
};
struct AbortedEvent {
  Epoch epoch = 0;
  std::vector<ModuleChange> changes;
  std::vector<ExecutorFailure> failures;
};
struct RejectedEvent {
  std::string path;
  std::string reason;
};
struct WarningEvent {
  std::string code;
  std::string message;
};
struct ExecutorEvent {
  enum class Kind : std::uint8_t { kJoined, kLeft, kExcluded };
  Kind kind = Kind::kJoined;
  ExecutorIdentity executor;
  std::string reason;
};
using DaemonEvent =
    std::variant<PublishedEvent, CommittedEvent, AbortedEvent, RejectedEvent, WarningEvent, ExecutorEvent>;

class Daemon {
 public:
  /// The references must outlive the daemon.
  Daemon(DaemonOptions options, watcher::Watcher& watcher, BlobStore& blobs, Journal& journal,
         Transport& transport);
  /// The same with changes from elsewhere.
  Daemon(DaemonOptions options, ChangeFeed& changes, BlobStore& blobs, Journal& journal,
         Transport& transport);
  ~Daemon();

  /// Does what is due, returns when to call again at the latest; earlier when a descriptor is readable.
  TimePoint step(TimePoint now, WallTime wall);
  [[nodiscard]] std::vector<DaemonEvent> take_events();
  [[nodiscard]] std::vector<int> descriptors() const;

 private:
  struct State;
  std::unique_ptr<ChangeFeed> feed_;  // when made of a watcher
  std::unique_ptr<State> state_;
};

}  // namespace moddev::daemon
