#include "tests/sim/checkers.h"

#include <algorithm>

#include "daemon/limits.h"
#include "protocol/digest.h"
#include "protocol/limits.h"
#include "protocol/names.h"

namespace moddev::sim {
namespace {

/// Requests of one executor within one second: heartbeats, acks, retries. A storm has thousands.
constexpr std::uint64_t kRequestsPerSecond = 200;
/// Steps of one process at one instant. Every message can cause one; a loop without rest has no end.
constexpr std::uint64_t kStepsPerInstant = 2'000;
/// How long after a lease of silence an executor may still believe that it is connected.
constexpr Duration kStaleSlack = std::chrono::milliseconds(1500);

std::string epoch_name(Epoch epoch) {
  return "epoch " + std::to_string(epoch);
}
std::string executor_name(std::size_t executor) {
  return "executor " + std::to_string(executor);
}

bool same_content(const Manifest& a, const Manifest& b) {
  return std::ranges::equal(a.modules, b.modules, [](const auto& one, const auto& other) {
    return one.first == other.first && one.second.digest == other.second.digest;
  });
}

}  // namespace

// ------------------------------------------------------------------------------------------- Chronicle

RepoFacts& Chronicle::of(const Uuid& repo) {
  for (RepoFacts& facts : repos_) {
    if (facts.repo == repo) return facts;
  }
  repos_.emplace_back().repo = repo;
  return repos_.back();
}

const EpochFacts* Chronicle::find(const Digest& manifest) const {
  for (auto repo = repos_.rbegin(); repo != repos_.rend(); ++repo) {
    for (auto facts = repo->epochs.rbegin(); facts != repo->epochs.rend(); ++facts) {
      if (facts->second.digest == manifest) return &facts->second;
    }
  }
  return nullptr;
}

// ------------------------------------------------------------------------------------------- NeverTorn

void NeverTorn::announced(const AnnounceEvent& announce) {
  for (const ModuleChange& change : announce.changes) {
    if (change.change == ChangeKind::kRemoved || finished_(change.module.digest)) continue;
    verdict_.fail("NeverTorn", epoch_name(announce.epoch) + " publishes '" + change.module.path + "' with " +
                                   std::to_string(change.module.size) + " bytes that no writer finished");
  }
}

void NeverTorn::loaded(std::size_t executor, const View& view) {
  for (const auto& [name, module] : view.modules()) {
    const auto bytes = module->bytes();
    if (bytes.ok() && finished_(digest_of(*bytes))) continue;
    verdict_.fail("NeverTorn", executor_name(executor) + " runs bytes of '" + name + "' in " +
                                   epoch_name(view.epoch()) + " that no writer finished");
  }
}

// ----------------------------------------------------------------------------------------- NeverMissed

std::optional<std::string> NeverMissed::difference(const Manifest& committed,
                                                   const std::map<std::string, Digest>& directory,
                                                   const daemon::HoldSet& holds) {
  // By module: where its file lies may change without a new version.
  std::map<std::string, Digest> wanted;
  for (const auto& [path, digest] : directory) {
    if (const auto identity = identify_module(path)) wanted.emplace(identity->name, digest);
  }
  for (const auto& [name, hold] : holds) {
    const auto there = wanted.find(name);
    if ((there == wanted.end() ? Digest{} : there->second) != hold.overrides) continue;  // ends at once
    wanted.erase(name);
    if (hold.content) wanted.emplace(name, hold.content->digest);
  }
  for (const auto& [name, digest] : wanted) {
    const ModuleEntry* module = committed.find(name);
    if (module == nullptr) return "'" + name + "' is in the directory but not published";
    if (module->digest != digest) return "'" + name + "' is published with former bytes";
  }
  for (const auto& [name, module] : committed.modules) {
    if (!wanted.contains(name)) return "'" + name + "' is published but no longer there";
  }
  return std::nullopt;
}

void NeverMissed::settled(const Manifest& committed, const std::map<std::string, Digest>& directory,
                          const daemon::HoldSet& holds) {
  if (const auto what = difference(committed, directory, holds))
    verdict_.fail("NeverMissed", *what + ", long after the last writer finished");
}

// ------------------------------------------------------------------------------------------- OnlyRises

void OnlyRises::check_change(const std::string& where, const ModuleChange& change, const Manifest& base) {
  const ModuleEntry& module = change.module;
  const ModuleEntry* before = base.find(module.name);
  if (change.change == ChangeKind::kRemoved) {
    if (before == nullptr)
      verdict_.fail("OnlyRises", where + " removes '" + module.name + "', which was not there");
    return;
  }
  if ((before == nullptr) != (change.change == ChangeKind::kAdded))
    verdict_.fail("OnlyRises", where + " calls '" + module.name + "' by the wrong kind of change");
  if (before != nullptr && before->digest == module.digest && before->depends_on == module.depends_on)
    verdict_.fail("OnlyRises", where + " is an empty bump of '" + module.name + "'");
  ModuleFacts& facts = modules_[{chronicle_.repos(), module.name}];
  const auto known = facts.digests.find(module.version);
  if (known != facts.digests.end() && known->second != module.digest)
    verdict_.fail("OnlyRises", where + " gives version " + std::to_string(module.version) + " of '" +
                                   module.name + "' to other bytes");
  const bool same = facts.last != 0 && facts.digests[facts.last] == module.digest;
  if (module.version < facts.last)
    verdict_.fail("OnlyRises", where + " takes '" + module.name + "' back from version " +
                                   std::to_string(facts.last) + " to " + std::to_string(module.version));
  // What was recorded and never told, because the daemon died in between, may have used numbers.
  const bool gaps = std::exchange(facts.deaths, deaths_) != deaths_;
  if (!gaps && module.version != facts.last + (same ? 0 : 1))
    verdict_.fail("OnlyRises", where + " gives '" + module.name + "' version " +
                                   std::to_string(module.version) + " after " + std::to_string(facts.last));
  facts.last = module.version;
  facts.digests[module.version] = module.digest;
}

void OnlyRises::announced(const Uuid& repo, const AnnounceEvent& announce, bool repeated) {
  RepoFacts& facts = chronicle_.of(repo);
  const std::string where = epoch_name(announce.epoch);
  if (repeated) {
    const auto known = facts.epochs.find(announce.epoch);
    if (known == facts.epochs.end() || known->second.digest != announce.manifest_digest)
      verdict_.fail("OnlyRises", where + " is repeated with another manifest");
    return;
  }
  const Epoch newest = facts.epochs.rbegin()->first;
  if (announce.epoch <= newest)
    return verdict_.fail("OnlyRises", where + " is announced anew after " + epoch_name(newest));
  if (!died_ && announce.epoch != newest + 1)
    verdict_.fail("OnlyRises", where + " follows on " + epoch_name(newest));
  const auto base = facts.epochs.find(announce.base);
  if (base == facts.epochs.end())
    return verdict_.fail("OnlyRises", where + " builds on an epoch that was never announced");
  if (announce.changes.empty() && !canaries_) verdict_.fail("OnlyRises", where + " changes nothing");
  for (const ModuleChange& change : announce.changes) check_change(where, change, base->second.manifest);
  Manifest manifest = apply(base->second.manifest, announce.changes, announce.epoch);
  const Digest digest = manifest.digest();
  if (digest != announce.manifest_digest)
    verdict_.fail("OnlyRises", "the changes of " + where + " do not lead to its manifest");
  facts.epochs.emplace(announce.epoch, EpochFacts{std::move(manifest), digest, false, false});
  died_ = false;
}

void OnlyRises::reopened(const daemon::Journal& journal, Fate fate) {
  if (fate != Fate::kLost && journal.opened() == daemon::Journal::Opened::kReplaced)
    verdict_.fail("OnlyRises", "the journal was damaged by a death: " + journal.notice());
  const bool first = chronicle_.repos() == 0;
  if (fate == Fate::kIntact && !first && chronicle_.newest().repo != journal.id().repo)
    verdict_.fail("OnlyRises", "a new history begins although nothing was lost: " + journal.notice());
  RepoFacts& facts = chronicle_.of(journal.id().repo);
  if (facts.epochs.size() == 1 && journal.committed().epoch > 0) {
    // The history goes on under a new repo id: all that is committed is told anew.
    const Manifest& committed = journal.committed();
    facts.epochs.emplace(committed.epoch, EpochFacts{committed, committed.digest(), true, false});
  }
  if (journal.head() < facts.epochs.rbegin()->first)
    verdict_.fail("OnlyRises", "after a restart the journal ends at " + epoch_name(journal.head()) +
                                   ", but " + epoch_name(facts.epochs.rbegin()->first) + " was announced");
}

// ------------------------------------------------------------------------------------------ PerProcess

void PerProcess::view(std::size_t executor, const View& view) {
  const std::string who = executor_name(executor) + " in " + epoch_name(view.epoch());
  if (view.epoch() == 0 && view.modules().empty()) return;
  if (chronicle_.find(view.manifest().digest()) == nullptr)
    verdict_.fail("PerProcess", who + " runs a manifest that was never announced");
  if (view.modules().size() != view.manifest().modules.size())
    verdict_.fail("PerProcess", who + " has not exactly the modules of its manifest");
  for (const auto& [name, entry] : view.manifest().modules) {
    const LoadedModule* module = view.find(name);
    const auto bytes = module == nullptr ? Error{} : module->bytes();
    if (!bytes || digest_of(*bytes) != entry.digest)
      verdict_.fail("PerProcess", who + " has bytes of '" + name + "' that are not of this epoch");
  }
}

void PerProcess::pin(std::size_t executor, Epoch taken, Epoch now) {
  if (taken != now)
    verdict_.fail("PerProcess",
                  executor_name(executor) + " holds " + epoch_name(taken) + " and sees " + epoch_name(now));
}

// -------------------------------------------------------------------------------------------- PerFleet

void PerFleet::daemon_started(const daemon::Journal& journal) {
  journal_ = &journal;
  const Epoch committed = journal.committed().epoch;
  RepoFacts& facts = chronicle_.of(journal.id().repo);
  for (auto& [epoch, known] : facts.epochs) {
    if (known.committed && epoch > committed)
      verdict_.fail("PerFleet",
                    epoch_name(epoch) + " was committed, and is not in the journal after a restart");
    if (epoch == committed) {
      if (known.aborted) verdict_.fail("PerFleet", epoch_name(epoch) + " was aborted and is committed now");
      known.committed = true;
    } else if (!known.committed) {
      known.aborted = true;
    }
  }
}

void PerFleet::daemon_stopped() {
  journal_ = nullptr;
  members_.clear();
  voters_.clear();
  refusals_.clear();
  commits_of_step_.clear();
}

void PerFleet::check_committed(Epoch claimed, const char* where) {
  MODDEV_ASSERT(journal_ != nullptr, "a daemon speaks only while it runs");
  const Epoch committed = journal_->committed().epoch;
  if (claimed > committed) {
    return verdict_.fail("PerFleet", std::string(where) + " tells that " + epoch_name(claimed) +
                                         " is committed before the journal holds it");
  }
  EpochFacts& facts = chronicle_.of(journal_->id().repo).epochs[committed];
  if (facts.aborted) verdict_.fail("PerFleet", epoch_name(committed) + " was aborted and is committed now");
  facts.committed = true;
}

void PerFleet::published(const Event& event) {
  if (const auto* announce = std::get_if<AnnounceEvent>(&event.body)) {
    const auto [place, first] = voters_.try_emplace(announce->epoch);
    if (!first) return;  // who joins meanwhile has no vote
    auto& voters = place->second;
    for (const auto& [id, member] : members_) {
      if (member.epoch == announce->base && member.failed == 0) voters.insert(id);
    }
  } else if (const auto* commit = std::get_if<CommitEvent>(&event.body); commit && !commit->only.empty()) {
    const EpochFacts& facts = chronicle_.of(event.daemon.repo).epochs[commit->epoch];
    if (facts.committed || facts.aborted)
      verdict_.fail("PerFleet", epoch_name(commit->epoch) + " is tried in canaries and was decided before");
    trials_[facts.digest].insert(commit->only.begin(), commit->only.end());
  } else if (commit != nullptr) {
    check_committed(commit->epoch, "a commit message");
    commits_of_step_.push_back(commit->epoch);
  } else if (const auto* abort = std::get_if<AbortEvent>(&event.body)) {
    EpochFacts& facts = chronicle_.of(event.daemon.repo).epochs[abort->epoch];
    if (facts.committed)
      verdict_.fail("PerFleet", epoch_name(abort->epoch) + " was committed and is aborted now");
    facts.aborted = true;
  } else if (const auto* heartbeat = std::get_if<HeartbeatEvent>(&event.body)) {
    check_committed(heartbeat->committed_epoch, "a heartbeat");
  }
}

void PerFleet::replied(const Uuid* joiner, const Reply& reply) {
  if (const auto* snapshot = std::get_if<SnapshotReply>(&reply.body)) {
    check_committed(snapshot->committed.epoch, "a snapshot");
    if (joiner != nullptr) members_.try_emplace(*joiner);
  } else if (const auto* alive = std::get_if<AliveReply>(&reply.body)) {
    check_committed(alive->committed_epoch, "an answer to a sign of life");
  } else if (const auto* hello = std::get_if<HelloReply>(&reply.body)) {
    check_committed(hello->committed_epoch, "an answer to hello");
  }
}

void PerFleet::requested(const Request& request) {
  const auto* ack = std::get_if<AckRequest>(&request.body);
  if (ack == nullptr) return;
  const auto member = members_.find(ack->executor);
  if (member == members_.end()) return;
  if (ack->phase == AckPhase::kApplied) {
    member->second.epoch = std::max(member->second.epoch, ack->epoch);
    if (ack->epoch >= member->second.failed) member->second.failed = 0;
  } else if (ack->phase == AckPhase::kFailed) {
    const RepoFacts& facts = chronicle_.newest();
    const auto known = facts.epochs.find(ack->epoch);
    const bool decided = known == facts.epochs.end() || known->second.committed || known->second.aborted;
    if (!decided) refusals_[ack->epoch].insert(ack->executor);
    if (known != facts.epochs.end() && known->second.committed) member->second.failed = ack->epoch;
  }
}

void PerFleet::told(const daemon::DaemonEvent& event) {
  const auto* executor = std::get_if<daemon::ExecutorEvent>(&event);
  if (executor == nullptr || executor->kind == daemon::ExecutorEvent::Kind::kJoined) return;
  members_.erase(executor->executor.id);
  for (auto& [epoch, voters] : voters_) voters.erase(executor->executor.id);
}

void PerFleet::stepped() {
  for (const Epoch epoch : std::exchange(commits_of_step_, {})) {
    for (const Uuid& voter : voters_[epoch]) {
      if (policy_ == daemon::SyncPolicy::kAll && refusals_[epoch].contains(voter))
        verdict_.fail("PerFleet", epoch_name(epoch) + " is committed although a member refused it");
    }
    voters_.erase(epoch);
  }
}

void PerFleet::applied(std::size_t executor, const Uuid& id, const View& view) {
  if (view.epoch() == 0) return;
  const Digest digest = view.manifest().digest();
  const EpochFacts* facts = chronicle_.find(digest);
  if (const auto trial = trials_.find(digest); trial != trials_.end() && trial->second.contains(id))
    ran_as_canary_[executor].insert(digest);
  if (facts != nullptr && !facts->committed && ran_as_canary_[executor].contains(digest)) return;
  if (facts == nullptr || !facts->committed)
    verdict_.fail("PerFleet", executor_name(executor) + " applied " + epoch_name(view.epoch()) +
                                  ", which is not committed");
  if (facts != nullptr && facts->aborted)
    verdict_.fail("PerFleet",
                  executor_name(executor) + " applied " + epoch_name(view.epoch()) + ", which was aborted");
}

// --------------------------------------------------------------------------- InTime, Returns and Rejoins

void InTime::passed(Duration awake) {
  if (epoch_ == 0) return;
  waited_ += awake;
  if (waited_ > limit_)
    verdict_.fail("InTime", epoch_name(epoch_) + " is not decided after " +
                                std::to_string(to_us(waited_) / 1000) + " ms");
}

bool Returns::announced(const AnnounceEvent& announce, const daemon::Journal& journal, TimePoint now) {
  announced_ = now;
  const auto record = journal.epoch(announce.epoch);
  if (!record || record->restores == 0) return false;
  const std::string where =
      epoch_name(announce.epoch) + ", a return to " + epoch_name(record->restores) + ",";
  const bool trouble = trouble_ && *trouble_ + delay_ >= since_;
  const bool silence =
      std::ranges::any_of(heard_, [&](const auto& last) { return now - last.second >= lease_; });
  if (!trouble && !silence)
    verdict_.fail("Returns", where + " comes although nobody died of what is committed");
  bool committed = false;
  bool whole = false;
  for (const RepoFacts& repo : chronicle_.all()) {
    const auto target = repo.epochs.find(record->restores);
    if (target == repo.epochs.end() || !target->second.committed) continue;
    committed = true;
    whole = whole || same_content(target->second.manifest, record->manifest);
  }
  if (!committed) {
    verdict_.fail("Returns", where + " leads to what was never committed");
  } else if (!whole) {
    verdict_.fail("Returns", where + " does not have its content");
  }
  return true;
}

void Returns::at_rest(const daemon::Journal& journal, std::size_t running) {
  if (running > 0) return;
  for (Epoch epoch = journal.committed().epoch; epoch > 0;) {
    if (journal.applied_count(epoch).ok() && *journal.applied_count(epoch) > 0)
      return verdict_.fail("Returns", "nobody can run " + epoch_name(journal.committed().epoch) + ", and " +
                                          epoch_name(epoch) + ", which ran, does not come back");
    const auto record = journal.epoch(epoch);
    if (!record) return;
    epoch = record->restores != 0 ? record->restores : record->base;
  }
}

void Rejoins::daemon_started(const daemon::Journal& journal, const std::set<Uuid>& up, TimePoint now) {
  started_ = now;
  missing_.clear();
  const auto applied = journal.applied(journal.committed().epoch);
  if (!applied) return;
  for (const daemon::AppliedRecord& one : *applied) {
    if (up.contains(one.executor.id)) missing_.insert(one.executor.id);
  }
}

void Rejoins::announced(Epoch epoch, TimePoint now) {
  if (!missing_.empty() && now - started_ < lease_)
    verdict_.fail("Rejoins", epoch_name(epoch) + " is announced " +
                                 std::to_string(to_us(now - started_) / 1000) +
                                 " ms after a restart, while " + std::to_string(missing_.size()) +
                                 " that ran what is committed are not back");
}

// -------------------------------------------------------------------------------------------- LastGood

void LastGood::refused(std::size_t executor, const ClientEvent& event) {
  // As the blob store says it to the loader.
  if (event.message.ends_with("is not here"))
    verdict_.fail("LastGood", executor_name(executor) + " refuses '" + event.module + "' of " +
                                  epoch_name(event.epoch) + " although nobody fetched its bytes");
}

void LastGood::stepped(std::size_t executor, const View* view, bool connected, Duration silent) {
  Epoch& last = last_[executor];
  if (view == nullptr) {
    if (last != 0) verdict_.fail("LastGood", executor_name(executor) + " lost its view");
  } else {
    // A new history counts from 1 again.
    if (view->epoch() < last && chronicle_.repos() < 2)
      verdict_.fail("LastGood", executor_name(executor) + " went back from " + epoch_name(last) + " to " +
                                    epoch_name(view->epoch()));
    last = view->epoch();
  }
  // A process that was not running is not to blame: `silent` counts only what it was awake for.
  if (connected && silent > moddev::limits::kLease + kStaleSlack)
    verdict_.fail("LastGood", executor_name(executor) + " heard nothing for " +
                                  std::to_string(to_us(silent) / 1000) +
                                  " ms and does not say that it is stale");
}

// -------------------------------------------------------------------------------------------- RunsTold

void RunsTold::told(std::size_t executor, const std::vector<RunReport>& runs, const Uuid& repo,
                    const Runs& counted) {
  for (const RunReport& run : runs) {
    const auto found = counted.find({repo, run.module, run.version});
    const std::uint64_t happened = found == counted.end() ? 0 : found->second;
    if (run.runs > happened)
      verdict_.fail("RunsTold", executor_name(executor) + " tells " + std::to_string(run.runs) + " runs of " +
                                    run.module + " " + std::to_string(run.version) + " where there were " +
                                    std::to_string(happened));
  }
}

std::optional<std::string> RunsTold::difference(const daemon::Journal& journal, const Uuid& id,
                                                const Runs& counted) {
  if (journal.forgotten() > 0) return std::nullopt;  // some may have been forgotten with it
  const auto records = journal.runs("", daemon::limits::kRunRecords);
  if (!records) return records.error().message;
  std::map<std::pair<std::string, Version>, std::uint64_t> recorded;
  for (const daemon::RunRecord& record : *records) {
    if (record.executor.id == id) recorded[{record.run.module, record.run.version}] = record.run.runs;
  }
  std::map<std::pair<std::string, Version>, std::uint64_t> wanted;
  // A history that goes on under a new id still has the runs of the former one that it remembers.
  auto possible = wanted;
  for (const auto& [run, count] : counted) {
    const std::pair key(std::get<1>(run), std::get<2>(run));
    possible[key] += count;
    if (std::get<0>(run) == journal.id().repo) wanted[key] = count;
  }
  const auto explained = [&](const auto& one) {
    const auto most = possible.find(one.first);
    return most != possible.end() && one.second <= most->second;
  };
  const auto there = [&](const auto& one) {
    const auto found = recorded.find(one.first);
    return found != recorded.end() && found->second >= one.second;
  };
  if (std::ranges::all_of(recorded, explained) && std::ranges::all_of(wanted, there)) return std::nullopt;
  const auto text_of = [](const auto& runs) {
    std::string text;
    for (const auto& [module, count] : runs)
      text += " " + module.first + " " + std::to_string(module.second) + ": " + std::to_string(count);
    return text.empty() ? std::string(" nothing") : text;
  };
  return "ran" + text_of(wanted) + ", but recorded is" + text_of(recorded);
}

void RunsTold::at_rest(std::size_t executor, const std::string& difference) {
  verdict_.fail("RunsTold", executor_name(executor) + " " + difference);
}

// --------------------------------------------------------------------------------------------- Bounded

void Bounded::requests(std::size_t executor, std::uint64_t sent, TimePoint now) {
  Requests& facts = executors_[executor];
  if (now - facts.since >= std::chrono::seconds(1)) facts = {now, sent};
  if (sent - facts.before > kRequestsPerSecond)
    verdict_.fail("Bounded", executor_name(executor) + " sent more than " +
                                 std::to_string(kRequestsPerSecond) + " requests within a second");
}

void Bounded::step(std::size_t process, TimePoint now) {
  auto& [instant, steps] = steps_[process];
  if (instant != now) {
    instant = now;
    steps = 0;
  }
  if (++steps > kStepsPerInstant)
    verdict_.fail("Bounded", (process == 0 ? "the daemon" : executor_name(process - 1)) +
                                 " wants to be stepped again and again at one instant");
}

void Bounded::modules_alive(std::size_t executor, std::uint64_t alive, std::uint64_t expected) {
  if (alive > expected)
    verdict_.fail("Bounded", executor_name(executor) + " keeps " + std::to_string(alive) +
                                 " modules loaded where " + std::to_string(expected) + " are in use");
}

void Bounded::overlapping(std::size_t executor, std::uint64_t preparations) {
  if (preparations > 0)
    verdict_.fail("Bounded", executor_name(executor) + " began a preparation while one was running");
}

}  // namespace moddev::sim
