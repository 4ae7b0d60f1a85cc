// Every message of the protocol as a plain value. What each means is specified in PROTOCOL.md; how it becomes
// bytes is codec.h. Requests go from a client to the daemon and get exactly one reply with the same id;
// events go from the daemon to all subscribers and are only hints: a receiver repairs any loss from `seq` and
// the epochs in heartbeats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "protocol/bytes.h"
#include "protocol/manifest.h"
#include "protocol/patch.h"
#include "protocol/result.h"
#include "protocol/signature.h"
#include "protocol/uuid.h"

namespace moddev {

/// Which history, and which run of the daemon, a message speaks of.
struct DaemonId {
  Uuid repo;
  Uuid incarnation;
  friend bool operator==(const DaemonId&, const DaemonId&) = default;
};

// ---------------------------------------------------------------------------------------------- executors
// and epochs

/// Life of an epoch in one executor. kJoining: has no view yet.
enum class ExecutorState : std::uint8_t { kJoining, kLive, kPreparing, kStale, kFailed, kFenced, kGone };
/// "joining", "live", "preparing", "stale", "failed", "fenced", "gone".
[[nodiscard]] std::string_view to_string(ExecutorState state);
[[nodiscard]] std::optional<ExecutorState> executor_state_from_string(std::string_view text);

/// Who an executor is; constant for the life of the process.
struct ExecutorIdentity {
  Uuid id;
  std::string name;
  std::string host;
  std::int64_t pid = 0;
  friend bool operator==(const ExecutorIdentity&, const ExecutorIdentity&) = default;
};

/// A view that is held: which epoch, since how long the oldest holder, by how many.
struct PinReport {
  Epoch epoch = 0;
  std::int64_t age_ms = 0;
  std::uint64_t count = 0;
  friend bool operator==(const PinReport&, const PinReport&) = default;
};

/// How often one version of a module was run in one executor since that one's start. A run is the use of a
/// module under one pin: from the first thing that the pin hands out of it until the pin is released. Numbers
/// only grow, so that a report that was lost is made good by the next.
struct RunReport {
  std::string module;
  Version version = 0;
  std::uint64_t runs = 0;
  /// Of all runs together, and of the longest one.
  std::uint64_t total_ns = 0;
  std::uint64_t longest_ns = 0;
  /// When the last one ended, since the Unix epoch.
  std::int64_t last_at_ns = 0;
  friend bool operator==(const RunReport&, const RunReport&) = default;
};

/// Why one module cannot be used in one executor.
struct ModuleFailure {
  std::string module;
  std::string error;
  friend bool operator==(const ModuleFailure&, const ModuleFailure&) = default;
};

struct ExecutorFailure {
  std::string executor;  // its name
  std::string module;
  std::string error;
  friend bool operator==(const ExecutorFailure&, const ExecutorFailure&) = default;
};

// --------------------------------------------------------------------------------------------------------------
// events

/// An epoch to prepare. `changes` lead from the manifest of `base` (the committed epoch) to the one of
/// `epoch`.
struct AnnounceEvent {
  Epoch epoch = 0;
  Epoch base = 0;
  Digest manifest_digest;
  std::vector<ModuleChange> changes;
  /// Bytes of some of the new artifacts, so that they need not be fetched. Frames behind the header on the
  /// wire.
  struct Inline {
    Digest digest;
    SharedBytes bytes;
  };
  std::vector<Inline> inline_blobs;
  /// Purpose::kProposed; absent from a daemon that does not sign. The same in the messages below.
  std::optional<SignedStatement> statement{};
};

/// `epoch` is live: switch to it.
struct CommitEvent {
  Epoch epoch = 0;
  /// Not empty: only these executors, the canaries, switch now; it is not decided yet whether the others
  /// will.
  std::vector<Uuid> only{};
  /// From a daemon that signs: the bytes whose digest is `detail` of the announcement's statement. Who has
  /// them was told by the signer that the epoch is committed. Absent when `only` is not empty.
  std::optional<Release> release{};
  /// Purpose::kTrial, when `only` is not empty.
  std::optional<SignedStatement> statement{};
  friend bool operator==(const CommitEvent&, const CommitEvent&) = default;
};

/// `epoch` will not be used: undo what was prepared and keep what is.
struct AbortEvent {
  Epoch epoch = 0;
  std::vector<ExecutorFailure> failures;
  friend bool operator==(const AbortEvent&, const AbortEvent&) = default;
};

/// Sent every limits::kHeartbeatInterval, and takes no seq of its own: it carries the last one given.
struct HeartbeatEvent {
  /// The newest announced epoch, aborted ones included.
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  /// Purpose::kCommitted.
  std::optional<SignedStatement> statement{};
  friend bool operator==(const HeartbeatEvent&, const HeartbeatEvent&) = default;
};

struct Event {
  DaemonId daemon;
  /// Per incarnation, from 1, +1 per announce, commit and abort that is sent for the first time.
  std::uint64_t seq = 0;
  std::variant<AnnounceEvent, CommitEvent, AbortEvent, HeartbeatEvent> body;
};

// ------------------------------------------------------------------------------------------------- requests
// and replies

/// The first request of anyone: is there a daemon, which one, and where are its events?
struct HelloRequest {
  std::string software;  // e.g. "moddev 0.1.0"
  friend bool operator==(const HelloRequest&, const HelloRequest&) = default;
};
struct HelloReply {
  DaemonId daemon;
  /// Where to subscribe; "tcp://*:PORT" means the host that the client reached.
  std::string events_endpoint;
  std::int64_t heartbeat_ms = 0;
  std::int64_t lease_ms = 0;
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  std::int64_t pid = 0;
  std::string directory;
  std::string software;
  /// Purpose::kCommitted.
  std::optional<SignedStatement> statement{};
  friend bool operator==(const HelloReply&, const HelloReply&) = default;
};

/// An executor becomes a member. Also sent by a member that was excluded, forgotten or is ahead of nothing.
struct JoinRequest {
  ExecutorIdentity executor;
  /// The repo and the epoch that the executor runs now; nil and 0 at first.
  Uuid repo;
  Epoch epoch = 0;
  friend bool operator==(const JoinRequest&, const JoinRequest&) = default;
};
/// What there is: the committed manifest, and the announcement that is being prepared, if any (without inline
/// bytes). `seq` is the seq of the last event whose effect is contained.
struct SnapshotReply {
  DaemonId daemon;
  std::uint64_t seq = 0;
  Manifest committed;
  std::optional<AnnounceEvent> pending;
  /// Purpose::kCommitted, of `committed`.
  std::optional<SignedStatement> statement{};
};
/// The same for an observer or a member that noticed a gap.
struct SnapshotRequest {
  friend bool operator==(const SnapshotRequest&, const SnapshotRequest&) = default;
};

/// Any retained epoch.
struct ManifestRequest {
  Epoch epoch = 0;
  friend bool operator==(const ManifestRequest&, const ManifestRequest&) = default;
};
struct ManifestReply {
  DaemonId daemon;
  Manifest manifest;
  /// Purpose::kRetained.
  std::optional<SignedStatement> statement{};
  /// The epoch was refused or given up: nobody is to run it.
  bool aborted = false;
  friend bool operator==(const ManifestReply&, const ManifestReply&) = default;
};

/// A piece of a blob: `length` bytes from `offset`, at most limits::kChunkBytes. Errors: kNotFound,
/// kInvalidArgument. A client that can decode says so in `accept`; offset and length then count bytes of the
/// encoding that the reply names, which may always be kPlain.
struct BlobRequest {
  Digest digest;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  /// A version that the client has, for a patch; zero: none.
  Digest base{};
  std::vector<Encoding> accept{};
  friend bool operator==(const BlobRequest&, const BlobRequest&) = default;
};
struct BlobReply {
  Digest digest;
  std::uint64_t offset = 0;
  std::uint64_t total = 0;
  SharedBytes bytes;  // the payload frame
  Encoding encoding = Encoding::kPlain;
  /// The size of the whole in that encoding; for kPlain the same as `total`, and 0 means that too.
  std::uint64_t wire_total = 0;
};

/// "I have `have` of this module: what is new?" have = 0: nothing. version = 0: the newest committed one.
struct ModuleRequest {
  std::string name;
  Version have = 0;
  /// The repo that `have` was counted in; nil when have is 0. Another repo's numbers mean nothing here.
  Uuid repo;
  Version version = 0;
  friend bool operator==(const ModuleRequest&, const ModuleRequest&) = default;
};
/// `latest`: the client has it, no bytes follow. Else the entry, and the bytes when size <=
/// limits::kChunkBytes; larger ones are fetched by digest.
struct ModuleReply {
  DaemonId daemon;
  bool latest = false;
  Epoch epoch = 0;
  ModuleEntry module;
  SharedBytes bytes;  // the payload frame, or null
};

/// A member lives: renews its lease and says what it holds.
struct AliveRequest {
  Uuid executor;
  ExecutorState state = ExecutorState::kLive;
  Epoch epoch = 0;
  std::vector<PinReport> pins;
  /// What cannot be unloaded, in bytes.
  std::uint64_t retired_bytes = 0;
  /// What a person should know, for as long as it is so: sentences, always in the same words.
  std::vector<std::string> notes{};
  /// What was run and not told yet, as far as the daemon has answered: at most limits::kRunsPerMessage, the
  /// rest with the next one.
  std::vector<RunReport> runs{};
  /// The repo that their versions were counted in. Another repo's numbers mean nothing here.
  Uuid runs_repo{};
  friend bool operator==(const AliveRequest&, const AliveRequest&) = default;
};
/// `member` false: unknown or excluded, join again.
struct AliveReply {
  DaemonId daemon;
  bool member = false;
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  /// Purpose::kCommitted.
  std::optional<SignedStatement> statement{};
  friend bool operator==(const AliveReply&, const AliveReply&) = default;
};

enum class AckPhase : std::uint8_t { kPrepared, kFailed, kApplied, kDrained };
/// "prepared", "failed", "applied", "drained".
[[nodiscard]] std::string_view to_string(AckPhase phase);
[[nodiscard]] std::optional<AckPhase> ack_phase_from_string(std::string_view text);

/// How far an epoch has come in one executor. Idempotent: repeated until answered.
struct AckRequest {
  Uuid executor;
  Epoch epoch = 0;
  AckPhase phase = AckPhase::kPrepared;
  std::vector<ModuleFailure> failures;  // kFailed only
  std::int64_t elapsed_us = 0;          // since the announcement was read
  friend bool operator==(const AckRequest&, const AckRequest&) = default;
};

/// A member goes away in good order.
struct LeaveRequest {
  Uuid executor;
  /// As in AliveRequest: the last numbers.
  std::vector<RunReport> runs{};
  Uuid runs_repo{};
  friend bool operator==(const LeaveRequest&, const LeaveRequest&) = default;
};

/// A file whose content on disk is not published, and why.
struct UnpublishedFile {
  /// Relative to the watched directory; "." for the directory itself.
  std::string path;
  std::string reason;
  friend bool operator==(const UnpublishedFile&, const UnpublishedFile&) = default;
};

/// Answered when everything that was on disk at the time of the request is published (committed, aborted) or
/// known not to be publishable.
struct RefreshRequest {
  friend bool operator==(const RefreshRequest&, const RefreshRequest&) = default;
};
struct RefreshReply {
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  /// The first of them by path, at most limits::kUnpublishedTold, and how many there are.
  std::vector<UnpublishedFile> unpublished{};
  std::uint64_t unpublished_files = 0;
  /// The epoch in which executors refused what is on disk; 0: none. Something else may have been committed
  /// since.
  Epoch refused = 0;
  friend bool operator==(const RefreshReply&, const RefreshReply&) = default;
};

enum class BuildAction : std::uint8_t { kBegin, kRenew, kEnd };
/// "begin", "renew", "end".
[[nodiscard]] std::string_view to_string(BuildAction action);
[[nodiscard]] std::optional<BuildAction> build_action_from_string(std::string_view text);

/// A build as a barrier: while it is held nothing is published; at its end all of it or nothing. Whoever
/// holds it chooses `build` at random, so that every request may be repeated. An action on a barrier that the
/// daemon does not hold begins it first: it was restarted, or released the barrier after
/// BuildReply::lease_ms.
struct BuildRequest {
  BuildAction action = BuildAction::kBegin;
  Uuid build;
  bool success = false;  // kEnd
  friend bool operator==(const BuildRequest&, const BuildRequest&) = default;
};
/// The end of a success is answered when all that the build changed is committed, aborted or rejected; the
/// end of a failure when it is put aside. Errors: kLimit, kTimeout, kConflict (a begin of what has ended).
struct BuildReply {
  DaemonId daemon;
  Uuid build;
  /// Renew well within this time.
  std::int64_t lease_ms = 0;
  /// Whether it was held without a gap since its begin. If not, some of the build may have been published
  /// early.
  bool unbroken = true;
  /// kEnd: the files that went out at the end, or that a failure put aside.
  std::uint64_t files = 0;
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  /// kEnd of a success: as in RefreshReply, of what changed since the begin, or could not be read or kept.
  std::vector<UnpublishedFile> unpublished{};
  std::uint64_t unpublished_files = 0;
  /// As in RefreshReply.
  Epoch refused = 0;
  friend bool operator==(const BuildReply&, const BuildReply&) = default;
};

/// A module that a rollback keeps from following the directory until `path` changes again.
struct HoldReport {
  std::string module;
  /// The version whose bytes it has; 0: it is kept out of the manifest.
  Version version = 0;
  std::string path;
  friend bool operator==(const HoldReport&, const HoldReport&) = default;
};

struct StatusRequest {
  friend bool operator==(const StatusRequest&, const StatusRequest&) = default;
};
struct ExecutorStatus {
  ExecutorIdentity identity;
  ExecutorState state = ExecutorState::kJoining;
  Epoch epoch = 0;
  std::vector<PinReport> pins;
  std::uint64_t retired_bytes = 0;
  /// Why it is not live, for a person; empty when there is nothing to say.
  std::string detail;
  friend bool operator==(const ExecutorStatus&, const ExecutorStatus&) = default;
};
/// Bytes of modules that have left the daemon since it started, by the way in which they went.
struct TransferReport {
  std::uint64_t announced_bytes = 0;  // inside announcements, once per member
  std::uint64_t plain_bytes = 0;
  std::uint64_t zstd_bytes = 0;
  std::uint64_t patch_bytes = 0;
  /// What encoding saved: plain size less encoded size, of each blob that was sent to its end.
  std::uint64_t saved_bytes = 0;
  friend bool operator==(const TransferReport&, const TransferReport&) = default;
};
struct StatusReply {
  DaemonId daemon;
  std::string endpoint;
  std::int64_t pid = 0;
  std::string directory;
  std::string backend;
  Epoch epoch = 0;
  Epoch committed_epoch = 0;
  std::vector<ModuleEntry> modules;  // of the committed manifest
  std::vector<ExecutorStatus> executors;
  std::vector<HoldReport> holds{};
  TransferReport transfers{};
  /// As in RefreshReply.
  Epoch refused = 0;
  friend bool operator==(const StatusReply&, const StatusReply&) = default;
};

/// Where an epoch stands.
enum class EpochState : std::uint8_t { kAnnounced, kCommitted, kAborted };
/// "announced", "committed", "aborted".
[[nodiscard]] std::string_view to_string(EpochState state);
[[nodiscard]] std::optional<EpochState> epoch_state_from_string(std::string_view text);

/// What was changed when, by what, and who applied it: epochs from newer to older.
struct HistoryRequest {
  /// A module's name or an unambiguous part of it; empty: all.
  std::string module;
  /// Only epochs before this one; 0: from the newest on.
  Epoch before = 0;
  /// At most so many, and never more than limits::kHistoryEntries; 0: as many as are given.
  std::uint64_t limit = 0;
  friend bool operator==(const HistoryRequest&, const HistoryRequest&) = default;
};
struct AppliedReport {
  ExecutorIdentity executor;
  std::int64_t at_ns = 0;
  /// How long it loaded, without waiting for others.
  std::int64_t elapsed_us = 0;
  friend bool operator==(const AppliedReport&, const AppliedReport&) = default;
};
struct HistoryEntry {
  Epoch epoch = 0;
  Epoch base = 0;
  EpochState state = EpochState::kAnnounced;
  std::int64_t announced_at_ns = 0;
  std::int64_t decided_at_ns = 0;  // 0 when undecided
  /// "change", "rollback of scorer to version 3", ...
  std::string cause;
  /// The first limits::kHistoryChanges; of one module when the request names one.
  std::vector<ModuleChange> changes;
  std::uint64_t changes_total = 0;
  /// The first limits::kHistoryFailures.
  std::vector<ExecutorFailure> failures;
  /// Those that were the first, at most limits::kHistoryApplied.
  std::vector<AppliedReport> applied;
  std::uint64_t applied_total = 0;
  friend bool operator==(const HistoryEntry&, const HistoryEntry&) = default;
};
/// Errors: kNotFound, kConflict (the part of a name fits several; the message lists them).
struct HistoryReply {
  DaemonId daemon;
  /// The whole name.
  std::string module;
  std::vector<HistoryEntry> entries;
  /// Whether there are older ones: ask again with `before` = the last entry's epoch.
  bool more = false;
  /// Epochs up to this one were forgotten.
  Epoch forgotten = 0;
  friend bool operator==(const HistoryReply&, const HistoryReply&) = default;
};

/// Who ran what, how often and how long, as far as it is kept.
struct RunsRequest {
  /// A module's name or an unambiguous part of it; empty: all.
  std::string module;
  /// So many are left out: RunsReply::next of the answer before.
  std::uint64_t skip = 0;
  friend bool operator==(const RunsRequest&, const RunsRequest&) = default;
};
struct ExecutorRuns {
  ExecutorIdentity executor;
  RunReport run;
  friend bool operator==(const ExecutorRuns&, const ExecutorRuns&) = default;
};
/// Errors: as HistoryReply.
struct RunsReply {
  DaemonId daemon;
  /// The whole name.
  std::string module;
  /// By module, version and executor; at most limits::kRunsPerReply.
  std::vector<ExecutorRuns> runs;
  /// > 0: there are more, ask again with `skip` = this.
  std::uint64_t next = 0;
  friend bool operator==(const RunsReply&, const RunsReply&) = default;
};

/// Old bytes as a new epoch. Answered when it is decided.
struct RollbackRequest {
  /// A module's name or an unambiguous part of it; empty: all modules.
  std::string module;
  /// With a module: the version whose bytes shall be used. Without: the epoch. 0: the one before.
  std::uint64_t to = 0;
  /// Chosen at random: a request that is repeated with the same key is carried out once.
  Uuid key;
  friend bool operator==(const RollbackRequest&, const RollbackRequest&) = default;
};
/// It is committed. Errors: kNotFound, kConflict (ambiguous name), kAlreadyExists (it is so already),
/// kRefused (executors cannot use it; the message says who and why), kTimeout, kLimit.
struct RollbackReply {
  DaemonId daemon;
  Epoch epoch = 0;
  std::string cause;
  std::vector<ModuleChange> changes;
  /// All modules that are held from now on.
  std::vector<HoldReport> holds;
  friend bool operator==(const RollbackReply&, const RollbackReply&) = default;
};

/// The answer to a request that needs none.
struct OkReply {
  friend bool operator==(const OkReply&, const OkReply&) = default;
};
/// Any request can be answered so.
struct ErrorReply {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  /// > 0: the daemon is busy, ask again after so long.
  std::int64_t retry_after_ms = 0;
  friend bool operator==(const ErrorReply&, const ErrorReply&) = default;
};

using RequestBody = std::variant<HelloRequest, JoinRequest, SnapshotRequest, ManifestRequest, BlobRequest,
                                 ModuleRequest, AliveRequest, AckRequest, LeaveRequest, RefreshRequest,
                                 StatusRequest, BuildRequest, HistoryRequest, RollbackRequest, RunsRequest>;
using ReplyBody =
    std::variant<HelloReply, SnapshotReply, ManifestReply, BlobReply, ModuleReply, AliveReply, RefreshReply,
                 StatusReply, OkReply, ErrorReply, BuildReply, HistoryReply, RollbackReply, RunsReply>;

struct Request {
  /// Chosen by the client, echoed in the reply; unique among its open requests.
  std::uint64_t id = 0;
  RequestBody body;
};
struct Reply {
  std::uint64_t id = 0;
  ReplyBody body;
};

}  // namespace moddev
