// What a Daemon is made of, for its own files: daemon.cc takes in what comes from outside and answers it,
// daemon_switch.cc brings one epoch from its announcement to its end, daemon_return.cc goes back from one,
// daemon_audit.cc notes who did what, daemon_runs.cc who ran what.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/audit.h"
#include "daemon/builds.h"
#include "daemon/daemon.h"
#include "daemon/housekeeping.h"
#include "daemon/late_replies.h"
#include "daemon/limits.h"
#include "daemon/rejoin.h"
#include "daemon/request_handler.h"
#include "daemon/rollbacks.h"
#include "daemon/speakers.h"

namespace moddev::daemon {

/// An operation that is tried again ever more seldom.
class Backoff {
 public:
  [[nodiscard]] bool due(TimePoint now) const { return now >= at_; }
  [[nodiscard]] bool failing() const { return delay_ > Duration::zero(); }
  /// When to try again; kNever when nothing failed.
  [[nodiscard]] TimePoint next() const { return failing() ? at_ : kNever; }
  /// Returns whether it is the first failure in a row: worth telling a person.
  bool failed(TimePoint now) {
    const bool first = !failing();
    delay_ = first ? Duration(limits::kJournalRetryFirst)
                   : std::min<Duration>(delay_ * 2, limits::kJournalRetryLast);
    at_ = now + delay_;
    return first;
  }
  void succeeded() { *this = {}; }

 private:
  TimePoint at_ = TimePoint::min();
  Duration delay_{};
};

/// A content that executors refused.
struct Refused {
  Epoch epoch = 0;
  Manifest manifest;
  std::vector<Uuid> by;
  std::vector<Uuid> died;  // canaries, of it as it seems
  bool deadly = false;     // some did
  unsigned retries = 0;
};

/// Executors that were heard when `epoch` had been committed, and died before they ran it.
struct LoadingDeaths {
  Epoch epoch = 0;
  std::vector<ExecutorIdentity> died;
};

struct WaitingRefresh {
  Peer peer;
  std::uint64_t id = 0;
  std::uint64_t sync = 0;
  TimePoint since{};
  /// The catalog's revision at the time of the sync: answered when that is decided.
  std::optional<std::uint64_t> wanted;
};

/// Who applied what is committed; where nobody did, or it was not written down any more, what was before.
[[nodiscard]] std::vector<ExecutorIdentity> ran_committed(const Journal& journal);

struct Daemon::State {
  State(DaemonOptions daemon_options, ChangeFeed& change_feed, BlobStore& blob_store, Journal& its_journal,
        Transport& its_transport)
      : options(std::move(daemon_options)),
        changes(change_feed),
        blobs(blob_store),
        journal(its_journal),
        transport(its_transport),
        audit(journal.last_audit_id()),
        catalog(options.catalog, blobs),
        builds(change_feed),
        fleet(options.fleet),
        rejoin(ran_committed(journal), options.fleet.still_there, options.host),
        housekeeping(options.retention, journal, blobs, catalog, fleet),
        serving{journal,
                blobs,
                fleet,
                options.directory,
                options.software,
                options.pid,
                transport.endpoint(),
                transport.events_endpoint(),
                changes.backend(),
                0,
                std::nullopt,
                {}} {
    serving.encoded = &encoded;
    serving.restoration = &restoration;
    if (options.signing_key) serving.signing = &signing.emplace(options.signing_key);
    if (!journal.notice().empty()) tell(WarningEvent{"journal_repaired", journal.notice()});
    remember_refusal_of_former_run();
    remember_files();
    tell_holds(journal.holds());
  }

  // The steps, in their order.
  TimePoint take_in_changes(TimePoint now);
  void propose(TimePoint now, WallTime wall);
  void go_back(TimePoint now, WallTime wall);
  void roll_back(TimePoint now, WallTime wall);
  void answer_requests(TimePoint now, WallTime wall);
  TimePoint steer_fleet(TimePoint now, WallTime wall);
  void send_late_replies(TimePoint now);
  void answer_refreshes(TimePoint now);
  void answer_builds(TimePoint now);
  void answer_rollbacks(TimePoint now);
  template <typename Wanted, typename R>
  void tell_unpublished(Wanted wanted, R& reply) const;
  void heartbeat(TimePoint now, WallTime wall);
  void tell_refusals(TimePoint now, WallTime wall);
  void tell_restorations();
  void tell_refusal(const std::string& text, TimePoint now);
  bool denied(const IncomingRequest& request, TimePoint now, WallTime wall);
  void note_request(const IncomingRequest& request, const std::optional<ReplyBody>& reply, TimePoint now,
                    WallTime wall);
  void write_applied(TimePoint now);
  [[nodiscard]] TimePoint audit_due() const;
  /// `now` kNever: the daemon ends.
  void write_audit(TimePoint now);
  [[nodiscard]] TimePoint runs_due() const;
  /// What is due.
  void write_runs(TimePoint now);
  /// At once.
  void write_runs(TimePoint now, std::size_t most);
  TimePoint keep_house(TimePoint now);
  [[nodiscard]] TimePoint next_due(TimePoint now) const;

  void notice_deafness(TimePoint now);
  void go_on_from_former_run(TimePoint now, WallTime wall);
  void remember_refusal_of_former_run();
  void remember_files();
  bool take_in(Catalog::Outcome outcome);
  [[nodiscard]] bool refused_may_be_retried() const;
  /// The epoch with what the directory holds: a refused one, else the committed one.
  [[nodiscard]] Epoch answered_epoch() const { return refused ? journal.head() : journal.committed().epoch; }
  /// Whether something new may be announced: the directory is known, and who ran what is committed had the
  /// time to come back.
  [[nodiscard]] bool may_begin(TimePoint now) const { return scanned && rejoin.over(now); }
  void end_rejoining(TimePoint now);
  void tell_missing(StatusReply& status) const;
  [[nodiscard]] bool undecided() const { return scanned && revision != decided; }
  void announce(EpochRecord record, TimePoint since, TimePoint now, WallTime wall, bool known_good = false);
  bool end_holds(TimePoint now);
  void tell_holds(const HoldSet& holds);
  [[nodiscard]] EpochRecord committed_again(WallTime wall) const;
  /// Whether an executor ever applied it, as far as is known.
  [[nodiscard]] bool has_run(Epoch epoch) const;
  [[nodiscard]] Epoch last_that_ran() const;
  void note_death(const FleetAction& excluded);
  /// What canaries died of is held until its files change: an epoch without changes that says so.
  void quarantine(TimePoint now, WallTime wall);
  /// The modules that are held because of what was refused last.
  [[nodiscard]] std::vector<std::string> quarantined() const;
  void lift_quarantine();
  /// Whether what is committed has to be judged, or gone back from.
  [[nodiscard]] bool return_wanted() const {
    return dying_of || unusable || loading_deaths.died.size() >= limits::kBlamingDeaths;
  }
  void judge_unproven();
  [[nodiscard]] std::vector<AnnounceEvent::Inline> inline_blobs(const EpochRecord& record) const;
  void take_refresh(IncomingRequest request, TimePoint now);
  void carry_out(FleetAction action, TimePoint now, WallTime wall);
  void look_after_journal();
  void commit(TimePoint now, WallTime wall);
  void abort(FleetAction action, WallTime wall);
  void begin_trial(FleetAction action, WallTime wall);
  [[nodiscard]] CommitEvent commit_event(Epoch epoch) const;
  std::size_t send_first(decltype(Event::body) body) {
    return transport.publish({journal.id(), ++serving.seq, std::move(body)});
  }
  void send_again(decltype(Event::body) body, std::uint64_t seq) {
    transport.publish({journal.id(), seq, std::move(body)});
  }
  void tell(DaemonEvent event);
  void journal_refused(std::string_view what, const Error& error);

  DaemonOptions options;
  ChangeFeed& changes;
  BlobStore& blobs;
  Journal& journal;
  Transport& transport;
  AuditLog audit;
  Catalog catalog;
  Builds builds;
  Rollbacks rollbacks;
  Fleet fleet;
  Rejoin rejoin;
  std::optional<Signing> signing;
  EncodedBlobs encoded{blobs, options.encoder};
  Restoration restoration{catalog, changes, blobs};
  Housekeeping housekeeping;
  Serving serving;

  bool started = false;
  /// Whether the first full scan is in the catalog. Before, a file that is not there yet is not removed.
  bool scanned = false;
  /// Counts the states of the catalog; `proposed` is the one in the epoch under way, `decided` the newest one
  /// that was committed, refused or found to be nothing new.
  std::uint64_t revision = 0;
  std::uint64_t proposed = 0;
  std::uint64_t decided = 0;
  /// When the oldest change that was not proposed yet was noticed.
  TimePoint noticed = kNever;

  EpochRecord current;  // while the fleet is busy
  std::uint64_t announce_seq = 0;
  std::uint64_t commit_seq = 0;
  CommitEvent trial;  // to the canaries of the epoch under way
  std::uint64_t trial_seq = 0;
  bool commit_wanted = false;
  std::optional<FleetAction> dying_of;  // kReturn, until it is done
  std::optional<FleetAction> unusable;  // kFailed with the committed epoch, until it is judged
  TimePoint committed_at = TimePoint::min();
  LoadingDeaths loading_deaths;
  std::optional<Refused> refused;
  std::vector<ModuleChange> deadly;  // of a refused epoch, until it is in quarantine
  TimePoint retry_refused_at = kNever;
  Backoff proposing;
  Backoff committing;

  LateReplies late_replies;
  std::vector<WaitingRefresh> refreshes;
  TimePoint heartbeat_at = TimePoint::min();
  std::deque<DaemonEvent> events;
  std::uint64_t events_dropped = 0;
  /// Who was told of as refused, and when; a stranger who tries for ever is told of now and then.
  std::map<std::string, TimePoint> told_refusals;
  Speakers speakers;
  bool applied_lost = false;
  bool audit_failing = false;
  bool runs_failing = false;
  bool journal_lost = false;
  /// Something is due at once.
  bool again = false;
  TimePoint due = kNever;
};

}  // namespace moddev::daemon
