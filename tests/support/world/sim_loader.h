// A Loader on virtual time: loading takes as long as it is told to, and fails where it is told to. The bytes
// that a view holds are those that the session really handed over, so that a checker can compare them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/src/loader.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"

namespace moddev::sim {

/// A "loaded" module: its bytes.
class SimModule final : public LoadedModule {
 public:
  SimModule(SharedBytes bytes, std::shared_ptr<std::uint64_t> alive)
      : bytes_(std::move(bytes)), alive_(std::move(alive)) {
    ++*alive_;
  }
  ~SimModule() override { --*alive_; }
  SimModule(const SimModule&) = delete;
  SimModule& operator=(const SimModule&) = delete;
  [[nodiscard]] Result<void*> symbol(std::string_view name) const override {
    return Error{ErrorCode::kNotFound, "no symbol '" + std::string(name) + "'", 0};
  }
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override {
    return std::span<const std::byte>(*bytes_);
  }

 private:
  SharedBytes bytes_;
  std::shared_ptr<std::uint64_t> alive_;
};

class SimLoader final : public Loader {
 public:
  /// `cache` must outlive it.
  explicit SimLoader(BlobStore& cache) : cache_(cache) {}

  /// How long the next preparation takes.
  std::function<Duration()> time_needed;
  /// Why a content cannot be loaded here; nothing when it can.
  std::function<std::optional<std::string>(const ModuleEntry&)> refusal;
  /// The planted bug: a module of the former view stays in the new one.
  bool keeps_an_old_module = false;

  void set_now(TimePoint now) { now_ = now; }
  /// When poll() will have something.
  [[nodiscard]] TimePoint ready_at() const { return outcome_ ? ready_at_ : kNever; }
  /// Modules that are loaded at present, of all views.
  [[nodiscard]] std::uint64_t modules_alive() const { return *alive_; }
  [[nodiscard]] std::uint64_t overlapping() const { return overlapping_; }

  void prepare(LoadPlan plan) override;
  std::optional<LoadOutcome> poll() override;
  void retire(std::shared_ptr<const View> view) override { view.reset(); }
  [[nodiscard]] std::vector<int> descriptors() const override { return {}; }

 private:
  Result<SharedBytes> bytes_of(const LoadPlan& plan, const ModuleEntry& module);

  BlobStore& cache_;
  TimePoint now_{};
  TimePoint ready_at_ = kNever;
  std::shared_ptr<std::uint64_t> alive_ = std::make_shared<std::uint64_t>(0);
  std::uint64_t overlapping_ = 0;  // preparations that were begun while one was running: forbidden
  std::optional<LoadOutcome> outcome_;
};

}  // namespace moddev::sim
