// Not run on a Mac yet; see the header.
#include "watcher/fsevents_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>

#include "watcher/fsevents_api.h"
#include "watcher/fsevents_decode.h"
#include "watcher/limits.h"

namespace moddev::watcher {

/// Written by the stream's queue (a thread of the system's), read by the watcher's thread.
struct FsEventsSource::State {
  std::string root;
  std::array<int, 2> pipe = {-1, -1};  // a byte in it: there are events
  FSEventStreamRef stream = nullptr;
  dispatch_queue_t queue = nullptr;
  std::mutex mutex;
  std::vector<FsEventsRecord> records;
  bool overflow = false;

  ~State() {
    if (stream != nullptr) {
      FSEventStreamStop(stream);
      FSEventStreamInvalidate(stream);
      FSEventStreamRelease(stream);
    }
    if (queue != nullptr) {
      dispatch_sync_f(queue, nullptr, [](void*) {});  // no callback is under way any more
      dispatch_release(queue);
    }
    for (const int fd : pipe) {
      if (fd >= 0) ::close(fd);
    }
  }

  static void called(ConstFSEventStreamRef /*stream*/, void* info, std::size_t count, void* paths,
                     const FSEventStreamEventFlags* flags, const FSEventStreamEventId* /*ids*/) {
    auto& self = *static_cast<State*>(info);
    const auto* names = static_cast<const char* const*>(paths);
    {
      const std::lock_guard lock(self.mutex);
      if (self.records.size() + count > limits::kFsEventsQueue) {
        self.records.clear();
        self.overflow = true;
      } else {
        for (std::size_t i = 0; i < count; ++i) self.records.push_back({names[i], flags[i]});
      }
    }
    const char byte = 0;
    (void)!::write(self.pipe[1], &byte, 1);  // full: there is a byte in it already
  }
};

FsEventsSource::FsEventsSource(std::unique_ptr<State> state) : state_(std::move(state)) {}
FsEventsSource::~FsEventsSource() = default;

Result<std::unique_ptr<FsEventsSource>> FsEventsSource::create(const std::string& root) {
  auto state = std::make_unique<State>();
  state->root = root;
  if (::pipe(state->pipe.data()) != 0) return errno_error("cannot make a pipe for events", errno);
  for (const int fd : state->pipe) {
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      return errno_error("cannot set up the pipe for events", errno);
  }
  const CFStringRef path = CFStringCreateWithCString(nullptr, root.c_str(), kCFStringEncodingUTF8);
  if (path == nullptr) return Error{ErrorCode::kInvalidArgument, "'" + root + "' is not valid UTF-8", 0};
  const void* values[] = {path};
  const CFArrayRef paths = CFArrayCreate(nullptr, values, 1, &kCFTypeArrayCallBacks);
  FSEventStreamContext context{0, state.get(), nullptr, nullptr, nullptr};
  state->stream =
      FSEventStreamCreate(nullptr, &State::called, &context, paths, kFSEventStreamEventIdSinceNow, 0.0,
                          kFSEventStreamCreateFlagNoDefer | kFSEventStreamCreateFlagWatchRoot |
                              kFSEventStreamCreateFlagFileEvents);
  CFRelease(paths);
  CFRelease(path);
  state->queue = dispatch_queue_create("moddev.fsevents", nullptr);
  if (state->stream == nullptr || state->queue == nullptr)
    return Error{ErrorCode::kUnavailable, "the system gives no events for '" + root + "'", 0};
  FSEventStreamSetDispatchQueue(state->stream, state->queue);
  if (FSEventStreamStart(state->stream) == 0)
    return Error{ErrorCode::kUnavailable, "the events of '" + root + "' cannot be started", 0};
  return std::unique_ptr<FsEventsSource>(new FsEventsSource(std::move(state)));
}

Status FsEventsSource::watch_directory(const std::string& path) {
  if (!path.starts_with('/')) return {};
  return Error{ErrorCode::kUnsupported, "'" + path + "' is outside of the watched directory", 0};
}

std::vector<WatchEvent> FsEventsSource::read(TimePoint /*now*/) {
  std::array<char, 64> drained{};
  while (::read(state_->pipe[0], drained.data(), drained.size()) > 0) {
  }
  std::vector<FsEventsRecord> records;
  bool overflow = false;
  {
    const std::lock_guard lock(state_->mutex);
    records.swap(state_->records);
    overflow = std::exchange(state_->overflow, false);
  }
  std::vector<WatchEvent> events = decode_fsevents(records, state_->root);
  if (overflow) events.push_back({WatchEvent::Kind::kOverflow, {}, {}});
  return events;
}

std::vector<int> FsEventsSource::descriptors() const {
  return {state_->pipe[0]};
}

}  // namespace moddev::watcher
