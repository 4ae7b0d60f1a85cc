// A directory that things are done to, in memory or on a real disk, with the FileSystem and the EventSource
// that look at it: the contract suites run on all of them.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/clock.h"
#include "tests/support/watcher/fake_event_source.h"
#include "tests/support/watcher/fake_file_system.h"
#include "tests/support/watcher/real_world.h"
#include "watcher/inotify_source.h"
#include "watcher/polling_source.h"

namespace moddev::watcher::testing {

class Disk {
 public:
  virtual ~Disk() = default;
  virtual FileSystem& files() = 0;
  virtual EventSource& events() = 0;

  virtual void make_directory(const std::string& path) = 0;
  virtual void write(const std::string& path, std::string_view content) = 0;
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void remove(const std::string& path) = 0;
  virtual void symlink(const std::string& target, const std::string& path) = 0;
  virtual int open_writer(const std::string& path) = 0;
  virtual void append(int writer, std::string_view content) = 0;
  virtual void close_writer(int writer) = 0;
  virtual void change_mode(const std::string& path) = 0;
  virtual void remove_root() = 0;
  /// Whether a writer that comes while a lease is held has to wait (and would block this single thread).
  [[nodiscard]] virtual bool writers_wait() const = 0;

  /// Reads events until `condition` holds for all that came so far.
  bool hear(const std::function<bool(const std::vector<WatchEvent>&)>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    SystemClock clock;
    while (std::chrono::steady_clock::now() < end) {
      for (WatchEvent& event : events().read(clock.now())) heard.push_back(std::move(event));
      if (condition(heard)) return true;
      std::vector<pollfd> waiting;
      for (const int fd : events().descriptors()) waiting.push_back({fd, POLLIN, 0});
      (void)::poll(waiting.data(), waiting.size(), 5);
    }
    return false;
  }
  bool hear(WatchEvent::Kind kind, const std::string& path) {
    return hear([&](const std::vector<WatchEvent>& all) {
      for (const WatchEvent& event : all)
        if (event.kind == kind && event.path == path) return true;
      return false;
    });
  }
  /// Anything about the path.
  bool hear_of(const std::string& path) {
    return hear([&](const std::vector<WatchEvent>& all) {
      for (const WatchEvent& event : all)
        if (event.path == path) return true;
      return false;
    });
  }
  std::vector<WatchEvent> heard;
};

class FakeDisk final : public Disk {
 public:
  FileSystem& files() override { return files_; }
  EventSource& events() override { return events_; }
  void make_directory(const std::string& path) override { files_.make_directory(path); }
  void write(const std::string& path, std::string_view content) override {
    files_.advance_time(1);
    files_.write(path, content);
  }
  void rename(const std::string& from, const std::string& to) override { files_.rename(from, to); }
  void remove(const std::string& path) override { files_.remove(path); }
  void symlink(const std::string& target, const std::string& path) override { files_.symlink(target, path); }
  int open_writer(const std::string& path) override {
    return static_cast<int>(files_.begin_write(path, false));
  }
  void append(int writer, std::string_view content) override {
    files_.append(static_cast<FakeFileSystem::WriterId>(writer), content);
  }
  void close_writer(int writer) override { files_.close(static_cast<FakeFileSystem::WriterId>(writer)); }
  void change_mode(const std::string& path) override {
    files_.advance_time(1);
    files_.change_mode(path, true);
  }
  void remove_root() override { files_.remove_root(); }
  [[nodiscard]] bool writers_wait() const override { return false; }

 private:
  FakeFileSystem files_;
  FakeEventSource events_{files_};
};

class RealDisk final : public Disk {
 public:
  explicit RealDisk(bool polling) : root_(directory_.path() / "root") {
    std::filesystem::create_directory(root_);
    files_ = std::move(*PosixFileSystem::create(root_.string()));
    if (polling) {
      events_ = std::make_unique<PollingSource>(*files_);
    } else {
      events_ = std::move(*InotifySource::create(files_->root()));
    }
  }
  FileSystem& files() override { return *files_; }
  EventSource& events() override { return *events_; }
  void make_directory(const std::string& path) override { std::filesystem::create_directory(root_ / path); }
  void write(const std::string& path, std::string_view content) override {
    write_file(root_ / path, content);
  }
  void rename(const std::string& from, const std::string& to) override {
    std::filesystem::rename(root_ / from, root_ / to);
  }
  void remove(const std::string& path) override { std::filesystem::remove_all(root_ / path); }
  void symlink(const std::string& target, const std::string& path) override {
    std::filesystem::create_symlink(target, root_ / path);
  }
  int open_writer(const std::string& path) override {
    return ::open((root_ / path).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0644);
  }
  void append(int writer, std::string_view content) override {
    MODDEV_ASSERT(::write(writer, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
                  "");
  }
  void close_writer(int writer) override { ::close(writer); }
  void change_mode(const std::string& path) override { ::chmod((root_ / path).c_str(), 0755); }
  void remove_root() override { std::filesystem::remove_all(root_); }
  [[nodiscard]] bool writers_wait() const override { return true; }

 private:
  TemporaryDirectory directory_;
  std::filesystem::path root_;
  std::unique_ptr<PosixFileSystem> files_;
  std::unique_ptr<EventSource> events_;
};

[[nodiscard]] inline std::unique_ptr<Disk> make_disk(std::string_view kind) {
  if (kind == "fake") return std::make_unique<FakeDisk>();
  return std::make_unique<RealDisk>(kind == "polling");
}

}  // namespace moddev::watcher::testing
