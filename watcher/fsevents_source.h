// The EventSource over macOS' FSEvents, as thin as it can be: meaning is in fsevents_decode. NEVER RUN SO
// FAR: it is type-checked on Linux against fsevents_api.h, and no Mac was at hand. One stream covers the
// whole tree; history is not used (every start scans), so a replaced event journal voids nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "watcher/event_source.h"

namespace moddev::watcher {

class FsEventsSource final : public EventSource {
 public:
  /// `root`: absolute, resolved. Errors: kUnavailable when the stream cannot be started; kIo.
  static Result<std::unique_ptr<FsEventsSource>> create(const std::string& root);
  ~FsEventsSource() override;

  /// The stream is recursive: there is nothing to do for a directory inside. Errors: kUnsupported for one
  /// outside.
  Status watch_directory(const std::string& path) override;
  void unwatch_directory(const std::string& /*path*/) override {}
  std::vector<WatchEvent> read(TimePoint now) override;
  [[nodiscard]] TimePoint next_poll() const override { return kNever; }
  [[nodiscard]] std::vector<int> descriptors() const override;
  [[nodiscard]] std::string name() const override { return "fsevents"; }

 private:
  struct State;
  explicit FsEventsSource(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moddev::watcher
