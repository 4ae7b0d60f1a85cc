// The EventSource over inotify(7): one descriptor, one watch a directory. Meaning is in inotify_decode.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/result.h"
#include "watcher/event_source.h"

namespace moddev::watcher {

/// What a person is to do when watches or instances are used up: names the sysctl, its value, `needed`, and
/// the command. `sysctl` is "max_user_watches" or "max_user_instances".
[[nodiscard]] std::string inotify_limit_advice(std::string_view sysctl, std::uint64_t value,
                                               std::uint64_t needed);
/// The value of /proc/sys/fs/inotify/<sysctl>; 0 when it cannot be read.
[[nodiscard]] std::uint64_t inotify_limit(std::string_view sysctl);

class InotifySource final : public EventSource {
 public:
  /// `root`: absolute. Errors: kLimit when the system's instances are used up, with what to do about it.
  static Result<std::unique_ptr<InotifySource>> create(const std::string& root);
  ~InotifySource() override;
  InotifySource(const InotifySource&) = delete;
  InotifySource& operator=(const InotifySource&) = delete;

  Status watch_directory(const std::string& path) override;
  void unwatch_directory(const std::string& path) override;
  std::vector<WatchEvent> read(TimePoint now) override;
  [[nodiscard]] TimePoint next_poll() const override { return kNever; }
  [[nodiscard]] std::vector<int> descriptors() const override { return {descriptor_}; }
  [[nodiscard]] std::string name() const override { return "inotify"; }

  [[nodiscard]] std::string limit_advice(std::size_t needed) const override {
    return inotify_limit_advice("max_user_watches", inotify_limit("max_user_watches"), needed);
  }

  [[nodiscard]] std::size_t watches() const { return paths_.size(); }

 private:
  InotifySource(std::string root, int descriptor);
  void forget(int watch);

  std::string root_;
  int descriptor_;
  std::unordered_map<int, std::string> paths_;
  std::unordered_map<std::string, int> watches_;
  std::vector<std::byte> buffer_;
};

}  // namespace moddev::watcher
