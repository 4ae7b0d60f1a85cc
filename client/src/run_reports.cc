#include "client/src/run_reports.h"

#include <algorithm>

#include "client/src/limits.h"

namespace moddev::client {

void RunReports::begin_history(std::uint64_t first_serial) {
  entries_.clear();
  first_serial_ = first_serial;
}

RunReports::Entry* RunReports::entry_of(const ModuleUse& use) {
  const auto found = entries_.find(Key(use.name, use.version));
  if (found != entries_.end()) return &found->second;
  if (use.version == 0 || entries_.size() >= limits::kRunVersions) return nullptr;
  return &entries_[Key(use.name, use.version)];
}

void RunReports::drained(const View& view) {
  if (view.serial() < first_serial_) return;
  view.each_run([this](const ModuleUse& use, const RunTotals& totals) {
    if (Entry* entry = entry_of(use)) entry->ended.add(totals);
  });
}

/// Forgets versions that nobody can run any more and the daemon knows all of: those that were told the
/// longest time ago, a quarter of all that may be remembered.
void RunReports::make_room() {
  if (entries_.size() < limits::kRunVersions) return;
  std::vector<std::map<Key, Entry>::iterator> past;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (!entry->second.in_view && entry->second.ended == entry->second.confirmed) past.push_back(entry);
  }
  std::ranges::sort(past, {}, [](const auto& entry) { return entry->second.turn; });
  past.resize(std::min(past.size(), limits::kRunVersions / 4));
  for (const auto& entry : past) entries_.erase(entry);
}

std::vector<RunReport> RunReports::due(const Views& views, std::size_t most, TimePoint now, WallTime wall) {
  for (auto& [key, entry] : entries_) {
    entry.now = entry.ended;
    entry.in_view = false;
  }
  const auto each_run = [&](const auto& visit) {
    for (const auto& view : views) {
      if (view != nullptr && view->serial() >= first_serial_) view->each_run(visit);
    }
  };
  each_run([this](const ModuleUse& use, const RunTotals& /*totals*/) {
    const auto known = entries_.find(Key(use.name, use.version));
    if (known != entries_.end()) known->second.in_view = true;
  });
  make_room();
  each_run([this](const ModuleUse& use, const RunTotals& totals) {
    Entry* entry = entry_of(use);
    if (entry == nullptr) return;
    entry->in_view = true;
    entry->now.add(totals);
  });

  std::vector<std::map<Key, Entry>::iterator> changed;
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const Entry& one = entry->second;
    const bool told_now = one.told_at == now && one.told == one.now;
    if (one.now.runs > 0 && one.now != one.confirmed && !told_now) changed.push_back(entry);
  }
  if (changed.size() > most) {
    std::ranges::stable_sort(changed, {}, [](const auto& entry) { return entry->second.turn; });
    changed.resize(most);
  }
  ++turn_;
  std::vector<RunReport> reports;
  reports.reserve(changed.size());
  for (const auto& entry : changed) {
    Entry& one = entry->second;
    one.told = one.now;
    one.told_at = now;
    one.turn = turn_;
    const WallTime last = wall - (now - one.now.last);
    reports.push_back({entry->first.first, entry->first.second, one.now.runs, one.now.total_ns,
                       one.now.longest_ns, last.time_since_epoch().count()});
  }
  return reports;
}

void RunReports::confirmed(TimePoint sent) {
  for (auto& [key, entry] : entries_) {
    if (entry.told_at == sent) entry.confirmed = entry.told;
  }
}

void RunReports::tell_anew() {
  for (auto& [key, entry] : entries_) {
    entry.confirmed = {};
    entry.told_at = {};
  }
}

}  // namespace moddev::client
