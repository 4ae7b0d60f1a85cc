#include "tests/support/watcher/real_world.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <cstdlib>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "watcher/ignore_rules.h"

namespace moddev::watcher::testing {

namespace fs = std::filesystem;

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (fs::temp_directory_path() / "moddev-watcher-XXXXXX").string();
  MODDEV_ASSERT(::mkdtemp(name.data()) != nullptr, "a temporary directory can be made");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void write_file(const fs::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  MODDEV_ASSERT(file.good(), "'" + path.string() + "' can be written");
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::map<std::string, std::string> files_below(const fs::path& root) {
  const IgnoreRules rules({});
  std::map<std::string, std::string> files;
  for (auto at = fs::recursive_directory_iterator(root); at != fs::recursive_directory_iterator(); ++at) {
    const std::string relative = at->path().lexically_relative(root).string();
    const bool directory = !at->is_symlink() && at->is_directory();
    if (rules.ignored(relative, directory)) {
      if (directory) at.disable_recursion_pending();
      continue;
    }
    std::error_code circle;  // of symlinks
    if (at->is_regular_file(circle)) files[relative] = read_file(at->path());
  }
  return files;
}

int count_from_environment(const char* name, int usual) {
  const char* text = std::getenv(name);
  return text == nullptr ? usual : std::atoi(text);
}

int run_command(const std::string& command) {
  const int status = ::system(command.c_str());  // NOLINT: a test's own words
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

std::vector<WatchEvent> LossySource::read(TimePoint now) {
  std::vector<WatchEvent> events = source_->read(now);
  if (overflow_next && !events.empty()) {
    overflow_next = false;
    return {{WatchEvent::Kind::kOverflow, {}, {}}};
  }
  if (lose) std::erase_if(events, lose);
  return events;
}

RealWorld::RealWorld(std::string_view backend, WatcherOptions options) : root(directory.path() / "root") {
  fs::create_directory(root);
  auto opened = PosixFileSystem::create(root.string());
  MODDEV_ASSERT(opened.ok(), "the directory can be opened");
  files = std::move(*opened);
  auto chosen = choose_backend(backend, *files);
  MODDEV_ASSERT(chosen.ok(), "the backend is available");
  events = std::make_unique<LossySource>(std::move(chosen->events));
  watcher = std::make_unique<Watcher>(std::move(options), *files, *events, blobs);
}

void RealWorld::step() {
  (void)watcher->step(clock.now());
  Output output = watcher->take_output();
  if (on_output) on_output(output);
  listener.take(std::move(output));
}

bool RealWorld::run_until(const std::function<bool()>& condition, Duration patience) {
  const TimePoint end = clock.now() + patience;
  for (;;) {
    const TimePoint due = watcher->step(clock.now());
    Output output = watcher->take_output();
    if (on_output) on_output(output);
    listener.take(std::move(output));
    if (condition()) return true;
    const TimePoint now = clock.now();
    if (now >= end) return false;
    std::vector<pollfd> waiting;
    for (const int fd : watcher->descriptors()) waiting.push_back({fd, POLLIN, 0});
    const Duration pause = std::max(Duration::zero(), std::min(due, end) - now);
    const timespec timeout{pause.count() / 1'000'000'000, pause.count() % 1'000'000'000};
    (void)::ppoll(waiting.data(), waiting.size(), &timeout, nullptr);
  }
}

void RealWorld::run(Duration length) {
  (void)run_until([] { return false; }, length);
}

bool RealWorld::sync(Duration patience) {
  const std::uint64_t id = watcher->request_sync();
  return run_until([&] { return std::ranges::count(listener.synced, id) > 0; }, patience);
}

}  // namespace moddev::watcher::testing
