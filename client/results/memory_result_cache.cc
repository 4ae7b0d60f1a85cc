// The cache of one process.
#include <moddev/result_cache.h>

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "client/results/explain.h"

namespace moddev {
namespace {

using results::Neighbours;
using Parts = std::vector<ClosurePart>;

struct Entry {
  std::string identity;
  std::string module;
  std::string symbol;
  std::string closure;
  std::string arguments;
  std::shared_ptr<const Parts> parts;
  /// Null: evicted, remembered only.
  std::shared_ptr<const ResultCache::Value> result;
};

class MemoryResultCache final : public ResultCache {
 public:
  explicit MemoryResultCache(ResultCacheLimits limits) : limits_(limits) {}

  Result<std::optional<Value>> find(const ResultKey& key) override {
    MODDEV_TRY(results::validate(key));
    const std::string identity = results::identity_of(key);
    std::shared_ptr<const Value> result;
    {
      const std::lock_guard lock(mutex_);
      const auto found = by_identity_.find(identity);
      if (found == by_identity_.end() || !found->second->result) {
        ++stats_.misses;
        return std::optional<Value>();
      }
      ++stats_.hits;
      kept_.splice(kept_.begin(), kept_, found->second);
      result = found->second->result;
    }
    return std::optional<Value>(*result);
  }

  Status store(const ResultKey& key, std::span<const std::byte> result) override {
    MODDEV_TRY(results::validate(key));
    if (result.size() > limits_.bytes || limits_.entries == 0) {
      return Error{ErrorCode::kLimit,
                   "A result of " + std::to_string(result.size()) + " bytes does not fit into a cache of " +
                       std::to_string(limits_.bytes) + " bytes (ResultCacheLimits).",
                   0};
    }
    Entry entry{results::identity_of(key),
                key.module,
                key.symbol,
                key.closure,
                key.arguments,
                nullptr,
                std::make_shared<const Value>(result.begin(), result.end())};
    const std::lock_guard lock(mutex_);
    forget(entry.identity);
    entry.parts = parts_of(key);
    bytes_ += result.size();
    kept_.push_front(std::move(entry));
    by_identity_[kept_.front().identity] = kept_.begin();
    while (bytes_ > limits_.bytes || kept_.size() > limits_.entries) evict_one();
    while (evicted_.size() > limits_.entries) {
      by_identity_.erase(evicted_.back().identity);
      evicted_.pop_back();
    }
    return {};
  }

  Result<Miss> explain(const ResultKey& key) override {
    MODDEV_TRY(results::validate(key));
    const std::lock_guard lock(mutex_);
    Neighbours neighbours;
    if (const auto found = by_identity_.find(results::identity_of(key)); found != by_identity_.end()) {
      neighbours.present = found->second->result != nullptr;
      neighbours.evicted = !neighbours.present;
    }
    std::set<const Parts*> seen;
    for (const std::list<Entry>* list : {&kept_, &evicted_}) {
      for (const Entry& entry : *list) {
        if (entry.module != key.module || entry.symbol != key.symbol) continue;
        if (entry.closure == key.closure) {
          neighbours.same_code = true;
          continue;
        }
        if (neighbours.same_symbol.size() < results::kCodesCompared &&
            seen.insert(entry.parts.get()).second) {
          neighbours.same_symbol.push_back(*entry.parts);
        }
        if (entry.arguments == key.arguments && neighbours.same_arguments.size() < results::kCodesCompared) {
          neighbours.same_arguments.push_back(*entry.parts);
        }
      }
    }
    return results::explain(key, neighbours);
  }

  Result<ResultCacheStats> stats() override {
    const std::lock_guard lock(mutex_);
    ResultCacheStats stats = stats_;
    stats.entries = kept_.size();
    stats.bytes = bytes_;
    stats.remembered = evicted_.size();
    return stats;
  }

 private:
  void forget(const std::string& identity) {
    const auto found = by_identity_.find(identity);
    if (found == by_identity_.end()) return;
    const auto entry = found->second;
    by_identity_.erase(found);
    if (entry->result) {
      bytes_ -= entry->result->size();
      kept_.erase(entry);
    } else {
      evicted_.erase(entry);
    }
  }

  void evict_one() {
    const auto oldest = std::prev(kept_.end());
    bytes_ -= oldest->result->size();
    oldest->result.reset();
    ++stats_.evictions;
    evicted_.splice(evicted_.begin(), kept_, oldest);
  }

  /// One copy for all entries of the same code.
  std::shared_ptr<const Parts> parts_of(const ResultKey& key) {
    if (const auto known = parts_.find(key.closure); known != parts_.end()) {
      if (auto parts = known->second.lock()) return parts;
    }
    // Other code than before: the time to forget code without entries.
    std::erase_if(parts_, [](const auto& one) { return one.second.expired(); });
    auto parts = std::make_shared<const Parts>(key.parts);
    parts_[key.closure] = parts;
    return parts;
  }

  const ResultCacheLimits limits_;
  std::mutex mutex_;
  std::list<Entry> kept_;     // the most recently used first
  std::list<Entry> evicted_;  // the newest first
  std::map<std::string, std::list<Entry>::iterator, std::less<>> by_identity_;
  std::map<std::string, std::weak_ptr<const Parts>> parts_;
  std::uint64_t bytes_ = 0;
  ResultCacheStats stats_;
};

}  // namespace

std::unique_ptr<ResultCache> make_result_cache(ResultCacheLimits limits) {
  return std::make_unique<MemoryResultCache>(limits);
}

}  // namespace moddev
