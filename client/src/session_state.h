// The inside of Session, shared by its five files: session.cc (the life of the connection),
// session_inputs.cc (what came), session_trust.cc (whether it is believed), session_epochs.cc (how an epoch
// becomes live), session_pins.cc (epochs that are held by their number). Not for anyone else.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "client/src/epochs.h"
#include "client/src/fetcher.h"
#include "client/src/limits.h"
#include "client/src/requests.h"
#include "client/src/run_reports.h"
#include "client/src/session.h"

namespace moddev {

struct Session::State {
  enum class Phase : std::uint8_t {
    kHello,    // looking for the daemon
    kJoining,  // subscribed, the snapshot is under way; events are held
    kMember,
    kLeaving,
  };
  using Stage = client::EpochInWork::Stage;

  State(SessionOptions given, Link& link_, Loader& loader_, BlobStore& cache_, ViewStore& views_)
      : options(std::move(given)),
        link(link_),
        loader(loader_),
        cache(cache_),
        views(views_),
        random(static_cast<std::minstd_rand::result_type>(options.seed % 2147483646 + 1)),
        requests(link, random),
        fetcher(cache, options.cache_use.get(), options.accept, options.seed) {}

  // --- session.cc: the connection
  TimePoint step(TimePoint time, WallTime wall_time);
  void start();
  void notice_late_step();
  void notice_silence();
  /// Back to the beginning with new sockets, after `delay`.
  void connect_anew(Duration delay);
  void say_hello();
  void send_due();
  void send_alive();
  /// Before a goodbye: all numbers of runs but those that it tells itself.
  [[nodiscard]] std::vector<RunReport> tell_last_runs();
  /// The next ones, if what runs here is of the daemon's history.
  [[nodiscard]] std::vector<RunReport> runs_to_tell();
  void ask_snapshot_when_due();
  void go_stale(std::string why);
  /// What the link says is in the way: each reason once, also after another one.
  void tell_trouble(const std::string& why);
  [[nodiscard]] std::string going_on() const;
  [[nodiscard]] TimePoint next_deadline() const;
  [[nodiscard]] ExecutorState state_to_report() const;
  void emit(ClientEvent event);
  void set_problem(std::string problem);
  /// With nobody there to ask: what ran last time.
  void start_without_daemon();
  [[nodiscard]] bool member() const { return phase == Phase::kMember; }
  void refresh_status();

  // --- session_inputs.cc: what came
  /// Returns whether there was anything.
  bool take_inputs();
  void take(Reply& reply);
  void take(Event& event);
  void apply_event(Event& event);
  void on(const HelloReply& reply);
  void on(SnapshotReply& reply, bool joined);
  void on(ManifestReply& reply);
  /// `sent`: the request that it answers.
  void on(const AliveReply& reply, TimePoint sent);
  void on_error(const RequestBody& request, const ErrorReply& error);
  /// Who may do what is proven once for each connection: where that went wrong, only another one helps. At
  /// most one in a lease. Returns whether there is one.
  bool connect_anew_when_denied(const ErrorReply& error);
  /// Asks for a snapshot when these are above what we know.
  void compare_epochs(Epoch head, Epoch committed);
  /// Whether the message is from the daemon that we know; if not, starts over with it.
  bool from_our_daemon(const DaemonId& id);
  void rejoin();
  void want_snapshot() { snapshot_wanted = true; }

  // --- session_trust.cc: what is believed
  /// Whether this is the newest committed epoch; if not, does what follows from it. `manifest` may be null.
  bool believes_committed(const std::optional<SignedStatement>& statement, const Uuid& repo, Epoch epoch,
                          const Manifest* manifest);
  /// Looks for the daemon anew, after a while; what runs goes on.
  void refuse_daemon(const Error& why);
  /// The daemon must renew what it says.
  void notice_expiry();
  void notice_trouble();
  /// Sets the digest of the release.
  bool believes_proposal(const AnnounceEvent& announce, Digest& release);
  bool believes_commit(const CommitEvent& commit);
  void refuse_epoch(Epoch epoch, const Error& why);
  void tell_refusal(Epoch epoch, const std::string& why);
  [[nodiscard]] std::vector<ModuleFailure> forbidden(const Manifest& manifest) const;

  // --- session_epochs.cc: epochs
  void on_announce(const AnnounceEvent& announce, bool tell_again);
  void on_commit(const CommitEvent& commit);
  /// This one is a canary of the epoch: it switches before the commit.
  void on_trial(const CommitEvent& trial);
  void on_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures);
  void on_committed_manifest(Manifest manifest, bool tell_again);
  void on_outcome(LoadOutcome outcome);
  /// Fetches and loads, as far as it goes.
  void advance();
  void begin_fetch(client::EpochInWork& work);
  void load(client::EpochInWork& work);
  /// Tells the other clients of the cache what this one needs.
  void tell_use();
  void fail(client::EpochInWork& work, std::vector<ModuleFailure> failures);
  void prepared(client::EpochInWork& work);
  void apply_prepared();
  void promote_pending();
  void discard(std::optional<client::EpochInWork>& work);
  void collect_views();
  void ack(Epoch epoch, AckPhase phase, const client::EpochInWork* work);
  void tell_failures(const client::EpochInWork& work);
  [[nodiscard]] client::EpochInWork* active();
  [[nodiscard]] const Manifest* live_manifest() const;
  /// The manifest of a committed epoch, if we have it.
  [[nodiscard]] const Manifest* manifest_of(Epoch epoch) const;
  /// The applied epoch as far as it counts in the daemon's history.
  [[nodiscard]] Epoch have() const { return live_repo == daemon.repo ? live_epoch : 0; }

  // --- session_pins.cc: pins by number
  struct WaitingPin {
    Epoch epoch = 0;
    TimePoint deadline{};
    std::function<void(Result<Pin>)> done;
  };
  /// Returns whether an epoch was begun to be loaded for them.
  bool serve_waiting_pins();
  /// Holds the epoch when it is here, as the daemon counts.
  [[nodiscard]] Pin hold(Epoch epoch);
  void refuse_pins(Epoch epoch, const Error& why);
  void refuse_all_pins(const Error& why);
  void keep_beside();
  [[nodiscard]] bool is_beside(const client::EpochInWork& work) const { return beside && &work == &*beside; }
  [[nodiscard]] Error why_not_yet(Epoch epoch) const;

  SessionOptions options;
  Link& link;
  Loader& loader;
  BlobStore& cache;
  ViewStore& views;
  std::minstd_rand random;
  client::RequestBook requests;
  client::Fetcher fetcher;

  TimePoint now{};
  WallTime wall{};
  bool started = false;
  TimePoint asked_for = kNever;  // the last deadline that step() returned

  // The connection.
  Phase phase = Phase::kHello;
  DaemonId daemon;
  bool daemon_known = false;
  std::string events_endpoint;
  Duration heartbeat = moddev::limits::kHeartbeatInterval;
  Duration lease = moddev::limits::kLease;
  TimePoint hello_at{};
  Duration hello_delay = client::limits::kHelloFirst;
  TimePoint connected_at{};  // when the sockets were made
  TimePoint reply_heard{};
  TimePoint event_heard{};
  TimePoint alive_at{};
  TimePoint confirmed{};  // when the newest `alive` that was answered had been sent
  bool stale_told = false;
  std::vector<std::string> told_troubles;  // the link's, since it was a member last
  bool left = false;

  // What the daemon told.
  std::uint64_t seq = 0;
  Epoch head_epoch = 0;
  Epoch committed_epoch = 0;
  Epoch trial_epoch = 0;  // the newest that this one is a canary of
  std::pair<Epoch, std::string> told_refusal;
  bool snapshot_wanted = false;
  TimePoint snapshot_not_before{};
  std::deque<Event> held;

  // Epochs.
  Uuid live_repo;
  Epoch live_epoch = 0;
  std::optional<client::EpochInWork> remembered;  // of last time, until there is a daemon
  TimePoint offline_at = kNever;
  std::optional<client::EpochInWork> behind;   // committed, not live yet: goes first
  std::optional<client::EpochInWork> pending;  // announced, not decided
  std::optional<client::EpochInWork> beside;   // wanted by waiting pins, never live; goes last
  std::vector<WaitingPin> waiting_pins;
  std::vector<const View*> views_beside;  // loaded for pins and not drained yet
  std::uint64_t first_serial = 0;         // views from here on are of live_repo
  std::uint64_t attempts = 0;
  std::uint64_t attempts_loaded = 0;
  std::uint64_t loading_attempt = 0;  // what the loader works on; 0: idle
  std::uint64_t retired_bytes = 0;
  std::size_t former_views = 0;
  TimePoint collect_at = kNever;
  Duration collect_delay{};
  client::RunReports run_reports;

  std::deque<ClientEvent> events;
  SessionStatus status;
};

}  // namespace moddev
