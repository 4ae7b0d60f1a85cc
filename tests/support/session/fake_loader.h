// A Loader without threads and without code: a module is its bytes. It takes them from the plan or from the
// store, as the real one does, and fails where it is told to. Deterministic.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/src/loader.h"
#include "protocol/blob_store.h"

namespace moddev::test {

/// A module of the fake loader; counts how many live.
class FakeModule final : public LoadedModule {
 public:
  using Symbols = std::function<void*(const ModuleEntry& entry, std::string_view symbol)>;
  FakeModule(ModuleEntry entry, SharedBytes bytes, Symbols symbols,
             std::shared_ptr<std::atomic<std::size_t>> living)
      : entry_(std::move(entry)),
        bytes_(std::move(bytes)),
        symbols_(std::move(symbols)),
        living_(std::move(living)) {
    ++*living_;
  }
  ~FakeModule() override { --*living_; }
  FakeModule(const FakeModule&) = delete;
  FakeModule& operator=(const FakeModule&) = delete;

  [[nodiscard]] Result<void*> symbol(std::string_view name) const override;
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override { return std::span(*bytes_); }
  [[nodiscard]] std::uint64_t retired_bytes() const override { return stays; }
  /// Bytes that cannot be unloaded.
  std::uint64_t stays = 0;
  [[nodiscard]] const ModuleEntry& entry() const { return entry_; }

 private:
  ModuleEntry entry_;
  SharedBytes bytes_;
  Symbols symbols_;
  std::shared_ptr<std::atomic<std::size_t>> living_;
};

class FakeLoader final : public Loader {
 public:
  explicit FakeLoader(BlobStore& store) : store_(store) {}

  void prepare(LoadPlan plan) override;
  std::optional<LoadOutcome> poll() override;
  void retire(std::shared_ptr<const View> view) override;
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

  /// false: an outcome is there only after finish().
  bool immediate = true;
  /// What it says of how long each took.
  Duration took{};
  /// Lets the preparation that runs come to its end.
  void finish() { finished_ = true; }
  [[nodiscard]] bool busy() const { return running_.has_value(); }

  /// Artifacts that do not load, with the loader's reason.
  std::map<Digest, std::string> refused;
  /// The same, decided at the time.
  std::function<std::optional<std::string>(const ModuleEntry&)> refuse;

  /// What there is to say of modules on their way out.
  std::vector<std::string> told;
  [[nodiscard]] std::vector<std::string> notes(TimePoint) const override { return told; }

  /// Bytes of each module made from now on that cannot be unloaded.
  std::uint64_t module_stays = 0;
  /// What the modules made from now on export; empty: nothing.
  FakeModule::Symbols symbols;

  /// Epochs in the order of prepare() and of retire().
  std::vector<Epoch> prepared;
  std::vector<Epoch> retired;
  /// Modules made, and those that still live.
  std::size_t modules_loaded = 0;
  [[nodiscard]] std::size_t modules_living() const { return *living_; }

 private:
  [[nodiscard]] LoadOutcome outcome_of(LoadPlan& plan);
  Result<std::shared_ptr<const LoadedModule>> load(const ModuleEntry& entry, const LoadPlan& plan);

  BlobStore& store_;
  std::optional<LoadPlan> running_;
  bool finished_ = false;
  std::shared_ptr<std::atomic<std::size_t>> living_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace moddev::test
