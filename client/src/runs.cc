#include "client/src/runs.h"

#include <algorithm>
#include <new>

namespace moddev {

void RunTotals::add(const RunTotals& other) {
  runs += other.runs;
  total_ns += other.total_ns;
  longest_ns = std::max(longest_ns, other.longest_ns);
  last = std::max(last, other.last);
}

void RunCounter::ended(std::size_t shard, Duration took, TimePoint at) noexcept {
  Shard& mine = shards_[shard % kShards];
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 0));
  mine.total_ns.fetch_add(ns, std::memory_order_relaxed);
  std::uint64_t longest = mine.longest_ns.load(std::memory_order_relaxed);
  while (longest < ns && !mine.longest_ns.compare_exchange_weak(longest, ns, std::memory_order_relaxed)) {
  }
  const std::int64_t now = at.time_since_epoch().count();
  std::int64_t last = mine.last_ns.load(std::memory_order_relaxed);
  while (last < now && !mine.last_ns.compare_exchange_weak(last, now, std::memory_order_relaxed)) {
  }
  // Last, so that a run that is seen is rarely seen without its time.
  mine.runs.fetch_add(1, std::memory_order_release);
}

RunTotals RunCounter::totals() const {
  RunTotals all;
  for (const Shard& shard : shards_) {
    RunTotals one;
    one.runs = shard.runs.load(std::memory_order_acquire);
    one.total_ns = shard.total_ns.load(std::memory_order_relaxed);
    one.longest_ns = shard.longest_ns.load(std::memory_order_relaxed);
    one.last = TimePoint(Duration(shard.last_ns.load(std::memory_order_relaxed)));
    all.add(one);
  }
  return all;
}

void OpenRuns::begin(RunCounter& counter) noexcept {
  for (std::uint64_t i = 0; i < count_; ++i) {
    if (first_[i].counter == &counter) return;
  }
  if (count_ < kFirst) {
    first_[count_++] = {&counter, SystemClock().now()};
    return;
  }
  try {
    if (more_ == nullptr) more_ = std::make_unique<std::unordered_map<RunCounter*, TimePoint>>();
    const auto [run, fresh] = more_->try_emplace(&counter);
    if (fresh) run->second = SystemClock().now();
  } catch (const std::bad_alloc&) {
    // Then this run is not counted: what was looked up is more important.
  }
}

void OpenRuns::end(std::size_t shard) noexcept {
  const TimePoint now = SystemClock().now();
  for (std::uint64_t i = 0; i < count_; ++i) first_[i].counter->ended(shard, now - first_[i].since, now);
  count_ = 0;
  if (more_ == nullptr) return;
  for (const auto& [counter, since] : *more_) counter->ended(shard, now - since, now);
  more_.reset();
}

}  // namespace moddev
