// The Loader seam: from verified bytes to a View, beside the view that is live. Asynchronous, because loading
// runs the modules' own initialisers: prepare() hands the work over, poll() fetches the outcome. One
// preparation at a time. Implementations: native_loader + loader_thread (real), tests/support/fake_loader
// (simulation).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "client/src/view.h"
#include "protocol/bytes.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "protocol/messages.h"

namespace moddev {

struct LoadPlan {
  Manifest manifest;
  /// The live view: modules whose closure digest is equal are taken over as they are.
  std::shared_ptr<const View> base;
  /// Artifacts of this plan that came with the announcement or were just fetched, already verified. Those not
  /// here are in the blob store that the loader was given.
  std::map<Digest, SharedBytes> bytes;
};

struct LoadOutcome {
  Epoch epoch = 0;
  /// The prepared view; null when there are failures. Not live yet: dropping it undoes the preparation.
  std::shared_ptr<const View> view;
  /// Every module that could not be prepared, all of the set together.
  std::vector<ModuleFailure> failures;
  /// How long the preparation took, by a real clock.
  Duration took{};
};

class Loader {
 public:
  virtual ~Loader() = default;
  /// Must not be called while a preparation runs.
  virtual void prepare(LoadPlan plan) = 0;
  virtual std::optional<LoadOutcome> poll() = 0;
  /// Takes a view that is no longer wanted, so that its modules are unloaded on the loader's thread.
  virtual void retire(std::shared_ptr<const View> view) = 0;
  /// What a person should know of modules that are on their way out, for as long as it is so; always in the
  /// same words. From the thread that polls.
  [[nodiscard]] virtual std::vector<std::string> notes(TimePoint now) const {
    (void)now;
    return {};
  }
  /// Readable when poll() has an outcome.
  [[nodiscard]] virtual std::vector<int> descriptors() const = 0;
};

}  // namespace moddev
