// The daemon's core with its watcher, on a thread of this process. What a daemon of its own keeps on disk is
// in memory here, but for the blobs, which are in the host cache.
#pragma once

#include <moddev/standalone.h>

#include <memory>
#include <string>
#include <thread>

#include "client/src/client_factory.h"
#include "daemon/daemon.h"
#include "daemon/event_loop.h"
#include "daemon/in_process_link.h"
#include "daemon/journal.h"
#include "protocol/clock.h"
#include "protocol/signature.h"
#include "watcher/backend.h"
#include "watcher/posix_file_system.h"
#include "watcher/watcher.h"

namespace moddev::standalone {

class InProcessDaemon {
 public:
  /// Begins to watch at once. `signing_key` may be null: then nothing is signed. Errors: as
  /// watch_in_process().
  static Result<std::shared_ptr<InProcessDaemon>> start(const std::string& directory,
                                                        const StandaloneOptions& options,
                                                        const client::CacheDirectories& cache,
                                                        std::shared_ptr<const SigningKey> signing_key);
  /// Ends the thread.
  ~InProcessDaemon();
  InProcessDaemon(const InProcessDaemon&) = delete;
  InProcessDaemon& operator=(const InProcessDaemon&) = delete;

  [[nodiscard]] Result<std::unique_ptr<Link>> connect() { return transport_->connect(); }
  /// As people know it.
  [[nodiscard]] const std::string& directory() const { return files_->root(); }

 private:
  InProcessDaemon() = default;
  Status assemble(const std::string& directory, const StandaloneOptions& options,
                  const client::CacheDirectories& cache, std::shared_ptr<const SigningKey> signing_key);
  void tell(const daemon::DaemonEvent& event) const;

  SystemClock clock_;
  std::unique_ptr<watcher::PosixFileSystem> files_;
  watcher::Backend backend_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<watcher::Watcher> watcher_;
  std::unique_ptr<daemon::Journal> journal_;
  std::unique_ptr<daemon::InProcessTransport> transport_;
  std::unique_ptr<daemon::Daemon> daemon_;
  std::unique_ptr<daemon::EventLoop> loop_;
  std::function<void(const std::string& message)> on_problem_;
  std::thread thread_;
};

}  // namespace moddev::standalone
