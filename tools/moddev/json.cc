#include "tools/moddev/json.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <variant>

#include "tools/moddev/json_values.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {
namespace {

/// Milliseconds with microseconds behind the point.
double milliseconds(Duration duration) {
  return std::round(to_ms(duration) * 1000) / 1000;
}

Json of(const ModuleChange& change) {
  return value_of(change);
}

Json of(const ModuleEntry& module) {
  const WallTime changed_at{Duration(module.changed_at_ns)};
  return {{"name", module.name},
          {"kind", to_string(module.kind)},
          {"version", module.version},
          {"digest", module.digest.to_string()},
          {"size", module.size},
          {"changed_at", utc_time(changed_at)},
          {"depends_on", module.depends_on}};
}

Json of(const ExecutorStatus& executor) {
  Json pins = Json::array();
  for (const PinReport& pin : executor.pins) {
    pins.push_back({{"epoch", pin.epoch}, {"age_ms", pin.age_ms}, {"count", pin.count}});
  }
  return {{"id", executor.identity.id.to_string()},
          {"name", executor.identity.name},
          {"host", executor.identity.host},
          {"pid", executor.identity.pid},
          {"state", to_string(executor.state)},
          {"epoch", executor.epoch},
          {"pins", std::move(pins)},
          {"detail", executor.detail}};
}

Json of(const HoldReport& hold) {
  return {{"module", hold.module}, {"version", hold.version}, {"path", hold.path}};
}

Json of(const TransferReport& sent) {
  return {{"announced_bytes", sent.announced_bytes},
          {"plain_bytes", sent.plain_bytes},
          {"zstd_bytes", sent.zstd_bytes},
          {"patch_bytes", sent.patch_bytes},
          {"saved_bytes", sent.saved_bytes}};
}

Json of(const ExecutorFailure& failure) {
  return value_of(failure);
}

template <typename Value>
Json list_of(const std::vector<Value>& values) {
  Json list = Json::array();
  for (const Value& value : values) list.push_back(of(value));
  return list;
}

Json of(const daemon::PublishedEvent& e) {
  return {{"event", "published"},
          {"epoch", e.epoch},
          {"modules", list_of(e.changes)},
          {"executors", e.executors}};
}
Json of(const daemon::CommittedEvent& e) {
  return {{"event", "committed"},
          {"epoch", e.epoch},
          {"applied", e.applied},
          {"excluded", e.excluded},
          {"elapsed_ms", milliseconds(e.elapsed)}};
}
Json of(const daemon::AbortedEvent& e) {
  return {{"event", "aborted"}, {"epoch", e.epoch}, {"failures", list_of(e.failures)}};
}
Json of(const daemon::RejectedEvent& e) {
  return {{"event", "rejected"}, {"path", e.path}, {"reason", e.reason}};
}
Json of(const daemon::WarningEvent& e) {
  return {{"event", "warning"}, {"code", e.code}, {"message", e.message}};
}

}  // namespace

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json value_of(const ModuleChange& change) {
  return {{"name", change.module.name},       {"kind", to_string(change.module.kind)},
          {"version", change.module.version}, {"digest", change.module.digest.to_string()},
          {"size", change.module.size},       {"change", to_string(change.change)}};
}

Json value_of(const ExecutorFailure& failure) {
  return {{"executor", failure.executor}, {"module", failure.module}, {"error", failure.error}};
}

std::string json_line(const ListeningFacts& listening) {
  Json line = {{"event", "listening"},
               {"endpoint", listening.endpoint},
               {"repo", listening.daemon.repo.to_string()},
               {"incarnation", listening.daemon.incarnation.to_string()},
               {"pid", listening.pid},
               {"directory", listening.directory},
               {"backend", listening.backend}};
  if (!listening.signer.empty()) line["signer"] = listening.signer;
  return line_of(line);
}

std::string json_line(const daemon::DaemonEvent& event) {
  return std::visit(
      [](const auto& body) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(body)>, daemon::ExecutorEvent>) {
          return "";
        } else {
          return line_of(of(body));
        }
      },
      event);
}

std::string json_of(const StatusReply& status) {
  return line_of({{"endpoint", status.endpoint},
                  {"repo", status.daemon.repo.to_string()},
                  {"incarnation", status.daemon.incarnation.to_string()},
                  {"epoch", status.epoch},
                  {"committed_epoch", status.committed_epoch},
                  {"directory", status.directory},
                  {"backend", status.backend},
                  {"modules", list_of(status.modules)},
                  {"executors", list_of(status.executors)},
                  {"holds", list_of(status.holds)},
                  {"transfers", of(status.transfers)},
                  {"refused_epoch", status.refused}});
}

std::string json_line(const watcher::Finding& finding) {
  return line_of({{"level", to_string(finding.level)},
                  {"code", finding.code},
                  {"message", finding.message},
                  {"advice", finding.advice}});
}

std::string json_line(const ClientEvent& event, const std::string& id) {
  using Kind = ClientEvent::Kind;
  switch (event.kind) {
    case Kind::kJoined:
      return line_of({{"event", "joined"}, {"id", id}, {"epoch", event.epoch}});
    case Kind::kApplied: {
      Json line = {{"event", "applied"},
                   {"epoch", event.epoch},
                   {"modules", event.modules},
                   {"elapsed_us", event.elapsed_us}};
      if (!event.message.empty()) line["notice"] = event.message;
      return line_of(line);
    }
    case Kind::kFailed:
      return line_of(
          {{"event", "failed"}, {"epoch", event.epoch}, {"module", event.module}, {"error", event.message}});
    case Kind::kStale:
      return line_of({{"event", "stale"}, {"reason", event.message}});
    case Kind::kAborted:
      break;
  }
  return "";
}

std::string json_line(const Call& call) {
  return line_of({{"event", "called"},
                  {"module", call.module},
                  {"symbol", call.symbol},
                  {"epoch", call.epoch},
                  {"result", call.result},
                  {"at_ns", call.at.time_since_epoch().count()}});
}

}  // namespace moddev::tools
