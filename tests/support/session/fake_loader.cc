#include "tests/support/session/fake_loader.h"

#include <utility>

namespace moddev::test {

Result<void*> FakeModule::symbol(std::string_view name) const {
  if (void* address = symbols_ ? symbols_(entry_, name) : nullptr) return address;
  return Error{ErrorCode::kNotFound,
               "Module '" + entry_.name + "' has no symbol '" + std::string(name) + "'."};
}

void FakeLoader::prepare(LoadPlan plan) {
  MODDEV_ASSERT(!running_, "prepare() while a preparation runs");
  prepared.push_back(plan.manifest.epoch);
  running_ = std::move(plan);
  finished_ = false;
}

std::optional<LoadOutcome> FakeLoader::poll() {
  if (!running_ || !(immediate || finished_)) return std::nullopt;
  LoadPlan plan = std::move(*running_);
  running_.reset();
  return outcome_of(plan);
}

void FakeLoader::retire(std::shared_ptr<const View> view) {
  MODDEV_ASSERT(view != nullptr, "retire() of no view");
  retired.push_back(view->epoch());
}

LoadOutcome FakeLoader::outcome_of(LoadPlan& plan) {
  LoadOutcome outcome;
  outcome.epoch = plan.manifest.epoch;
  outcome.took = took;
  View::Modules modules;
  for (const auto& [name, entry] : plan.manifest.modules) {
    if (plan.base) {
      const auto before = plan.base->modules().find(name);
      const auto same = [&] {
        const auto old_closure = closure_digest(plan.base->manifest(), name);
        const auto new_closure = closure_digest(plan.manifest, name);
        return old_closure && new_closure && *old_closure == *new_closure;
      };
      if (before != plan.base->modules().end() && same()) {
        modules.emplace(name, before->second);
        continue;
      }
    }
    auto module = load(entry, plan);
    if (module) {
      modules.emplace(name, std::move(*module));
    } else {
      outcome.failures.push_back({name, module.error().message});
    }
  }
  for (const auto& [digest, bytes] : plan.bytes) {
    if (Status kept = store_.put(digest, *bytes); !kept) continue;  // only a cache
  }
  if (outcome.failures.empty()) {
    outcome.view = std::make_shared<const View>(std::move(plan.manifest), std::move(modules));
  }
  return outcome;
}

Result<std::shared_ptr<const LoadedModule>> FakeLoader::load(const ModuleEntry& entry, const LoadPlan& plan) {
  if (const auto reason = refused.find(entry.digest); reason != refused.end()) {
    return Error{ErrorCode::kRefused, reason->second};
  }
  if (refuse) {
    if (auto reason = refuse(entry)) return Error{ErrorCode::kRefused, std::move(*reason)};
  }
  SharedBytes bytes;
  if (const auto given = plan.bytes.find(entry.digest); given != plan.bytes.end()) {
    bytes = given->second;
  } else {
    auto stored = store_.read(entry.digest);
    if (!stored) return stored.error();
    bytes = std::move(*stored);
  }
  MODDEV_ASSERT(digest_of(*bytes) == entry.digest, "the loader was given wrong bytes");
  ++modules_loaded;
  auto module = std::make_shared<FakeModule>(entry, std::move(bytes), symbols, living_);
  module->stays = module_stays;
  return std::shared_ptr<const LoadedModule>(std::move(module));
}

}  // namespace moddev::test
