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

Json identity_of(const ExecutorIdentity& executor) {
  return {{"id", executor.id.to_string()},
          {"name", executor.name},
          {"host", executor.host},
          {"pid", executor.pid}};
}

void add_counts(Json& json, const RunCounts& counts) {
  json["runs"] = counts.runs;
  json["total_ns"] = counts.total_ns;
  json["longest_ns"] = counts.longest_ns;
  json["last_at"] = time_of(counts.last_at_ns);
}

Json runs_of(const ExecutorRunCounts& executor) {
  Json json = identity_of(executor.executor);
  json["version"] = executor.version;
  add_counts(json, executor.counts);
  return json;
}

Json runs_of(const VersionRunCounts& version) {
  Json json = {{"version", version.version}, {"executors", version.executors}};
  add_counts(json, version.counts);
  return json;
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
  return line_of(
      {{"module", stats.module},
       {"version", stats.version},
       {"epochs", stats.epochs},
       {"loads", stats.loads},
       {"executors", stats.executors},
       {"refusals", stats.refusals},
       {"median_us", stats.median_us},
       {"slowest_us", stats.slowest_us},
       {"last_at", time_of(stats.last_at_ns)},
       {"runs", stats.runs.runs},
       {"run_executors", stats.by_executor.size()},
       {"run_total_ns", stats.runs.total_ns},
       {"run_mean_ns", stats.runs.mean_ns()},
       {"run_longest_ns", stats.runs.longest_ns},
       {"last_run_at", time_of(stats.runs.last_at_ns)},
       {"last_run_by",
        stats.by_executor.empty() ? Json(nullptr) : identity_of(stats.by_executor.front().executor)},
       {"by_executor", each(stats.by_executor, [](const ExecutorRunCounts& one) { return runs_of(one); })},
       {"by_version", each(stats.by_version, [](const VersionRunCounts& one) { return runs_of(one); })}});
}

}  // namespace moddev::tools
