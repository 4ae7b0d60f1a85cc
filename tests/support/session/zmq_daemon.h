// The scripted daemon behind real sockets (ROUTER and XPUB), on a thread of its own: for tests of the client
// as a whole. Everything of the script is touched under one lock.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <zmq.hpp>

#include "tests/support/session/script_daemon.h"

namespace moddev::test {

/// A new directory of mode 0700, removed at the end.
class PrivateDirectory {
 public:
  PrivateDirectory();
  ~PrivateDirectory();
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Calls `done` until it returns true or the deadline has passed; returns what it returned last.
bool await(const std::function<bool()>& done, std::chrono::milliseconds deadline = std::chrono::seconds(10));

class ZmqDaemon {
 public:
  /// Serves at once. `endpoint`: ipc:// with a path, events beside it.
  explicit ZmqDaemon(std::string endpoint);
  ~ZmqDaemon();
  ZmqDaemon(const ZmqDaemon&) = delete;
  ZmqDaemon& operator=(const ZmqDaemon&) = delete;

  /// Runs `action` on the script, then sends what it published.
  void with(const std::function<void(ScriptDaemon&)>& action);
  template <typename Value>
  Value ask(const std::function<Value(ScriptDaemon&)>& question) {
    const std::lock_guard lock(mutex_);
    return question(script_);
  }
  /// Closes the sockets and binds anew: connections break, the script goes on.
  void stop();
  void start();
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

 private:
  void serve();
  void answer(zmq::socket_t& router);
  void publish(zmq::socket_t& events);

  std::string endpoint_;
  std::mutex mutex_;
  FakeLink outbox_;
  ScriptDaemon script_{outbox_};
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace moddev::test
