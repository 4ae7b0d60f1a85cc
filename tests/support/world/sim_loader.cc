#include "tests/support/world/sim_loader.h"

#include <utility>

namespace moddev::sim {

Result<SharedBytes> SimLoader::bytes_of(const LoadPlan& plan, const ModuleEntry& module) {
  if (const auto given = plan.bytes.find(module.digest); given != plan.bytes.end()) return given->second;
  return cache_.read(module.digest);
}

void SimLoader::prepare(LoadPlan plan) {
  if (outcome_) ++overlapping_;
  LoadOutcome outcome;
  outcome.epoch = plan.manifest.epoch;
  View::Modules modules;
  bool kept = false;
  for (const auto& [name, entry] : plan.manifest.modules) {
    const ModuleEntry* before = plan.base ? plan.base->manifest().find(name) : nullptr;
    const auto old = plan.base ? plan.base->modules().find(name) : View::Modules::const_iterator();
    const bool have = before != nullptr && old != plan.base->modules().end();
    if (have && (before->digest == entry.digest || (keeps_an_old_module && !kept))) {
      kept |= before->digest != entry.digest;
      modules.emplace(name, old->second);
      continue;
    }
    if (auto why = refusal ? refusal(entry) : std::nullopt) {
      outcome.failures.push_back({name, std::move(*why)});
      continue;
    }
    auto bytes = bytes_of(plan, entry);
    if (!bytes) {
      outcome.failures.push_back({name, bytes.error().message});
      continue;
    }
    modules.emplace(name, std::make_shared<SimModule>(std::move(*bytes), alive_));
  }
  if (outcome.failures.empty())
    outcome.view = std::make_shared<const View>(std::move(plan.manifest), std::move(modules));
  outcome_ = std::move(outcome);
  ready_at_ = now_ + (time_needed ? time_needed() : Duration::zero());
}

std::optional<LoadOutcome> SimLoader::poll() {
  if (!outcome_ || now_ < ready_at_) return std::nullopt;
  return std::exchange(outcome_, std::nullopt);
}

}  // namespace moddev::sim
