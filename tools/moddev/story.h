// What happened, as lines for a person at a terminal: when, what, to which module, with whom, how fast. Pure
// but for remembering which versions were live, to say "6 -> 7".
#pragma once

#include <moddev/client.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/daemon.h"
#include "protocol/clock.h"
#include "protocol/manifest.h"
#include "tools/moddev/json.h"
#include "tools/moddev/terminal.h"

namespace moddev::tools {

/// "12:31:09  live        " and the rest.
[[nodiscard]] std::string told(const Palette& palette, WallTime at, Colour colour, std::string_view what,
                               std::string_view rest);

/// The lines of `moddev watch`.
class WatchStory {
 public:
  /// `committed`: what is live at the start.
  WatchStory(Palette palette, const Manifest& committed);

  [[nodiscard]] std::vector<std::string> tell(const ListeningFacts& listening, WallTime at) const;
  [[nodiscard]] std::vector<std::string> tell(const daemon::DaemonEvent& event, WallTime at);

 private:
  [[nodiscard]] std::string modules(const std::vector<ModuleChange>& changes) const;
  /// The module and its version; where it did not change, with what did.
  [[nodiscard]] std::string refused_module(const std::string& module,
                                           const std::vector<ModuleChange>& changes) const;
  void remember(const std::vector<ModuleChange>& changes);

  Palette palette_;
  std::map<std::string, Version, std::less<>> live_;
  Epoch committed_epoch_;
  std::string cause_;  // of the epoch that was published last; empty for a change of files
};

/// The lines of `moddev executor`.
class ExecutorStory {
 public:
  ExecutorStory(Palette palette, std::string name) : palette_(palette), name_(std::move(name)) {}
  [[nodiscard]] std::string tell(const ClientEvent& event, WallTime at);
  /// Empty when the same was told before.
  [[nodiscard]] std::string tell(const Call& call, WallTime at);

 private:
  Palette palette_;
  std::string name_;
  std::string last_call_;
  std::string last_stale_;  // why
};

}  // namespace moddev::tools
