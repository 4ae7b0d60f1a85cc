// One epoch on its way to be live in this executor, and the pure questions about it: what must be fetched,
// what a view of it replaces. The way itself is walked by session_epochs.cc.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/src/fetcher.h"
#include "client/src/view.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"

namespace moddev::client {

struct EpochInWork {
  enum class Stage : std::uint8_t {
    kNeedsManifest,  // the announcement's changes do not lead anywhere from what we have
    kWanted,         // the manifest is known, nothing was done yet
    kFetching,
    kLoading,   // the loader has it
    kPrepared,  // `view` can be applied
    kFailed,    // `failures` say why
  };
  /// The history that it belongs to.
  Uuid repo;
  Epoch epoch = 0;
  Stage stage = Stage::kWanted;
  Digest manifest_digest;
  /// Of the bytes whose disclosure commits it; only from a daemon that signs.
  Digest release{};
  Manifest manifest;
  /// When it was heard of first.
  TimePoint since{};
  /// How long the loader took. A step's clock stands still: it can have begun and ended within one.
  Duration loading{};
  [[nodiscard]] Duration elapsed(TimePoint now) const { return std::max(now - since, loading); }
  /// Names this attempt; an outcome of another one is not ours.
  std::uint64_t attempt = 0;
  std::map<Digest, SharedBytes> bytes;
  /// Blobs that the loader was left to take from the cache.
  std::vector<WantedBlob> from_cache;
  std::shared_ptr<const View> view;
  std::vector<ModuleFailure> failures;
  /// A blob that was believed to be in the cache was not: it was fetched once more already.
  bool fetched_again = false;
  /// Of a committed one that failed: when to try again.
  TimePoint retry_at = kNever;
  Duration retry_delay{};
};

/// Modules of `manifest` that the view cannot give as they are: changed themselves, or with a changed module
/// among those that they need. `live` may be null.
[[nodiscard]] std::vector<const ModuleEntry*> modules_to_load(const Manifest& manifest, const Manifest* live);

/// Blobs of those modules that are not in `bytes`, each once: `cached` are in the cache, `missing` nowhere.
/// The base of a missing one is what `live` has of that module, if that is in the cache.
struct BlobPlaces {
  std::vector<WantedBlob> cached;
  std::vector<WantedBlob> missing;
};
[[nodiscard]] BlobPlaces locate_blobs(const std::vector<const ModuleEntry*>& modules,
                                      const std::map<Digest, SharedBytes>& bytes, const BlobStore& cache,
                                      const Manifest* live = nullptr);

/// Names of the modules that differ between two manifests; `from` may be null.
[[nodiscard]] std::vector<std::string> changed_names(const Manifest* from, const Manifest& to);

/// "scorer: undefined symbol ...; mixer: ..." for a person.
[[nodiscard]] std::string describe(const std::vector<ModuleFailure>& failures);
[[nodiscard]] std::string describe(const std::vector<ExecutorFailure>& failures);

/// What a person is told when more than limits::kRetiredAdvice is held by versions that cannot be unloaded.
[[nodiscard]] std::string advice_on_retired();

}  // namespace moddev::client
