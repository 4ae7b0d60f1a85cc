#include "tools/moddev/story.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "tools/moddev/refusals.h"

namespace moddev::tools {
namespace {

constexpr std::size_t kWhatWidth = 9;
constexpr std::size_t kModulesWidth = 28;
constexpr std::size_t kModulesShown = 4;
constexpr std::size_t kRefusalsShown = 8;

std::string epoch_text(Epoch epoch) {
  return "epoch " + std::to_string(epoch);
}

}  // namespace

std::string told(const Palette& palette, WallTime at, Colour colour, std::string_view what,
                 std::string_view rest) {
  return palette.paint(Colour::kDim, clock_time(at)) + "  " +
         palette.paint(colour, padded(what, kWhatWidth)) + "  " + std::string(rest);
}

WatchStory::WatchStory(Palette palette, const Manifest& committed)
    : palette_(palette), committed_epoch_(committed.epoch) {
  for (const auto& [name, module] : committed.modules) live_[name] = module.version;
}

std::string WatchStory::modules(const std::vector<ModuleChange>& changes) const {
  if (changes.empty()) return "as before";  // under a new number, for those who have tried another one
  std::string text;
  std::size_t shown = 0;
  for (const ModuleChange& change : changes) {
    if (shown++ == kModulesShown) {
      return text + " and " + std::to_string(changes.size() - kModulesShown) + " more";
    }
    const std::string name = printable(change.module.name);
    text += (text.empty() ? "" : ", ") + name + " ";
    const auto before = live_.find(change.module.name);
    if (change.change == ChangeKind::kRemoved) {
      text += "removed";
    } else if (before != live_.end() && before->second != change.module.version) {
      text += std::to_string(before->second) + " -> " + std::to_string(change.module.version);
    } else {
      text += std::to_string(change.module.version);
    }
  }
  return text;
}

std::string WatchStory::refused_module(const std::string& module,
                                       const std::vector<ModuleChange>& changes) const {
  if (module.empty()) return modules(changes);
  const auto changed = std::find_if(changes.begin(), changes.end(),
                                    [&](const ModuleChange& one) { return one.module.name == module; });
  if (changed != changes.end()) return printable(module) + " " + std::to_string(changed->module.version);
  const auto live = live_.find(module);
  if (live == live_.end()) return printable(module);
  return printable(module) + " " + std::to_string(live->second) +
         (changes.empty() ? "" : ", with " + modules(changes));
}

void WatchStory::remember(const std::vector<ModuleChange>& changes) {
  for (const ModuleChange& change : changes) {
    if (change.change == ChangeKind::kRemoved) {
      live_.erase(change.module.name);
    } else {
      live_[change.module.name] = change.module.version;
    }
  }
}

std::vector<std::string> WatchStory::tell(const ListeningFacts& listening, WallTime at) const {
  return {told(palette_, at, Colour::kStrong, "listening",
               printable(listening.directory) + "  " + listening.backend + "  " + listening.endpoint +
                   (listening.signer.empty() ? "" : "  signed"))};
}

std::vector<std::string> WatchStory::tell(const daemon::DaemonEvent& event, WallTime at) {
  if (const auto* e = std::get_if<daemon::CommittedEvent>(&event)) {
    std::string rest =
        padded(modules(e->changes), kModulesWidth) + "  " + padded(epoch_text(e->epoch), 9) + "  ";
    rest += e->applied + e->excluded == 0 ? "no executors" : counted(e->applied, "executor");
    if (e->excluded > 0)
      rest += palette_.paint(Colour::kNotice, ", " + std::to_string(e->excluded) + " excluded");
    if (e->applied > 0) rest += "  " + human_duration(e->elapsed);
    if (!cause_.empty()) rest += "  " + palette_.paint(Colour::kNotice, printable(cause_));
    remember(e->changes);
    committed_epoch_ = e->epoch;
    return {told(palette_, at, Colour::kGood, "live", rest)};
  }
  if (const auto* e = std::get_if<daemon::AbortedEvent>(&event)) {
    const std::string keeps = "everyone keeps " + epoch_text(committed_epoch_);
    if (e->failures.empty()) {
      return {told(palette_, at, Colour::kBad, "refused",
                   modules(e->changes) + "  nobody was left to use it  " + keeps)};
    }
    std::vector<std::string> lines;
    const std::vector<Refusal> refusals = grouped(e->failures);
    for (const Refusal& refusal : refusals) {
      if (lines.size() == kRefusalsShown) {
        lines.push_back(told(palette_, at, Colour::kBad, "refused",
                             "and " + std::to_string(refusals.size() - kRefusalsShown) + " more reasons"));
        break;
      }
      lines.push_back(told(palette_, at, Colour::kBad, "refused",
                           padded(refused_module(refusal.module, e->changes), 12) + "  " +
                               palette_.paint(Colour::kStrong, who(refusal)) + ": " +
                               demangled(refusal.error) + "  " + palette_.paint(Colour::kDim, keeps)));
    }
    return lines;
  }
  if (const auto* e = std::get_if<daemon::RejectedEvent>(&event)) {
    return {
        told(palette_, at, Colour::kNotice, "rejected", printable(e->path) + "  " + printable(e->reason))};
  }
  if (const auto* e = std::get_if<daemon::WarningEvent>(&event)) {
    return {told(palette_, at, Colour::kNotice, "warning", printable(e->message))};
  }
  if (const auto* e = std::get_if<daemon::ExecutorEvent>(&event)) {
    using Kind = daemon::ExecutorEvent::Kind;
    const std::string who = printable(e->executor.name) + "  " +
                            palette_.paint(Colour::kDim, "pid " + std::to_string(e->executor.pid) + " on " +
                                                             printable(e->executor.host));
    const std::string why = e->reason.empty() ? "" : "  " + printable(e->reason);
    if (e->kind == Kind::kJoined) return {told(palette_, at, Colour::kPlain, "joined", who + why)};
    if (e->kind == Kind::kLeft) return {told(palette_, at, Colour::kDim, "left", who + why)};
    return {told(palette_, at, Colour::kNotice, "excluded", who + why)};
  }
  // What became of it is told when it is known.
  if (const auto* e = std::get_if<daemon::PublishedEvent>(&event))
    cause_ = e->cause == "change" ? "" : e->cause;
  return {};
}

std::string ExecutorStory::tell(const ClientEvent& event, WallTime at) {
  using Kind = ClientEvent::Kind;
  std::string names;
  for (const std::string& name : event.modules) names += (names.empty() ? "" : ", ") + printable(name);
  switch (event.kind) {
    case Kind::kJoined:
      return told(palette_, at, Colour::kStrong, "joined", name_ + "  " + epoch_text(event.epoch));
    case Kind::kApplied:
      return told(palette_, at, Colour::kGood, "applied",
                  epoch_text(event.epoch) + "  " + names + "  " +
                      human_duration(std::chrono::microseconds(event.elapsed_us))) +
             (event.message.empty() || event.message == last_stale_
                  ? ""
                  : "\n" + told(palette_, at, Colour::kNotice, "notice", printable(event.message)));
    case Kind::kFailed:
      return told(palette_, at, Colour::kBad, "failed",
                  epoch_text(event.epoch) + "  " + printable(event.module) + ": " + demangled(event.message));
    case Kind::kStale:
      last_stale_ = event.message;
      return told(palette_, at, Colour::kNotice, "stale", printable(event.message));
    case Kind::kAborted:
      return told(palette_, at, Colour::kNotice, "kept",
                  epoch_text(event.epoch) + " was refused elsewhere: " + demangled(event.message));
  }
  return "";
}

std::string ExecutorStory::tell(const Call& call, WallTime at) {
  std::string rest =
      call.module + ":" + call.symbol + " = " + std::to_string(call.result) + "  " + epoch_text(call.epoch);
  if (rest == last_call_) return "";
  last_call_ = rest;
  return told(palette_, at, Colour::kPlain, "called", rest);
}

}  // namespace moddev::tools
