#include "tools/moddev/printer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace moddev::tools {

LinePrinter::LinePrinter(std::function<bool(const std::string&)> write,
                         std::function<std::string(std::uint64_t)> dropped)
    : shared_(std::make_shared<Shared>()),
      thread_([shared = shared_, w = std::move(write), d = std::move(dropped)] { run(shared, w, d); }) {}

LinePrinter::~LinePrinter() {
  std::unique_lock lock(shared_->mutex);
  shared_->ending = true;
  shared_->changed.notify_all();
  const bool ended = shared_->changed.wait_for(lock, kLastLinesPatience, [this] { return shared_->ended; });
  lock.unlock();
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void LinePrinter::print(std::string line) {
  line += '\n';
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->ended) return;
    if (shared_->lines.size() >= kWaitingLines) {
      shared_->lines.pop_front();
      ++shared_->dropped;
    }
    shared_->lines.push_back(std::move(line));
  }
  shared_->changed.notify_all();
}

void LinePrinter::run(const std::shared_ptr<Shared>& shared,
                      const std::function<bool(const std::string&)>& write,
                      const std::function<std::string(std::uint64_t)>& dropped) {
  std::unique_lock lock(shared->mutex);
  for (;;) {
    shared->changed.wait(lock, [&] { return !shared->lines.empty() || shared->ending; });
    if (shared->lines.empty()) break;
    const std::deque<std::string> lines = std::exchange(shared->lines, {});
    const std::uint64_t missing = std::exchange(shared->dropped, 0);
    lock.unlock();
    std::string text;
    if (missing > 0) text = dropped(missing);
    if (!text.empty()) text += '\n';
    for (const std::string& line : lines) text += line;
    const bool readable = write(text);
    lock.lock();
    if (!readable) break;
  }
  shared->ended = true;
  shared->lines.clear();
  shared->changed.notify_all();
}

bool write_all(int descriptor, std::string_view text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written >= 0) {
      done += static_cast<std::size_t>(written);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return false;
    pollfd waiting{descriptor, POLLOUT, 0};
    ::poll(&waiting, 1, -1);
  }
  return true;
}

}  // namespace moddev::tools
