#include "tools/moddev/supervise_story.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/moddev/story.h"

namespace moddev::tools {
namespace {

using Json = nlohmann::ordered_json;
using supervisor::SupervisorEvent;
using Kind = SupervisorEvent::Kind;

constexpr std::size_t kModulesShown = 3;

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

double fine_milliseconds(Duration duration) {
  return std::round(to_ms(duration) * 1000) / 1000;
}

std::string joined(const std::vector<std::string>& texts, const std::string& between) {
  std::string text;
  for (const std::string& one : texts) text += (text.empty() ? "" : between) + one;
  return text;
}

std::string modules(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kModulesShown; ++i) {
    text += (text.empty() ? "" : ", ") + printable(names[i]);
  }
  if (names.size() > kModulesShown) text += " and " + std::to_string(names.size() - kModulesShown) + " more";
  return text;
}

std::string who(const SupervisorEvent& event) {
  std::string text = "worker " + std::to_string(event.worker);
  if (event.pid != 0) text += "  pid " + std::to_string(event.pid);
  return text;
}

std::string plan(const SupervisorEvent& event) {
  std::string text;
  if (!event.workers.empty()) text = counted(event.workers.size(), "worker") + " cycled";
  if (event.count > 0) {
    text += (text.empty() ? "" : ", ") + counted(event.count, "worker") + " reloaded in place";
  }
  return text;
}

}  // namespace

std::string json_line(const SuperviseFacts& facts) {
  return line_of({{"event", "supervising"},
                  {"command", facts.command},
                  {"workers", facts.workers},
                  {"pid", facts.pid},
                  {"endpoint", facts.endpoint},
                  {"readiness", facts.readiness},
                  {"listeners", facts.listeners}});
}

std::string json_line(const SupervisorEvent& e) {
  switch (e.kind) {
    case Kind::kStarted:
      return line_of({{"event", "started"}, {"worker", e.worker}, {"pid", e.pid}, {"epoch", e.epoch}});
    case Kind::kReady:
      return line_of({{"event", "ready"},
                      {"worker", e.worker},
                      {"pid", e.pid},
                      {"epoch", e.epoch},
                      {"elapsed_ms", fine_milliseconds(e.elapsed)}});
    case Kind::kServing:
      return line_of({{"event", "serving"}, {"workers", e.count}});
    case Kind::kDraining:
      return line_of({{"event", "draining"}, {"worker", e.worker}, {"pid", e.pid}, {"reason", e.message}});
    case Kind::kStopped: {
      Json json = {{"event", "stopped"},     {"worker", e.worker},       {"pid", e.pid},
                   {"expected", e.expected}, {"exit_code", e.exit.code}, {"signal", e.exit.signal}};
      if (!e.message.empty()) json["message"] = e.message;
      return line_of(json);
    }
    case Kind::kRestarting:
      return line_of({{"event", "restarting"},
                      {"worker", e.worker},
                      {"ends_in_a_row", e.count},
                      {"delay_ms", milliseconds(e.delay)}});
    case Kind::kCrashLoop:
      return line_of({{"event", "crash_loop"},
                      {"worker", e.worker},
                      {"ends_in_a_row", e.count},
                      {"delay_ms", milliseconds(e.delay)},
                      {"message", e.message}});
    case Kind::kRolloutStarted:
      return line_of({{"event", "rollout_started"},
                      {"epoch", e.epoch},
                      {"modules", e.modules},
                      {"cycle", e.workers},
                      {"reload", e.count}});
    case Kind::kRolloutDone:
      return line_of({{"event", "rollout_done"},
                      {"epoch", e.epoch},
                      {"modules", e.modules},
                      {"cycled", e.workers},
                      {"reloaded", e.count},
                      {"elapsed_ms", fine_milliseconds(e.elapsed)}});
    case Kind::kRolloutStopped:
      return line_of({{"event", "rollout_stopped"},
                      {"epoch", e.epoch},
                      {"modules", e.modules},
                      {"worker", e.worker},
                      {"old_code", e.workers},
                      {"message", e.message}});
  }
  return {};
}

std::string tell(const Palette& palette, WallTime at, const SuperviseFacts& facts) {
  std::string rest = printable(joined(facts.command, " ")) + "  " + counted(facts.workers, "worker");
  if (!facts.listeners.empty()) rest += "  listening at " + joined(facts.listeners, ", ");
  return told(palette, at, Colour::kStrong, "supervise", rest + "  " + facts.endpoint);
}

std::string tell(const Palette& palette, WallTime at, const SupervisorEvent& e) {
  switch (e.kind) {
    case Kind::kStarted:
      return told(palette, at, Colour::kDim, "started",
                  who(e) + (e.epoch == 0 ? "" : "  epoch " + std::to_string(e.epoch)));
    case Kind::kReady:
      return told(palette, at, Colour::kGood, "ready", who(e) + "  " + human_duration(e.elapsed));
    case Kind::kServing:
      return told(palette, at, Colour::kGood, "serving", counted(e.count, "worker"));
    case Kind::kDraining:
      return told(palette, at, Colour::kDim, "draining", who(e) + "  " + printable(e.message));
    case Kind::kStopped:
      if (e.expected) return told(palette, at, Colour::kDim, "stopped", who(e) + "  " + describe(e.exit));
      return told(palette, at, Colour::kBad, "ended",
                  e.message.empty() ? who(e) + "  " + describe(e.exit) : printable(e.message));
    case Kind::kRestarting:
      return told(palette, at, Colour::kNotice, "restart", printable(e.message));
    case Kind::kCrashLoop:
      return told(palette, at, Colour::kBad, "crash loop", printable(e.message));
    case Kind::kRolloutStarted:
      return told(palette, at, Colour::kStrong, "rollout",
                  modules(e.modules) + "  epoch " + std::to_string(e.epoch) + "  " +
                      (e.workers.empty()
                           ? ""
                           : "cycles " + counted(e.workers.size(), "worker") + (e.count > 0 ? ", " : "")) +
                      (e.count > 0 ? counted(e.count, "worker") + " reload in place" : ""));
    case Kind::kRolloutDone:
      return told(palette, at, Colour::kGood, "live",
                  modules(e.modules) + "  epoch " + std::to_string(e.epoch) + "  " + plan(e) + "  " +
                      human_duration(e.elapsed));
    case Kind::kRolloutStopped:
      return told(palette, at, Colour::kBad, "stopped", printable(e.message));
  }
  return {};
}

}  // namespace moddev::tools
