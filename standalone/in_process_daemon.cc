#include "standalone/in_process_daemon.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <variant>

#include "standalone/shared_cache_store.h"

namespace moddev::standalone {
namespace {

/// A pattern that keeps `own` out of the watched directory, if it is in there: what is written there must not
/// look like a change.
std::vector<std::string> pattern_for(const std::filesystem::path& own, const std::filesystem::path& watched) {
  std::error_code error;
  const std::filesystem::path inside =
      std::filesystem::weakly_canonical(own, error)
          .lexically_relative(std::filesystem::weakly_canonical(watched, error));
  if (error || inside.empty() || inside == "." || *inside.begin() == "..") return {};
  std::string pattern = "/";
  for (const char c : inside.generic_string()) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return {pattern + "/"};
}

}  // namespace

Result<std::shared_ptr<InProcessDaemon>> InProcessDaemon::start(
    const std::string& directory, const StandaloneOptions& options, const client::CacheDirectories& cache,
    std::shared_ptr<const SigningKey> signing_key) {
  std::shared_ptr<InProcessDaemon> made(new InProcessDaemon);
  MODDEV_TRY(made->assemble(directory, options, cache, std::move(signing_key)));
  // The thread takes no signals: they belong to the program that we are a guest in.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  Status started;
  try {
    made->thread_ = std::thread([daemon = made.get()] {
      daemon->loop_->run(*daemon->daemon_,
                         [daemon](const daemon::DaemonEvent& event) { daemon->tell(event); });
    });
    ::pthread_setname_np(made->thread_.native_handle(), "moddev-watch");
  } catch (const std::system_error& error) {
    started = Error{ErrorCode::kIo, std::string("Cannot start a thread: ") + error.what() + ".",
                    error.code().value()};
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started) return started.error();
  return made;
}

Status InProcessDaemon::assemble(const std::string& directory, const StandaloneOptions& options,
                                 const client::CacheDirectories& cache,
                                 std::shared_ptr<const SigningKey> signing_key) {
  on_problem_ = options.on_problem;
  auto files = watcher::PosixFileSystem::create(directory);
  if (!files) return files.error();
  files_ = std::move(*files);
  auto backend = watcher::choose_backend("auto", *files_);
  if (!backend) return backend.error();
  backend_ = std::move(*backend);
  auto blobs = DirectoryBlobStore::open(cache.blobs);
  if (!blobs) return blobs.error();
  blobs_ = std::make_unique<SharedCacheStore>(std::move(*blobs));

  watcher::WatcherOptions watching;
  watching.debounce = options.debounce;
  watching.ignore = options.ignore;
  for (const std::filesystem::path& own : {cache.root, cache.images}) {
    for (std::string& pattern : pattern_for(own, files_->root()))
      watching.ignore.push_back(std::move(pattern));
  }
  watcher_ = std::make_unique<watcher::Watcher>(std::move(watching), *files_, *backend_.events, *blobs_);

  auto journal = daemon::Journal::open(":memory:", clock_.wall_now());
  if (!journal) return journal.error();
  journal_ = std::move(*journal);
  auto transport = daemon::InProcessTransport::create();
  if (!transport) return transport.error();
  transport_ = std::move(*transport);

  daemon::DaemonOptions serving;
  serving.directory = files_->root();
  serving.software = "moddev " MODDEV_VERSION;
  serving.pid = ::getpid();
  serving.signing_key = std::move(signing_key);
  serving.catalog.extra_dependencies = options.dependencies;
  daemon_ = std::make_unique<daemon::Daemon>(std::move(serving), *watcher_, *blobs_, *journal_, *transport_);
  auto loop = daemon::EventLoop::create({.signals = false}, clock_);
  if (!loop) return loop.error();
  loop_ = std::move(*loop);
  return {};
}

InProcessDaemon::~InProcessDaemon() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
}

void InProcessDaemon::tell(const daemon::DaemonEvent& event) const {
  if (!on_problem_) return;
  if (const auto* rejected = std::get_if<daemon::RejectedEvent>(&event)) {
    on_problem_(rejected->path + ": " + rejected->reason);
  } else if (const auto* warning = std::get_if<daemon::WarningEvent>(&event)) {
    on_problem_(warning->message);
  }
}

}  // namespace moddev::standalone
