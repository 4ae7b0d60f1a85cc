// The bodies of history and rollback: what people ask about the past.
#include <algorithm>
#include <span>

#include "protocol/codec_values.h"

namespace moddev::codec {
namespace {

/// The first `limit` elements.
template <typename T>
std::span<const T> first(const std::vector<T>& all, std::size_t limit) {
  return std::span(all).first(std::min(all.size(), limit));
}

void write(Writer& out, const HistoryEntry& entry) {
  out.map(11);
  out.key("epoch").number(entry.epoch);
  out.key("base").number(entry.base);
  out.key("state").text(to_string(entry.state));
  out.key("announced_at_ns").signed_number(entry.announced_at_ns);
  out.key("decided_at_ns").signed_number(entry.decided_at_ns);
  out.key("cause").free_text(entry.cause);
  const auto changes = first(entry.changes, limits::kHistoryChanges);
  write(out.key("changes"), std::vector<ModuleChange>(changes.begin(), changes.end()));
  out.key("changes_total").number(entry.changes_total);
  const auto failures = first(entry.failures, limits::kHistoryFailures);
  out.key("failures").array(failures.size());
  for (const auto& failure : failures) {
    out.map(3);
    out.key("executor").free_text(failure.executor);
    out.key("module").free_text(failure.module, limits::kModuleNameBytes);
    out.key("error").free_text(failure.error, limits::kFailureTextBytes);
  }
  const auto applied = first(entry.applied, limits::kHistoryApplied);
  out.key("applied").array(applied.size());
  for (const auto& one : applied) {
    out.map(3);
    write(out.key("executor"), one.executor);
    out.key("at_ns").signed_number(one.at_ns);
    out.key("elapsed_us").signed_number(one.elapsed_us);
  }
  out.key("applied_total").number(entry.applied_total);
}

HistoryEntry read_entry(const Reader& map) {
  HistoryEntry entry;
  entry.epoch = map.at("epoch").number();
  entry.base = map.at("base").number();
  const Reader state = map.at("state");
  if (const auto known = epoch_state_from_string(state.text())) {
    entry.state = *known;
  } else {
    state.fail(ErrorCode::kCorrupt, "is no state of an epoch");
  }
  entry.announced_at_ns = map.at("announced_at_ns").signed_number();
  entry.decided_at_ns = map.at("decided_at_ns").signed_number();
  entry.cause = map.at("cause").text();
  // The limits of a reply's parts are its sender's; here only those of all messages count.
  entry.changes = read_changes(map.at("changes"));
  entry.changes_total = map.at("changes_total").number();
  for (const auto& item : map.at("failures").items(limits::kFailuresPerEpoch)) {
    entry.failures.push_back({item.at("executor").text(), item.at("module").text(limits::kModuleNameBytes),
                              item.at("error").text()});
  }
  for (const auto& item : map.at("applied").items(limits::kExecutors)) {
    entry.applied.push_back({read_identity(item.at("executor")), item.at("at_ns").signed_number(),
                             item.at("elapsed_us").signed_number()});
  }
  entry.applied_total = map.at("applied_total").number();
  return entry;
}

}  // namespace

void write_body(Writer& out, const HistoryRequest& request) {
  out.key("module").free_text(request.module, limits::kModuleNameBytes);
  out.key("before").number(request.before);
  out.key("limit").number(request.limit);
}

HistoryRequest read_history_request(const Reader& map) {
  return {map.at("module", true).text(limits::kModuleNameBytes), map.at("before", true).number(),
          map.at("limit", true).number()};
}

void write_body(Writer& out, const RollbackRequest& request) {
  out.key("module").free_text(request.module, limits::kModuleNameBytes);
  out.key("to").number(request.to);
  out.key("key").binary(request.key.bytes);
}

RollbackRequest read_rollback_request(const Reader& map) {
  return {map.at("module", true).text(limits::kModuleNameBytes), map.at("to", true).number(),
          map.at("key").uuid()};
}

void write_body(Writer& out, const HistoryReply& reply) {
  write(out, reply.daemon);
  out.key("module").free_text(reply.module, limits::kModuleNameBytes);
  const auto entries = first(reply.entries, limits::kHistoryEntries);
  out.key("entries").array(entries.size());
  for (const auto& entry : entries) write(out, entry);
  out.key("more").boolean(reply.more);
  out.key("forgotten").number(reply.forgotten);
}

HistoryReply read_history_reply(const Reader& map) {
  HistoryReply reply;
  reply.daemon = read_daemon(map);
  reply.module = map.at("module").text(limits::kModuleNameBytes);
  for (const auto& item : map.at("entries").items(limits::kHistoryEntries))
    reply.entries.push_back(read_entry(item));
  reply.more = map.at("more").boolean();
  reply.forgotten = map.at("forgotten").number();
  return reply;
}

void write_body(Writer& out, const RollbackReply& reply) {
  write(out, reply.daemon);
  out.key("epoch").number(reply.epoch);
  out.key("cause").free_text(reply.cause);
  write(out.key("changes"), reply.changes);
  write(out.key("holds"), reply.holds);
}

RollbackReply read_rollback_reply(const Reader& map) {
  RollbackReply reply;
  reply.daemon = read_daemon(map);
  reply.epoch = map.at("epoch").number();
  reply.cause = map.at("cause").text();
  reply.changes = read_changes(map.at("changes"));
  reply.holds = read_holds(map.at("holds"));
  return reply;
}

void write(Writer& out, const std::vector<HoldReport>& holds) {
  out.array(holds.size());
  for (const auto& hold : holds) {
    out.map(3);
    out.key("module").free_text(hold.module, limits::kModuleNameBytes);
    out.key("version").number(hold.version);
    out.key("path").free_text(hold.path, limits::kPathBytes);
  }
}

std::vector<HoldReport> read_holds(const Reader& array) {
  std::vector<HoldReport> holds;
  for (const auto& item : array.items(limits::kModulesPerManifest)) {
    holds.push_back({item.at("module").text(limits::kModuleNameBytes), item.at("version").number(),
                     item.at("path").text(limits::kPathBytes)});
  }
  return holds;
}

}  // namespace moddev::codec
