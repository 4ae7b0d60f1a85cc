#include "tests/support/loading/executor.h"

#include <poll.h>

#include <thread>
#include <utility>

#include "protocol/result.h"

namespace moddev::testing {
namespace {

constexpr int kPatienceMs = 60'000;

TimePoint now() {
  return SystemClock{}.now();
}

}  // namespace

LoadOutcome wait_for_outcome(Loader& loader) {
  for (;;) {
    if (auto outcome = loader.poll()) return *std::move(outcome);
    pollfd waiting{loader.descriptors().front(), POLLIN, 0};
    MODDEV_ASSERT(::poll(&waiting, 1, kPatienceMs) == 1, "a preparation comes to its end");
  }
}

bool eventually(const std::function<bool()>& condition) {
  const TimePoint deadline = now() + std::chrono::milliseconds(kPatienceMs);
  while (!condition()) {
    if (now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void Repository::put(const std::string& name, ModuleKind kind, SharedBytes bytes,
                     std::vector<std::string> depends_on) {
  ModuleEntry& entry = manifest_.modules[name];
  const Digest digest = digest_of(*bytes);
  if (entry.version == 0 || entry.digest != digest) ++entry.version;
  entry.name = name;
  entry.kind = kind;
  entry.digest = digest;
  entry.size = bytes->size();
  entry.path = kind == ModuleKind::kNative ? "lib" + name + ".so" : name;
  entry.depends_on = std::move(depends_on);
  bytes_[digest] = std::move(bytes);
}

Executor::Executor(const std::filesystem::path& image_directory, TrialOptions trial)
    : views_(std::make_unique<ViewStore>()), loader_(make_loader({image_directory, cache_, trial})) {}

Executor::~Executor() {
  views_->publish(nullptr, now());
  for (auto& view : views_->collect()) loader_->retire(std::move(view));
  views_.reset();
  loader_.reset();
}

LoadOutcome Executor::prepare(const Manifest& manifest, std::map<Digest, SharedBytes> bytes) {
  loader_->prepare({manifest, views_->current(), std::move(bytes)});
  return wait_for_outcome(*loader_);
}

void Executor::publish(std::shared_ptr<const View> view) {
  if (views_->current() != nullptr) ++former_;
  views_->publish(std::move(view), now());
}

std::vector<ModuleFailure> Executor::advance(Repository& repository) {
  LoadOutcome outcome = prepare(repository.commit(), repository.bytes());
  if (outcome.failures.empty()) publish(std::move(outcome.view));
  collect();
  return std::move(outcome.failures);
}

std::size_t Executor::collect() {
  auto drained = views_->collect();
  former_ -= drained.size();
  for (auto& view : drained) loader_->retire(std::move(view));
  return drained.size();
}

bool Executor::drain() {
  const TimePoint deadline = now() + std::chrono::milliseconds(kPatienceMs);
  while (former_ > 0 && now() < deadline) {
    if (collect() == 0) std::this_thread::yield();
  }
  return former_ == 0;
}

void Executor::empty_cache() {
  const auto digests = cache_.list();
  for (const Digest& digest : *digests) (void)cache_.remove(digest);
}

long Executor::call(const std::string& module, const std::string& symbol) {
  const Pin held = pin();
  const auto function = held.function<long()>(module, symbol);
  MODDEV_ASSERT(function.ok(), function.error().message);
  return (*function)();
}

}  // namespace moddev::testing
