// Bytes that the store should have and does not, found out when somebody wants them: damaged, or removed
// behind the daemon's back. What the watched directory still holds is read again from there; a person is
// told.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/catalog.h"
#include "daemon/change_feed.h"
#include "protocol/blob_store.h"
#include "protocol/clock.h"
#include "watcher/watcher.h"

namespace moddev::daemon {

class Restoration {
 public:
  /// The references must outlive it.
  Restoration(const Catalog& catalog, ChangeFeed& changes, const BlobStore& blobs)
      : catalog_(catalog), changes_(changes), blobs_(blobs) {}

  /// The bytes of `digest` could not be had because of `why`. Returns whether they are being read again from
  /// the directory: worth another try in a moment.
  bool lost(const Digest& digest, const Error& why, TimePoint now);
  /// Reads again whatever of the directory's modules is missing or cut off in the store.
  void look_over(TimePoint now);

  [[nodiscard]] std::vector<watcher::Warning> take_warnings();

 private:
  void forget_what_is_over(TimePoint now);
  struct Attempt {
    TimePoint until{};
    bool hope = false;
  };
  bool read_again(const std::string& name, const ModuleContent& content, const std::string& why,
                  TimePoint now);

  const Catalog& catalog_;
  ChangeFeed& changes_;
  const BlobStore& blobs_;
  std::map<Digest, Attempt> attempts_;
  TimePoint next_look_{};
  std::vector<watcher::Warning> warnings_;
};

}  // namespace moddev::daemon
