// What executors tell of the runs of modules, and what people ask about them.
#include <algorithm>
#include <span>

#include "protocol/codec_values.h"

namespace moddev::codec {
namespace {

constexpr std::size_t kRunPairs = 6;

void write_pairs(Writer& out, const RunReport& run) {
  out.key("module").free_text(run.module, limits::kModuleNameBytes);
  out.key("version").number(run.version);
  out.key("runs").number(run.runs);
  out.key("total_ns").number(run.total_ns);
  out.key("longest_ns").number(run.longest_ns);
  out.key("last_at_ns").signed_number(run.last_at_ns);
}

RunReport read_run(const Reader& map) {
  return {map.at("module").text(limits::kModuleNameBytes),
          map.at("version").number(),
          map.at("runs").number(),
          map.at("total_ns").number(),
          map.at("longest_ns").number(),
          map.at("last_at_ns").signed_number()};
}

}  // namespace

void write(Writer& out, const std::vector<RunReport>& runs, const Uuid& repo) {
  if (runs.empty()) return;
  const std::size_t count = std::min(runs.size(), limits::kRunsPerMessage);
  out.key("runs").array(count);
  for (const RunReport& run : std::span(runs).first(count)) {
    out.map(kRunPairs);
    write_pairs(out, run);
  }
  out.key("runs_repo").binary(repo.bytes);
}

Uuid read_runs_repo(const Reader& map) {
  return map.at("runs", true).present() ? map.at("runs_repo").uuid() : Uuid{};
}

std::vector<RunReport> read_runs(const Reader& map) {
  std::vector<RunReport> runs;
  const Reader list = map.at("runs", true);
  if (!list.present()) return runs;
  for (const Reader& item : list.items(limits::kRunsPerMessage)) runs.push_back(read_run(item));
  return runs;
}

void write_body(Writer& out, const RunsRequest& request) {
  out.key("module").free_text(request.module, limits::kModuleNameBytes);
  out.key("skip").number(request.skip);
}

RunsRequest read_runs_request(const Reader& map) {
  return {map.at("module", true).text(limits::kModuleNameBytes), map.at("skip", true).number()};
}

void write_body(Writer& out, const RunsReply& reply) {
  write(out, reply.daemon);
  out.key("module").free_text(reply.module, limits::kModuleNameBytes);
  const std::size_t count = std::min(reply.runs.size(), limits::kRunsPerReply);
  out.key("runs").array(count);
  for (const ExecutorRuns& one : std::span(reply.runs).first(count)) {
    out.map(1 + kRunPairs);
    write(out.key("executor"), one.executor);
    write_pairs(out, one.run);
  }
  out.key("next").number(reply.next);
}

RunsReply read_runs_reply(const Reader& map) {
  RunsReply reply;
  reply.daemon = read_daemon(map);
  reply.module = map.at("module").text(limits::kModuleNameBytes);
  for (const Reader& item : map.at("runs").items(limits::kRunsPerReply))
    reply.runs.push_back({read_identity(item.at("executor")), read_run(item)});
  reply.next = map.at("next").number();
  return reply;
}

}  // namespace moddev::codec
