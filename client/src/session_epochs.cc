// How an epoch becomes live here: the manifest, the blobs, the loader, the switch. One is worked on at a
// time: a committed one that does not run here yet goes before one that is only announced.
#include <algorithm>
#include <utility>

#include "client/src/session_state.h"

namespace moddev {

using client::EpochInWork;

const Manifest* Session::State::live_manifest() const {
  const auto view = views.current();
  return view ? &view->manifest() : nullptr;
}

const Manifest* Session::State::manifest_of(Epoch epoch) const {
  static const Manifest empty;
  if (epoch == 0) return &empty;
  if (epoch == have()) return live_manifest();
  if (behind && behind->epoch == epoch && behind->stage != Stage::kNeedsManifest) return &behind->manifest;
  return nullptr;
}

// -------------------------------------------------------------------------------------- what the daemon says

void Session::State::on_announce(const AnnounceEvent& announce, bool tell_again) {
  if (announce.epoch <= std::max(have(), committed_epoch)) return;
  if (behind && behind->epoch == announce.epoch) {  // as a canary
    if (tell_again && behind->stage == Stage::kFailed) ack(behind->epoch, AckPhase::kFailed, &*behind);
    return;
  }
  if (pending) {
    if (pending->epoch > announce.epoch) return;
    if (pending->epoch == announce.epoch && pending->manifest_digest == announce.manifest_digest) {
      if (!tell_again) return;
      if (pending->stage == Stage::kPrepared) ack(pending->epoch, AckPhase::kPrepared, &*pending);
      if (pending->stage == Stage::kFailed) ack(pending->epoch, AckPhase::kFailed, &*pending);
      return;
    }
  }
  Digest release;
  if (!believes_proposal(announce, release)) return;
  head_epoch = std::max(head_epoch, announce.epoch);
  discard(pending);
  EpochInWork& work = pending.emplace();
  work.release = release;
  work.repo = daemon.repo;
  work.epoch = announce.epoch;
  work.since = now;
  work.attempt = ++attempts;
  work.manifest_digest = announce.manifest_digest;
  work.stage = Stage::kNeedsManifest;
  for (const AnnounceEvent::Inline& blob : announce.inline_blobs) {
    const bool wanted =
        std::any_of(announce.changes.begin(), announce.changes.end(), [&blob](const ModuleChange& change) {
          return change.module.digest == blob.digest && blob.bytes &&
                 change.module.size == blob.bytes->size();
        });
    if (wanted && digest_of(*blob.bytes) == blob.digest) work.bytes.emplace(blob.digest, blob.bytes);
  }
  if (const Manifest* base = manifest_of(announce.base)) {
    work.manifest = moddev::apply(*base, announce.changes, announce.epoch);
    if (work.manifest.digest() == announce.manifest_digest) work.stage = Stage::kWanted;
  }
  if (work.epoch == trial_epoch) promote_pending();
}

void Session::State::on_trial(const CommitEvent& trial) {
  const Epoch epoch = trial.epoch;
  // With signers it is believed only beside its announcement; the daemon repeats both.
  if (epoch > have() && !believes_commit(trial)) return;
  head_epoch = std::max(head_epoch, epoch);
  trial_epoch = std::max(trial_epoch, epoch);
  if (epoch <= have()) return;
  if (pending && pending->epoch == epoch) {
    promote_pending();
    return apply_prepared();
  }
  if (!behind || behind->epoch < epoch) want_snapshot();  // it has the announcement, which got lost
}

void Session::State::on_commit(const CommitEvent& commit) {
  const Epoch epoch = commit.epoch;
  // What runs here already needs no proof.
  if (epoch > have() && !believes_commit(commit)) return;
  committed_epoch = std::max(committed_epoch, epoch);
  head_epoch = std::max(head_epoch, epoch);
  if (pending && pending->epoch < epoch) discard(pending);
  if (epoch <= have()) return;
  if (pending && pending->epoch == epoch) {
    promote_pending();
    return apply_prepared();
  }
  if (!behind || behind->epoch < epoch) want_snapshot();
}

void Session::State::on_abort(Epoch epoch, const std::vector<ExecutorFailure>& failures) {
  const bool tried = behind && behind->epoch == epoch && epoch > committed_epoch;  // as a canary
  if (!tried && (!pending || pending->epoch != epoch)) return;
  std::optional<EpochInWork>& work = tried ? behind : pending;
  const bool ours = work->stage == Stage::kFailed;  // then it was told already
  discard(work);
  if (tried) want_snapshot();  // what is committed may have given way to it
  if (ours) return;
  ClientEvent event;
  event.kind = ClientEvent::Kind::kAborted;
  event.epoch = epoch;
  event.message = "Epoch " + std::to_string(epoch) + " is not used by anyone" +
                  (failures.empty() ? "" : ": " + client::describe(failures)) + ". Epoch " +
                  std::to_string(live_epoch) + " goes on.";
  emit(std::move(event));
}

void Session::State::on_committed_manifest(Manifest manifest, bool tell_again) {
  // Epoch 0 of a new history has nothing to run yet: what runs goes on.
  if (manifest.epoch == 0 || manifest.epoch <= have()) return;
  if (behind && behind->epoch >= manifest.epoch) {
    if (behind->epoch == manifest.epoch && behind->stage == Stage::kNeedsManifest) {
      behind->manifest = std::move(manifest);
      behind->stage = Stage::kWanted;
    } else if (tell_again && behind->stage == Stage::kFailed) {
      ack(behind->epoch, AckPhase::kFailed, &*behind);
    }
    return;
  }
  if (pending && pending->epoch == manifest.epoch && pending->stage != Stage::kNeedsManifest) {
    promote_pending();
    return apply_prepared();
  }
  EpochInWork work;
  work.repo = daemon.repo;
  work.epoch = manifest.epoch;
  work.since = now;
  if (pending && pending->epoch <= manifest.epoch) {
    if (pending->epoch == manifest.epoch) work.bytes = std::move(pending->bytes);
    discard(pending);
  }
  work.attempt = ++attempts;
  work.manifest = std::move(manifest);
  discard(behind);
  behind = std::move(work);
}

void Session::State::on(ManifestReply& reply) {
  if (!from_our_daemon(reply.daemon)) return;
  if (beside && beside->stage == Stage::kNeedsManifest && beside->epoch == reply.manifest.epoch) {
    if (reply.aborted) {
      const std::string number = std::to_string(beside->epoch);
      return refuse_pins(beside->epoch,
                         {ErrorCode::kRefused, "Epoch " + number +
                                                   " was aborted: somebody refused it, and nobody "
                                                   "runs it. Take the number from a pin of a live epoch."});
    }
    if (options.trust.demands_signatures()) {
      const auto told = options.trust.check(
          reply.statement, {Purpose::kRetained, daemon.repo, reply.manifest.epoch, reply.manifest.digest()},
          wall);
      if (!told) return refuse_pins(beside->epoch, told.error());
    }
    beside->manifest = std::move(reply.manifest);
    beside->stage = Stage::kWanted;
    return;
  }
  EpochInWork* work = active();
  if (work == nullptr || work->epoch != reply.manifest.epoch || work->stage != Stage::kNeedsManifest) return;
  if (reply.manifest.digest() != work->manifest_digest) {
    return fail(*work, {{"", "The manifest of epoch " + std::to_string(work->epoch) +
                                 " does not have the digest that was announced."}});
  }
  work->manifest = std::move(reply.manifest);
  work->stage = Stage::kWanted;
}

// ------------------------------------------------------------------------------------------------- the steps

EpochInWork* Session::State::active() {
  if (behind && behind->stage == Stage::kFailed && now >= behind->retry_at) {
    behind->stage = Stage::kWanted;
    behind->attempt = ++attempts;
    behind->fetched_again = false;
  }
  if (behind && behind->stage != Stage::kFailed) return &*behind;
  const bool at_rest = !pending || pending->stage == Stage::kPrepared || pending->stage == Stage::kFailed;
  if (at_rest && beside) return &*beside;
  return pending ? &*pending : nullptr;
}

void Session::State::advance() {
  EpochInWork* work = active();
  if (work == nullptr) return;
  if (work->stage == Stage::kNeedsManifest && member() && !requests.is_open<ManifestRequest>() &&
      !requests.is_open<SnapshotRequest>() && !snapshot_wanted) {
    requests.ask(ManifestRequest{work->epoch}, now);
  }
  if (work->stage == Stage::kWanted) begin_fetch(*work);
  if (work->stage != Stage::kFetching) return;
  if (!fetcher.problems().empty()) {
    std::vector<ModuleFailure> failures;
    for (const auto& [name, entry] : work->manifest.modules) {
      const auto problem = fetcher.problems().find(entry.digest);
      if (problem == fetcher.problems().end() || failures.size() >= client::limits::kFailuresPerEpoch)
        continue;
      failures.push_back({name, "its bytes could not be had from the daemon: " + problem->second.message});
    }
    fetcher.cancel();
    fail(*work, std::move(failures));
    want_snapshot();  // perhaps the daemon has gone on meanwhile
  } else if (fetcher.done() && loading_attempt == 0) {
    load(*work);
  }
}

void Session::State::begin_fetch(EpochInWork& work) {
  // One fetch at a time: another epoch's gives way, and begins anew when its turn comes.
  for (auto* other : {&behind, &pending, &beside}) {
    if (*other && &**other != &work && (*other)->stage == Stage::kFetching) (*other)->stage = Stage::kWanted;
  }
  if (std::vector<ModuleFailure> failures = forbidden(work.manifest); !failures.empty()) {
    return fail(work, std::move(failures));
  }
  tell_use();
  auto places = client::locate_blobs(client::modules_to_load(work.manifest, live_manifest()), work.bytes,
                                     cache, live_manifest());
  work.from_cache = std::move(places.cached);
  fetcher.want(places.missing, now);
  work.stage = Stage::kFetching;
}

void Session::State::tell_use() {
  if (!options.cache_use) return;
  std::vector<Digest> digests;
  const auto add = [&digests](const Manifest& manifest) {
    for (const auto& [name, entry] : manifest.modules) digests.push_back(entry.digest);
  };
  if (const Manifest* live = live_manifest()) add(*live);
  for (const auto* work : {&behind, &pending}) {
    if (*work && (*work)->stage != Stage::kNeedsManifest) add((*work)->manifest);
  }
  options.cache_use->use(digests);
}

void Session::State::load(EpochInWork& work) {
  LoadPlan plan;
  plan.manifest = work.manifest;
  plan.base = views.current();
  plan.bytes = std::move(work.bytes);
  plan.bytes.merge(fetcher.take_bytes());
  work.bytes.clear();
  work.stage = Stage::kLoading;
  loading_attempt = work.attempt;
  ++attempts_loaded;
  loader.prepare(std::move(plan));
}

void Session::State::on_outcome(LoadOutcome outcome) {
  const std::uint64_t attempt = std::exchange(loading_attempt, 0);
  EpochInWork* work = nullptr;
  if (behind && behind->attempt == attempt) work = &*behind;
  if (pending && pending->attempt == attempt) work = &*pending;
  if (beside && beside->attempt == attempt) work = &*beside;
  if (work != nullptr) work->loading = outcome.took;
  if (work != nullptr && outcome.view && outcome.failures.empty()) {
    work->view = std::move(outcome.view);
    return prepared(*work);
  }
  if (outcome.view) loader.retire(std::move(outcome.view));
  if (work == nullptr) return;
  // A blob of the cache may have turned out to be damaged and been set aside: once, it is fetched anew.
  const bool lost = std::any_of(work->from_cache.begin(), work->from_cache.end(),
                                [&](const client::WantedBlob& blob) { return !cache.contains(blob.digest); });
  if (lost && !std::exchange(work->fetched_again, true)) {
    work->stage = Stage::kWanted;
    return;
  }
  if (outcome.failures.empty()) outcome.failures.push_back({"", "The loader gave no view and no reason."});
  fail(*work, std::move(outcome.failures));
}

void Session::State::prepared(EpochInWork& work) {
  work.stage = Stage::kPrepared;
  if (behind && &work == &*behind) return apply_prepared();
  if (is_beside(work)) return keep_beside();
  ack(work.epoch, AckPhase::kPrepared, &work);
}

void Session::State::fail(EpochInWork& work, std::vector<ModuleFailure> failures) {
  if (is_beside(work)) {
    return refuse_pins(work.epoch,
                       {ErrorCode::kRefused, "Epoch " + std::to_string(work.epoch) +
                                                 " cannot be loaded here: " + client::describe(failures)});
  }
  const bool told = work.failures == failures;
  work.failures = std::move(failures);
  work.stage = Stage::kFailed;
  if (behind && &work == &*behind) {
    work.retry_delay = work.retry_delay == Duration{}
                           ? Duration(client::limits::kReloadFirst)
                           : std::min<Duration>(work.retry_delay * 2, client::limits::kReloadLast);
    work.retry_at = now + work.retry_delay;
  }
  ack(work.epoch, AckPhase::kFailed, &work);
  if (!told) tell_failures(work);
}

void Session::State::tell_failures(const EpochInWork& work) {
  status.failures = work.failures;
  ++status.revision;
  for (const ModuleFailure& failure : work.failures) {
    ClientEvent event;
    event.kind = ClientEvent::Kind::kFailed;
    event.epoch = work.epoch;
    event.module = failure.module;
    event.message = failure.error;
    emit(std::move(event));
  }
}

void Session::State::promote_pending() {
  discard(behind);
  behind = std::exchange(pending, std::nullopt);
  if (behind->stage != Stage::kFailed) return;
  behind->retry_delay = client::limits::kReloadFirst;
  behind->retry_at = now + behind->retry_delay;
}

void Session::State::apply_prepared() {
  if (!behind || behind->stage != Stage::kPrepared) return;
  const std::shared_ptr<const View> former = views.current();
  const std::shared_ptr<const View> view = behind->view;
  views.publish(view, now);
  ack(behind->epoch, AckPhase::kApplied, &*behind);
  // The switch is done and told; the rest is bookkeeping.
  ClientEvent event;
  event.kind = ClientEvent::Kind::kApplied;
  event.epoch = behind->epoch;
  event.elapsed_us = to_us(behind->elapsed(now));
  event.modules = client::changed_names(former ? &former->manifest() : nullptr, view->manifest());
  if (!daemon_known) {
    event.message = "No daemon answers at " + options.endpoint + ": epoch " + std::to_string(behind->epoch) +
                    ", which ran here last time, was loaded from the cache.";
    go_stale(event.message);
  } else if (live_epoch != 0 && live_repo != behind->repo) {
    event.message = "The daemon's history is a new one (repo " + behind->repo.to_string() + "): its epoch " +
                    std::to_string(behind->epoch) + " replaces epoch " + std::to_string(live_epoch) +
                    " of repo " + live_repo.to_string() + ".";
  }
  emit(std::move(event));
  if (live_repo != behind->repo) {
    first_serial = view->serial();
    run_reports.begin_history(first_serial);
  }
  live_repo = behind->repo;
  live_epoch = behind->epoch;
  behind.reset();
  if (!status.failures.empty()) {
    status.failures.clear();
    ++status.revision;
  }
  if (!former) return;
  for (const auto& [name, module] : former->modules()) {
    const auto now_there = view->modules().find(name);
    if (now_there == view->modules().end() || now_there->second != module)
      retired_bytes += module->retired_bytes();
  }
  ++former_views;
  collect_delay = client::limits::kCollectFirst;
  collect_at = now + collect_delay;
}

void Session::State::discard(std::optional<EpochInWork>& work) {
  if (!work) return;
  if (work->view) loader.retire(std::move(work->view));
  if (work->stage == Stage::kFetching) fetcher.cancel();
  work.reset();
}

void Session::State::ack(Epoch epoch, AckPhase phase_reached, const EpochInWork* work) {
  if (!member()) return;  // joining tells the same
  AckRequest request;
  request.executor = options.identity.id;
  request.epoch = epoch;
  request.phase = phase_reached;
  if (work != nullptr) request.elapsed_us = to_us(work->elapsed(now));
  if (phase_reached == AckPhase::kFailed && work != nullptr) request.failures = work->failures;
  requests.ask(std::move(request), now);
}

void Session::State::collect_views() {
  if (now < collect_at || collect_at == kNever) return;
  for (std::shared_ptr<const View>& view : views.collect()) {
    if (former_views > 0) --former_views;
    run_reports.drained(*view);
    if (std::erase(views_beside, view.get()) == 0) ack(view->epoch(), AckPhase::kDrained, nullptr);
    loader.retire(std::move(view));
  }
  collect_delay = std::min<Duration>(collect_delay * 2, client::limits::kCollectLast);
  collect_at = former_views > 0 ? now + collect_delay : kNever;
}

}  // namespace moddev
