// The JSON of history_view.h and stats_view.h; the keys stay.
#include <nlohmann/json.hpp>

#include "tools/moddev/history_view.h"
#include "tools/moddev/json_values.h"
#include "tools/moddev/stats_view.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

Json time_of(std::int64_t ns) {
  return ns == 0 ? Json(nullptr) : Json(utc_time(WallTime{Duration(ns)}));
}

Json applied_of(const AppliedReport& applied) {
  return {{"id", applied.executor.id.to_string()}, {"name", applied.executor.name},
          {"host", applied.executor.host},         {"pid", applied.executor.pid},
          {"at", time_of(applied.at_ns)},          {"elapsed_us", applied.elapsed_us}};
}

Json side_of(const ModuleEntry* entry) {
  if (entry == nullptr) return nullptr;
  return {{"version", entry->version}, {"digest", entry->digest.to_string()}, {"size", entry->size}};
}

Json hold_of(const HoldReport& hold) {
  return {{"module", hold.module}, {"version", hold.version}, {"path", hold.path}};
}

template <typename Values, typename Of>
Json each(const Values& values, Of of) {
  Json list = Json::array();
  for (const auto& value : values) list.push_back(of(value));
  return list;
}

}  // namespace

std::string json_of(const HistoryEntry& entry) {
  return line_of({{"epoch", entry.epoch},
                  {"base", entry.base},
                  {"state", to_string(entry.state)},
                  {"announced_at", time_of(entry.announced_at_ns)},
                  {"decided_at", time_of(entry.decided_at_ns)},
                  {"cause", entry.cause},
                  {"changes", each(entry.changes, [](const ModuleChange& c) { return value_of(c); })},
                  {"changes_total", entry.changes_total},
                  {"failures", each(entry.failures, [](const ExecutorFailure& f) { return value_of(f); })},
                  {"applied", each(entry.applied, applied_of)},
                  {"applied_total", entry.applied_total}});
}

std::string json_of_diff(const Manifest& from, const Manifest& to) {
  Json modules = Json::array();
  for (const ModuleChange& change : diff(from, to)) {
    modules.push_back({{"name", change.module.name},
                       {"kind", to_string(change.module.kind)},
                       {"change", to_string(change.change)},
                       {"from", side_of(from.find(change.module.name))},
                       {"to", side_of(to.find(change.module.name))}});
  }
  return line_of({{"from", from.epoch}, {"to", to.epoch}, {"modules", std::move(modules)}});
}

std::string json_of(const RollbackReply& reply) {
  return line_of({{"epoch", reply.epoch},
                  {"cause", reply.cause},
                  {"changes", each(reply.changes, [](const ModuleChange& c) { return value_of(c); })},
                  {"holds", each(reply.holds, hold_of)}});
}

std::string json_of(const ModuleStats& stats) {
  return line_of({{"module", stats.module},
                  {"version", stats.version},
                  {"epochs", stats.epochs},
                  {"loads", stats.loads},
                  {"executors", stats.executors},
                  {"refusals", stats.refusals},
                  {"median_us", stats.median_us},
                  {"slowest_us", stats.slowest_us},
                  {"last_at", time_of(stats.last_at_ns)}});
}

}  // namespace moddev::tools
