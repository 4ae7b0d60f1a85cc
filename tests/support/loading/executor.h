// An executor without a session: epochs are made by the test, and go through the real loader and views.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/src/loader_thread.h"
#include "client/src/view_store.h"
#include "protocol/blob_store.h"
#include "protocol/manifest.h"

namespace moddev::testing {

/// Waits for an outcome; ends the test program when none comes in time.
LoadOutcome wait_for_outcome(Loader& loader);

/// Looks again and again until `condition` holds; false when it does not in time.
bool eventually(const std::function<bool()>& condition);

/// A manifest under construction: versions rise when bytes change, as in the daemon.
class Repository {
 public:
  Repository() = default;
  /// Goes on from `manifest`, without the bytes of what it has.
  explicit Repository(Manifest manifest) : manifest_(std::move(manifest)) {}
  /// Adds or changes a module; its file is lib<name>.so for native ones.
  void put(const std::string& name, ModuleKind kind, SharedBytes bytes,
           std::vector<std::string> depends_on = {});
  void native(const std::string& name, SharedBytes bytes, std::vector<std::string> depends_on = {}) {
    put(name, ModuleKind::kNative, std::move(bytes), std::move(depends_on));
  }
  void blob(const std::string& name, SharedBytes bytes) { put(name, ModuleKind::kBlob, std::move(bytes)); }
  void remove(const std::string& name) { manifest_.modules.erase(name); }

  /// The next epoch.
  const Manifest& commit() {
    ++manifest_.epoch;
    return manifest_;
  }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] ModuleEntry& entry(const std::string& name) { return manifest_.modules.at(name); }
  [[nodiscard]] const std::map<Digest, SharedBytes>& bytes() const { return bytes_; }

 private:
  Manifest manifest_;
  std::map<Digest, SharedBytes> bytes_;
};

class Executor {
 public:
  explicit Executor(const std::filesystem::path& image_directory, TrialOptions trial = {});
  ~Executor();

  /// Prepares the repository's next epoch, and makes it live if it can be loaded. Returns the failures.
  std::vector<ModuleFailure> advance(Repository& repository);
  /// As advance(), but leaves it to the caller what to do with the outcome.
  LoadOutcome prepare(const Manifest& manifest, std::map<Digest, SharedBytes> bytes);
  void publish(std::shared_ptr<const View> view);
  /// Unloads what is drained. Returns the number of views.
  std::size_t collect();
  /// Collects until no former view is left; false when that does not happen.
  bool drain();

  [[nodiscard]] Pin pin() const { return views_->pin(); }
  [[nodiscard]] ViewStore& views() { return *views_; }
  [[nodiscard]] Loader& loader() { return *loader_; }
  [[nodiscard]] MemoryBlobStore& cache() { return cache_; }
  void empty_cache();

  /// Calls `extern "C" long symbol(void)` of the newest epoch.
  long call(const std::string& module, const std::string& symbol = "answer");

 private:
  MemoryBlobStore cache_;
  std::unique_ptr<ViewStore> views_;
  std::unique_ptr<Loader> loader_;
  std::size_t former_ = 0;
};

}  // namespace moddev::testing
