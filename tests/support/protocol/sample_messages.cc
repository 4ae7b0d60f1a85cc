#include "tests/support/protocol/sample_messages.h"

#include <numeric>

namespace moddev::test {
namespace {

DaemonId sample_daemon() {
  return {sample_uuid(0x10), sample_uuid(0x20)};
}

ExecutorIdentity sample_executor() {
  return {sample_uuid(0x30), "worker-1", "host.example", 4711};
}

AnnounceEvent sample_announcement() {
  AnnounceEvent announce;
  announce.epoch = 8;
  announce.base = 7;
  announce.manifest_digest = sample_digest(0x50);
  announce.changes = {{ChangeKind::kChanged, sample_module()},
                      {ChangeKind::kAdded, sample_module("table")},
                      {ChangeKind::kRemoved, sample_module("old")}};
  return announce;
}

std::vector<UnpublishedFile> sample_unpublished() {
  return {{"lib/libscorer.so", "its sections end behind the file"},
          {"table.json", "No space left on device"}};
}

}  // namespace

Uuid sample_uuid(std::uint8_t first) {
  Uuid uuid;
  std::iota(uuid.bytes.begin(), uuid.bytes.end(), first);
  return uuid;
}

Digest sample_digest(std::uint8_t first) {
  Digest digest;
  std::iota(digest.bytes.begin(), digest.bytes.end(), first);
  return digest;
}

ModuleEntry sample_module(const std::string& name) {
  ModuleEntry module;
  module.name = name;
  module.kind = ModuleKind::kNative;
  module.version = 3;
  module.digest = sample_digest(0x40);
  module.size = 65'536;
  module.path = "lib/lib" + name + ".so";
  module.depends_on = {"base", "math"};
  module.changed_at_ns = 1'764'000'000'123'456'789;
  return module;
}

Manifest sample_manifest() {
  Manifest manifest;
  manifest.epoch = 7;
  ModuleEntry base = sample_module("base");
  base.depends_on.clear();
  ModuleEntry config = sample_module("config/limits.json");
  config.kind = ModuleKind::kBlob;
  config.path = config.name;
  config.depends_on.clear();
  ModuleEntry rules = sample_module("pkg.rules");
  rules.kind = ModuleKind::kPython;
  rules.path = "pkg/rules.py";
  rules.depends_on.clear();
  for (const auto& module : {base, config, rules, sample_module()}) manifest.modules[module.name] = module;
  return manifest;
}

SignedStatement sample_statement() {
  // Not signed by anyone: the codec carries it as it is.
  SignedStatement statement;
  for (std::size_t i = 0; i < statement.bytes.size(); ++i) statement.bytes[i] = static_cast<std::uint8_t>(i);
  return statement;
}

std::vector<std::pair<std::string, Request>> sample_requests() {
  AliveRequest alive{sample_uuid(0x30), ExecutorState::kPreparing, 7, {{5, 1'500, 2}, {7, 3, 1}}, 1'048'576};
  AliveRequest noted = alive;
  noted.notes = {"the stop hook of module 'scorer' has not returned"};
  AliveRequest ran = alive;
  ran.runs = {{"scorer", 3, 40, 1'200'000'000, 90'000'000, 1'764'000'000'005'000'000},
              {"base", 1, 1, 250, 250, 1'764'000'000'004'000'000}};
  ran.runs_repo = sample_uuid(0x10);
  AckRequest failed{
      sample_uuid(0x30), 8, AckPhase::kFailed, {{"scorer", "undefined symbol: fast_path"}}, 950};
  AckRequest applied{sample_uuid(0x30), 8, AckPhase::kApplied, {}, 1'250};
  return {
      {"request_hello", {1, HelloRequest{"moddev 0.1.0"}}},
      {"request_join", {2, JoinRequest{sample_executor(), sample_uuid(0x10), 7}}},
      {"request_snapshot", {3, SnapshotRequest{}}},
      {"request_manifest", {4, ManifestRequest{6}}},
      {"request_blob", {5, BlobRequest{sample_digest(0x40), 1'048'576, 65'536}}},
      {"request_blob_encoded",
       {13,
        BlobRequest{
            sample_digest(0x40), 0, 65'536, sample_digest(0x60), {Encoding::kPatch, Encoding::kZstd}}}},
      {"request_module", {6, ModuleRequest{"scorer", 2, sample_uuid(0x10), 3}}},
      {"request_alive", {7, alive}},
      {"request_alive_notes", {7, noted}},
      {"request_alive_runs", {7, ran}},
      {"request_ack_failed", {8, failed}},
      {"request_ack_applied", {9, applied}},
      {"request_leave", {10, LeaveRequest{sample_uuid(0x30)}}},
      {"request_leave_runs", {10, LeaveRequest{sample_uuid(0x30), ran.runs, ran.runs_repo}}},
      {"request_runs", {16, RunsRequest{"scor", 1'000}}},
      {"request_refresh", {11, RefreshRequest{}}},
      {"request_status", {std::uint64_t{1} << 63, StatusRequest{}}},
      {"request_build_begin", {12, BuildRequest{BuildAction::kBegin, sample_uuid(0x50), false}}},
      {"request_history", {14, HistoryRequest{"scor", 90, 20}}},
      {"request_rollback", {15, RollbackRequest{"scorer", 3, sample_uuid(0x60)}}},
      {"request_build_end", {13, BuildRequest{BuildAction::kEnd, sample_uuid(0x50), true}}},
  };
}

std::vector<std::pair<std::string, Reply>> sample_replies() {
  HelloReply hello{sample_daemon(),
                   "ipc:///run/user/1000/moddev/default.sock-events",
                   1'000,
                   3'000,
                   8,
                   7,
                   4242,
                   "/home/dev/build",
                   "moddev 0.1.0"};
  ModuleReply module{sample_daemon(), false, 7, sample_module(), share("the module's bytes")};
  ModuleReply latest{sample_daemon(), true, 7, sample_module(), nullptr};
  ExecutorStatus executor{sample_executor(),
                          ExecutorState::kFailed,
                          6,
                          {{6, 20, 1}},
                          4'096,
                          "scorer: undefined symbol: fast_path"};
  StatusReply status{sample_daemon(),
                     "ipc:///run/user/1000/moddev/default.sock",
                     4242,
                     "/home/dev/build",
                     "inotify",
                     8,
                     7,
                     {sample_module("base"), sample_module()},
                     {executor}};
  HelloReply hello_signed = hello;
  hello_signed.statement = sample_statement();
  AnnounceEvent pending_signed = sample_announcement();
  pending_signed.statement = sample_statement();
  StatusReply status_held = status;
  status_held.holds = {{"scorer", 3, "lib/libscorer.so"}};
  StatusReply status_refused = status;
  status_refused.refused = 6;
  StatusReply status_sent = status;
  status_sent.transfers = {70'000, 1'048'576, 4'096, 379, 847'621};
  HistoryEntry committed{8,
                         7,
                         EpochState::kCommitted,
                         1'764'000'000'000'000'000,
                         1'764'000'000'004'000'000,
                         "change",
                         sample_announcement().changes,
                         70,
                         {},
                         {{sample_executor(), 1'764'000'000'005'000'000, 1'250}},
                         500};
  HistoryEntry aborted{7,
                       6,
                       EpochState::kAborted,
                       1'763'000'000'000'000'000,
                       1'763'000'000'050'000'000,
                       "rollback of scorer to version 2",
                       {{ChangeKind::kChanged, sample_module()}},
                       1,
                       {{"worker-1", "scorer", "undefined symbol: fast_path"}},
                       {},
                       0};
  HistoryReply history{sample_daemon(), "scorer", {committed, aborted}, true, 5};
  RollbackReply rollback{sample_daemon(),
                         9,
                         "rollback of scorer to version 3",
                         {{ChangeKind::kChanged, sample_module()}},
                         {{"scorer", 3, "lib/libscorer.so"}, {"gone", 0, "gone.json"}}};
  return {
      {"reply_status_held", {14, status_held}},
      {"reply_status_sent", {17, status_sent}},
      {"reply_status_refused", {10, status_refused}},
      {"reply_history", {15, history}},
      {"reply_rollback", {16, rollback}},
      {"reply_runs",
       {17, RunsReply{sample_daemon(),
                      "scorer",
                      {{sample_executor(),
                        {"scorer", 3, 40, 1'200'000'000, 90'000'000, 1'764'000'000'005'000'000}}},
                      2'000}}},
      {"reply_hello", {1, hello}},
      {"reply_hello_signed", {1, hello_signed}},
      {"reply_snapshot_signed",
       {3, SnapshotReply{sample_daemon(), 42, sample_manifest(), pending_signed, sample_statement()}}},
      {"reply_manifest_signed", {4, ManifestReply{sample_daemon(), sample_manifest(), sample_statement()}}},
      {"reply_alive_signed", {8, AliveReply{sample_daemon(), true, 8, 7, sample_statement()}}},
      {"reply_snapshot", {2, SnapshotReply{sample_daemon(), 41, sample_manifest(), std::nullopt}}},
      {"reply_snapshot_pending",
       {3, SnapshotReply{sample_daemon(), 42, sample_manifest(), sample_announcement()}}},
      {"reply_manifest", {4, ManifestReply{sample_daemon(), sample_manifest()}}},
      {"reply_manifest_aborted", {4, ManifestReply{sample_daemon(), sample_manifest(), std::nullopt, true}}},
      {"reply_blob", {5, BlobReply{sample_digest(0x40), 65'536, 65'541, share("tail!")}}},
      {"reply_blob_patch",
       {13, BlobReply{sample_digest(0x40), 0, 65'541, share("a patch"), Encoding::kPatch, 7}}},
      {"reply_module", {6, module}},
      {"reply_module_latest", {7, latest}},
      {"reply_alive", {8, AliveReply{sample_daemon(), true, 8, 7}}},
      {"reply_refresh", {9, RefreshReply{8, 8}}},
      {"reply_refresh_unpublished", {9, RefreshReply{8, 8, sample_unpublished(), 2}}},
      {"reply_refresh_refused", {9, RefreshReply{8, 8, {}, 0, 6}}},
      {"reply_build_refused",
       {13, BuildReply{sample_daemon(), sample_uuid(0x50), 10'000, true, 50, 8, 8, {}, 0, 6}}},
      {"reply_build_unpublished",
       {13,
        BuildReply{sample_daemon(), sample_uuid(0x50), 10'000, true, 50, 8, 8, sample_unpublished(), 40}}},
      {"reply_status", {10, status}},
      {"reply_ok", {11, OkReply{}}},
      {"reply_error", {12, ErrorReply{ErrorCode::kLimit, "Too many refreshes are waiting.", 250}}},
      {"reply_build", {13, BuildReply{sample_daemon(), sample_uuid(0x50), 10'000, true, 50, 8, 8}}},
  };
}

std::vector<std::pair<std::string, Event>> sample_events() {
  AnnounceEvent with_bytes = sample_announcement();
  with_bytes.inline_blobs = {{sample_digest(0x40), share("inlined bytes")}, {sample_digest(0x60), share("")}};
  AnnounceEvent announce_signed = sample_announcement();
  announce_signed.statement = sample_statement();
  Release release{};
  release.fill(0x77);
  const AbortEvent abort{8, {{"worker-1", "scorer", "undefined symbol: fast_path"}}};
  return {
      {"event_announce", {sample_daemon(), 42, sample_announcement()}},
      {"event_announce_inline", {sample_daemon(), 42, with_bytes}},
      {"event_commit_canaries",
       {sample_daemon(), 43, CommitEvent{8, {sample_uuid(0x30), sample_uuid(0x50)}}}},
      {"event_commit", {sample_daemon(), 43, CommitEvent{8}}},
      {"event_announce_signed", {sample_daemon(), 42, announce_signed}},
      {"event_commit_signed", {sample_daemon(), 43, CommitEvent{8, {}, release}}},
      {"event_commit_canaries_signed",
       {sample_daemon(), 43, CommitEvent{8, {sample_uuid(0x30)}, std::nullopt, sample_statement()}}},
      {"event_heartbeat_signed", {sample_daemon(), 43, HeartbeatEvent{8, 7, sample_statement()}}},
      {"event_abort", {sample_daemon(), 43, abort}},
      {"event_heartbeat", {sample_daemon(), 43, HeartbeatEvent{8, 7}}},
  };
}

}  // namespace moddev::test
