#include "client/src/transaction.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "client/src/epochs.h"
#include "client/src/image_rewrite.h"
#include "client/src/interfaces.h"
#include "client/src/limits.h"
#include "client/src/native_loader.h"

namespace moddev {
namespace {

/// A module that is its bytes: python, blob.
class BytesModule final : public LoadedModule {
 public:
  explicit BytesModule(ModuleKind kind, SharedBytes bytes) : kind_(kind), bytes_(std::move(bytes)) {}
  [[nodiscard]] Result<void*> symbol(std::string_view) const override {
    return Error{ErrorCode::kRefused,
                 "it is a " + std::string(to_string(kind_)) +
                     " module, which has no symbols; only native modules have",
                 0};
  }
  [[nodiscard]] Result<std::span<const std::byte>> bytes() const override {
    return std::span<const std::byte>(*bytes_);
  }

 private:
  ModuleKind kind_;
  SharedBytes bytes_;
};

std::string file_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

/// What a native module offers to those that need it, whether it is being loaded or taken over.
struct Offer {
  std::string provides;
  std::string path;
  std::string variant;
  const std::vector<std::string>* unique_symbols = nullptr;  // sorted
};

struct Item {
  const ModuleEntry* entry = nullptr;
  SharedBytes bytes;
  std::optional<NativeImage> image;
  Offer offer;
  std::vector<std::string> unique_symbols;
  std::map<std::string, std::string, std::less<>> modules_needed;  // DT_NEEDED to module
  std::optional<HeldImage> held;
  Restoration restoration;
  bool failed = false;
};

class Transaction {
 public:
  Transaction(const LoadPlan& plan, BlobStore& cache, const Result<std::shared_ptr<NativeImages>>& images)
      : plan_(plan), cache_(cache), images_(images), order_(load_order(plan.manifest)) {}

  LoadOutcome run(Trials& trials, const std::function<void(const std::string&)>& on_loading) {
    take_over_unchanged();
    for (auto& [name, item] : items_) read(item);
    for (auto& [name, item] : items_) find_needs(item);
    name_images();
    for (auto& [name, item] : items_) write(item);
    try_out(trials);
    for (const std::string& name : order_) {
      const auto found = items_.find(name);
      if (found == items_.end()) continue;
      const ModuleEntry& entry = *found->second.entry;
      if (on_loading) on_loading("version " + std::to_string(entry.version) + " of module '" + name + "'");
      load(found->second);
    }
    return outcome();
  }

 private:
  void take_over_unchanged();
  void read(Item& item);
  void find_needs(Item& item);
  void name_images();
  [[nodiscard]] bool any_image_is_mapped() const;
  void write(Item& item);
  void try_out(Trials& trials);
  /// Whether it, or a module that it needs by DT_NEEDED, has failed. In the order of loading.
  [[nodiscard]] bool needs_a_failed_one(const Item& item) const;
  void load(Item& item);
  LoadOutcome outcome();
  /// Where a module lacks a symbol that another one provided in the live epoch: what became of that one.
  [[nodiscard]] std::string who_provided(const std::string& message) const;

  void fail(Item& item, const Error& error) {
    item.failed = true;
    if (failures_.size() < client::limits::kFailuresPerEpoch)
      failures_.push_back({item.entry->name, error.message});
  }
  /// Null for modules that are not native, and when there is none.
  [[nodiscard]] const Offer* offer_of(const std::string& name) const {
    const auto found = offers_.find(name);
    return found == offers_.end() ? nullptr : found->second;
  }
  /// Whether a module that `item` needs, directly or not, defines this unique symbol.
  [[nodiscard]] bool defined_below(const Item& item, const std::string& symbol) const;
  /// Names of the native modules that `name` needs by DT_NEEDED.
  [[nodiscard]] std::vector<std::string> native_needs(const std::string& name) const;

  const LoadPlan& plan_;
  BlobStore& cache_;
  const Result<std::shared_ptr<NativeImages>>& images_;
  std::vector<std::string> order_;  // of loading
  std::map<std::string, Item, std::less<>> items_;
  std::map<std::string, Offer, std::less<>> taken_over_;
  std::map<std::string, const Offer*, std::less<>> offers_;  // of both
  std::map<std::string, std::string, std::less<>> names_of_paths_;
  std::set<std::string, std::less<>> epoch_paths_;
  View::Modules modules_;
  std::vector<ModuleFailure> failures_;
};

void Transaction::take_over_unchanged() {
  const Manifest* live = plan_.base == nullptr ? nullptr : &plan_.base->manifest();
  for (const ModuleEntry* entry : client::modules_to_load(plan_.manifest, live)) {
    items_[entry->name].entry = entry;
  }
  if (plan_.base == nullptr) return;
  for (const auto& [name, entry] : plan_.manifest.modules) {
    if (items_.contains(name)) continue;
    const auto found = plan_.base->modules().find(name);
    if (found == plan_.base->modules().end()) {
      items_[name].entry = &entry;
      continue;
    }
    modules_.emplace(name, found->second);
    if (const auto* native = dynamic_cast<const NativeModule*>(found->second.get())) {
      const NativeFacts& facts = native->facts();
      Offer& offer = taken_over_[name];
      offer = {facts.provides, native->path(), facts.variant, &facts.unique_symbols};
      offers_[name] = &offer;
      names_of_paths_[offer.path] = name;
      epoch_paths_.insert(offer.path);
    }
  }
}

void Transaction::read(Item& item) {
  const ModuleEntry& entry = *item.entry;
  if (const auto here = plan_.bytes.find(entry.digest); here != plan_.bytes.end() && here->second) {
    item.bytes = here->second;
  } else {
    auto stored = cache_.read(entry.digest);
    if (!stored) return fail(item, stored.error());
    item.bytes = *std::move(stored);
  }
  if (entry.kind != ModuleKind::kNative) return;
  if (!images_) return fail(item, images_.error());
  auto image = NativeImage::read(*item.bytes);
  if (!image) return fail(item, image.error());
  const auto& offered = image->interface_records();
  if (Status fits = ExpectedInterfaces::of_process().check(entry.name, offered); !fits) {
    return fail(item, fits.error());
  }
  item.image = *std::move(image);
  item.unique_symbols = item.image->unique_symbols();
  std::sort(item.unique_symbols.begin(), item.unique_symbols.end());
  item.offer.provides = item.image->soname().empty() ? file_name(entry.path) : item.image->soname();
  item.offer.unique_symbols = &item.unique_symbols;
  offers_[entry.name] = &item.offer;
}

void Transaction::find_needs(Item& item) {
  if (!item.image) return;
  for (const std::string& dependency : item.entry->depends_on) {
    const Offer* offer = offer_of(dependency);
    if (offer == nullptr) continue;
    const auto& needed = item.image->needed();
    if (std::find(needed.begin(), needed.end(), offer->provides) != needed.end()) {
      item.modules_needed[offer->provides] = dependency;
    }
  }
}

std::vector<std::string> Transaction::native_needs(const std::string& name) const {
  std::vector<std::string> needs;
  if (const auto item = items_.find(name); item != items_.end()) {
    for (const auto& [needed, module] : item->second.modules_needed) needs.push_back(module);
  } else if (const ModuleEntry* entry = plan_.manifest.find(name)) {
    for (const std::string& module : entry->depends_on) {
      if (taken_over_.contains(module)) needs.push_back(module);
    }
  }
  return needs;
}

bool Transaction::defined_below(const Item& item, const std::string& symbol) const {
  std::set<std::string> seen{item.entry->name};
  std::vector<std::string> open = native_needs(item.entry->name);
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (!seen.insert(name).second) continue;
    const Offer* offer = offer_of(name);
    if (offer == nullptr) continue;
    if (std::binary_search(offer->unique_symbols->begin(), offer->unique_symbols->end(), symbol)) return true;
    for (std::string& next : native_needs(name)) open.push_back(std::move(next));
  }
  return false;
}

void Transaction::name_images() {
  if (!images_) return;
  for (unsigned salt = 0;; ++salt) {
    for (auto& [name, item] : items_) {
      if (!item.image) continue;
      // A dependency that was taken over in a variant makes a variant of whoever names it.
      std::string variant = salt == 0 ? "" : std::to_string(salt) + '\n';
      for (const auto& [needed, module] : item.modules_needed) {
        const auto below = taken_over_.find(module);
        if (below != taken_over_.end() && !below->second.variant.empty()) {
          variant += module + '\t' + below->second.variant + '\n';
        }
      }
      if (!variant.empty()) variant = digest_of(variant).hex().substr(0, kImageKeyDigits);
      Digest key = *closure_digest(plan_.manifest, name);
      if (!variant.empty()) key = digest_of(key.hex() + variant);
      item.offer.variant = std::move(variant);
      item.offer.path =
          (*images_)->path_of(file_name(item.entry->path), key.hex().substr(0, kImageKeyDigits));
    }
    if (!any_image_is_mapped()) break;
  }
  for (const auto& [name, item] : items_) {
    if (!item.image) continue;
    names_of_paths_[item.offer.path] = name;
    epoch_paths_.insert(item.offer.path);
  }
}

bool Transaction::any_image_is_mapped() const {
  const MappedImages& mapped = MappedImages::of_process();
  return std::any_of(items_.begin(), items_.end(), [&](const auto& named) {
    return named.second.image && mapped.contains(named.second.offer.path);
  });
}

void Transaction::write(Item& item) {
  if (!item.image) return;
  std::map<std::string, std::string, std::less<>> paths;
  for (const auto& [needed, module] : item.modules_needed) paths[needed] = offer_of(module)->path;
  const auto image = item.image->privatise(
      paths, [&](std::string_view symbol) { return defined_below(item, std::string(symbol)); });
  if (!image) return fail(item, image.error());
  auto held = (*images_)->hold(item.offer.path, *image);
  if (!held) return fail(item, held.error());
  item.held.emplace(*std::move(held));
  item.restoration = image->restoration();
}

bool Transaction::needs_a_failed_one(const Item& item) const {
  return std::any_of(item.modules_needed.begin(), item.modules_needed.end(), [&](const auto& needed) {
    const auto below = items_.find(needed.second);
    return below != items_.end() && below->second.failed;
  });
}

void Transaction::try_out(Trials& trials) {
  // Once more without those that failed, until no more do: all of the set are told together.
  for (;;) {
    std::vector<TrialCandidate> candidates;
    std::vector<Item*> whose;
    std::set<std::string, std::less<>> left_out;
    for (const std::string& name : order_) {
      const auto found = items_.find(name);
      if (found == items_.end() || !found->second.image) continue;
      Item& item = found->second;
      const bool below_is_out =
          std::any_of(item.modules_needed.begin(), item.modules_needed.end(),
                      [&](const auto& needed) { return left_out.contains(needed.second); });
      if (item.failed || below_is_out || needs_a_failed_one(item)) {
        left_out.insert(name);
      } else if (item.image->has_initialisers()) {
        // What is never unloaded here is not unloaded there.
        const bool close = !item.image->starts_threads() && !item.image->nodelete();
        candidates.push_back({*closure_digest(plan_.manifest, name), {item.offer.path, close}});
        whose.push_back(&item);
      }
    }
    if (candidates.empty()) return;
    const auto refusal = trials.first_refusal(candidates);
    if (!refusal) return;
    fail(*whose[refusal->candidate], {ErrorCode::kRefused, refusal->reason, 0});
  }
}

void Transaction::load(Item& item) {
  const ModuleEntry& entry = *item.entry;
  if (item.failed) return;
  if (entry.kind != ModuleKind::kNative) {
    modules_[entry.name] = std::make_shared<const BytesModule>(entry.kind, item.bytes);
    return;
  }
  // Whoever needs a module that failed cannot be judged; the reason has been told with that one.
  if (needs_a_failed_one(item)) {
    item.failed = true;
    return;
  }
  NativeFacts facts;
  facts.name = entry.name;
  facts.version = entry.version;
  facts.digest = entry.digest;
  facts.provides = item.offer.provides;
  facts.variant = item.offer.variant;
  facts.unique_symbols = item.unique_symbols;
  facts.restoration = std::move(item.restoration);
  const auto build_id = item.image->build_id();
  facts.build_id.assign(build_id.begin(), build_id.end());
  facts.build_id_address = item.image->build_id_address();
  facts.mapped_bytes = item.image->mapped_bytes();
  facts.nodelete = item.image->nodelete();
  facts.has_thread_local_destructors = item.image->has_thread_local_destructors();
  facts.starts_threads = item.image->starts_threads();
  auto module =
      NativeModule::load(std::move(facts), *std::move(item.held), *images_, epoch_paths_, names_of_paths_);
  item.held.reset();
  if (!module) {
    Error error = module.error();
    error.message += who_provided(error.message);
    return fail(item, error);
  }
  const LoadedModule* former = plan_.base == nullptr ? nullptr : plan_.base->find(entry.name);
  if (Status started = (*module)->start(dynamic_cast<const NativeModule*>(former)); !started) {
    return fail(item, started.error());
  }
  modules_[entry.name] = *std::move(module);
}

std::string Transaction::who_provided(const std::string& message) const {
  constexpr std::string_view kMissing = "undefined symbol: ";  // glibc, elf/dl-lookup.c
  const std::size_t at = message.find(kMissing);
  if (at == std::string::npos || plan_.base == nullptr) return "";
  const std::size_t begin = at + kMissing.size();
  const std::string symbol = message.substr(begin, message.find_first_of(" ,(", begin) - begin);
  for (const auto& [name, module] : plan_.base->modules()) {
    const auto* former = dynamic_cast<const NativeModule*>(module.get());
    if (former == nullptr || !former->symbol(symbol).ok()) continue;
    const std::string before = name + " " + std::to_string(former->facts().version);
    const ModuleEntry* entry = plan_.manifest.find(name);
    if (entry == nullptr) return "; " + before + " provided it, and " + name + " is removed in this epoch";
    if (entry->version == former->facts().version) continue;
    return "; " + before + " provided it, " + name + " " + std::to_string(entry->version) + " does not";
  }
  return "";
}

LoadOutcome Transaction::outcome() {
  LoadOutcome outcome;
  outcome.epoch = plan_.manifest.epoch;
  if (failures_.empty()) {
    outcome.view = std::make_shared<const View>(plan_.manifest, std::move(modules_));
    return outcome;
  }
  outcome.failures = std::move(failures_);
  modules_.clear();
  items_.clear();  // gives the images back
  if (images_) (*images_)->settle();
  return outcome;
}

}  // namespace

LoadOutcome run_transaction(const LoadPlan& plan, BlobStore& cache,
                            const Result<std::shared_ptr<NativeImages>>& images, Trials& trials,
                            const std::function<void(const std::string&)>& on_loading) {
  return Transaction(plan, cache, images).run(trials, on_loading);
}

}  // namespace moddev
