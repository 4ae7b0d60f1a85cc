#include "watcher/backend.h"

#include "watcher/inotify_source.h"
#include "watcher/polling_source.h"

namespace moddev::watcher {

Result<Backend> choose_backend(std::string_view wish, PosixFileSystem& files) {
  if (wish != "auto" && wish != "inotify" && wish != "polling") {
    return Error{ErrorCode::kInvalidArgument,
                 "there is no watcher backend '" + std::string(wish) + "'; choose auto, inotify or polling",
                 0};
  }
  Backend backend;
  std::string why_polling;
  if (wish == "auto" && !files.events_are_reliable()) {
    why_polling = "the file system of '" + files.root() +
                  "' does not report changes that other machines make; a local directory is faster";
  } else if (wish != "polling") {
    auto inotify = InotifySource::create(files.root());
    if (inotify) {
      backend.events = std::move(*inotify);
      return backend;
    }
    if (wish == "inotify") return inotify.error();
    why_polling = inotify.error().message;
  }
  if (!why_polling.empty()) {
    backend.warnings.push_back(
        {"polling", "changes are found by polling, later and at more cost, because " + why_polling});
  }
  backend.events = std::make_unique<PollingSource>(files);
  return backend;
}

}  // namespace moddev::watcher
