// The Python client, written from PROTOCOL.md alone, follows a daemon over both kinds of
// sockets. Only the directory is scripted; daemon, codec and sockets are the real ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/zmq_transport.h"
#include "protocol/limits.h"
#include "protocol/private_file.h"
#include "protocol/transport_key.h"
#include "tests/support/service/daemon_parts.h"

namespace moddev::daemon {
namespace {

using testing::DaemonParts;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Followed {
  int exit_code = -1;
  std::vector<std::string> lines;
};

/// Runs the client to its end; `on_line` sees each line as it is printed.
Followed follow(
    const std::string& arguments,
    const std::function<void(const std::string&)>& on_line = [](const auto&) {}) {
  Followed result;
  FILE* pipe = ::popen((std::string(MODDEV_FOLLOW) + " " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::string line;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    on_line(line);
    result.lines.push_back(std::exchange(line, {}));
  }
  if (!line.empty()) result.lines.push_back(line);
  result.exit_code = WEXITSTATUS(::pclose(pipe));
  return result;
}

/// Drives a daemon in a thread of its own, in which the directory changes too.
class Driver {
 public:
  explicit Driver(DaemonParts& parts) : parts_(parts), thread_([this] { run(); }) {}
  ~Driver() {
    stopped_ = true;
    thread_.join();
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void write(std::map<std::string, std::string> directory) {
    const std::lock_guard lock(mutex_);
    wanted_ = std::move(directory);
  }

 private:
  static constexpr int kPatienceMs = 5;

  void run() {
    while (!stopped_) {
      {
        const std::lock_guard lock(mutex_);
        if (wanted_) parts_.feed.write(parts_.blobs, *wanted_, parts_.clock.now());
        wanted_.reset();
      }
      (void)parts_.daemon->step(parts_.clock.now(), parts_.clock.wall_now());
      (void)parts_.daemon->take_events();
      std::vector<pollfd> waits;
      for (const int fd : parts_.daemon->descriptors()) waits.push_back({fd, POLLIN, 0});
      ::poll(waits.data(), waits.size(), kPatienceMs);
    }
  }

  DaemonParts& parts_;
  std::mutex mutex_;
  std::optional<std::map<std::string, std::string>> wanted_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

/// "Busy, ask again" is no failure.
TEST(FollowBusy, IsAskedAgain) {
  const testing::TemporaryDirectory directory;
  const std::string endpoint = "ipc://" + directory.path() + "/d.sock";
  auto bound = ZmqTransport::bind({endpoint});
  ASSERT_TRUE(bound.ok()) << bound.error().message;
  std::atomic<int> asked = 0;
  std::atomic<bool> stopped = false;
  std::thread busy([&] {
    while (!stopped) {
      while (auto request = (*bound)->receive()) {
        const bool first = asked++ == 0;
        (*bound)->reply(request->peer,
                        {request->request.id, ErrorReply{first ? ErrorCode::kLimit : ErrorCode::kRefused,
                                                         first ? "busy" : "never", first ? 20 : 0}});
      }
      std::vector<pollfd> waits;
      for (const int fd : (*bound)->descriptors()) waits.push_back({fd, POLLIN, 0});
      ::poll(waits.data(), waits.size(), 5);
    }
  });
  const Followed followed = follow(endpoint + " --timeout 60");
  stopped = true;
  busy.join();
  EXPECT_EQ(followed.exit_code, 1);
  EXPECT_EQ(asked, 2);
  EXPECT_THAT(followed.lines, ElementsAre("follow: refused: never"));
}

class FollowInPython : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (GetParam() == "curve") return serve_with_keys();
    auto bound = ZmqTransport::bind(
        {GetParam() == "ipc" ? "ipc://" + directory_.path() + "/d.sock" : "tcp://127.0.0.1:*"});
    ASSERT_TRUE(bound.ok()) << bound.error().message;
    transport_ = std::move(*bound);
    arguments_ = transport_->endpoints().front();
  }

  /// As on another machine: at an address that others could reach, with a key that the daemon was told.
  void serve_with_keys() {
    const TransportKeys own = *TransportKeys::generate();
    const TransportKeys friends = *TransportKeys::generate();
    const std::string secret = write("friend.key_secret", transport_secret_text(friends, "friend"));
    TransportOptions options{{"tcp://0.0.0.0:*"}, own, {}, {}};
    options.trust_file = write("trusted", "client friend " + friends.public_key + "\n");
    auto opened = ZmqTransport::open(options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    transport_ = std::move(*opened);
    const std::string bound = transport_->endpoints().front();
    arguments_ = "tcp://127.0.0.1" + bound.substr(bound.rfind(':'));
    arguments_ += " --curve '" + own.public_key + "' " + secret;
  }

  [[nodiscard]] std::string write(const std::string& name, const std::string& content) const {
    const std::string file = directory_.path() + "/" + name;
    EXPECT_TRUE(write_private_file(file, content, Secrecy::kSecret, Existing::kReplace).ok());
    return file;
  }

  const testing::TemporaryDirectory directory_;
  std::unique_ptr<ZmqTransport> transport_;
  /// Where the daemon is, and with which keys.
  std::string arguments_;
};

TEST_P(FollowInPython, FetchesAndChecksEveryEpochItHearsOf) {
  DaemonParts parts(*transport_);
  // Larger than one piece and than what an announcement carries.
  const std::string large(2 * limits::kChunkBytes + 17, 'L');
  Driver driver(parts);
  const Followed followed =
      follow(arguments_ + " --until-epoch 3 --timeout 20", [&](const std::string& line) {
        // It has subscribed: from here on it must hear of changes by itself.
        if (line.find(R"("epoch": 1)") != std::string::npos) driver.write({{"m", "bytes"}, {"large", large}});
        if (line.find(R"("epoch": 2)") != std::string::npos) driver.write({{"m", "other"}, {"large", large}});
      });
  EXPECT_EQ(followed.exit_code, 0);
  EXPECT_THAT(followed.lines, ElementsAre(R"({"epoch": 1, "modules": {"m": 1}})",
                                          R"({"epoch": 2, "modules": {"large": 1, "m": 1}})",
                                          R"({"epoch": 3, "modules": {"large": 1, "m": 2}})"));
}

INSTANTIATE_TEST_SUITE_P(Sockets, FollowInPython, ::testing::Values("ipc", "tcp", "curve"),
                         [](const auto& socket) { return socket.param; });

class FollowWithAKey : public FollowInPython {};

TEST_P(FollowWithAKey, ThatNobodyToldTheDaemonHearsNothing) {
  DaemonParts parts(*transport_);
  const Driver driver(parts);
  (void)write("friend.key_secret", transport_secret_text(*TransportKeys::generate(), "stranger"));
  const Followed followed = follow(arguments_ + " --until-epoch 1 --timeout 1");
  EXPECT_EQ(followed.exit_code, 1);
  EXPECT_THAT(followed.lines, ElementsAre(HasSubstr("no answer")));
}

TEST_P(FollowWithAKey, ButWithoutItHearsNothing) {
  DaemonParts parts(*transport_);
  const Driver driver(parts);
  const Followed followed =
      follow(arguments_.substr(0, arguments_.find(' ')) + " --until-epoch 1 --timeout 1");
  EXPECT_EQ(followed.exit_code, 1);
  EXPECT_THAT(followed.lines, ElementsAre(HasSubstr("no answer")));
}

INSTANTIATE_TEST_SUITE_P(Sockets, FollowWithAKey, ::testing::Values("curve"),
                         [](const auto& socket) { return socket.param; });

TEST(FollowInPythonAlone, SaysThatNobodyAnswers) {
  const testing::TemporaryDirectory directory;
  const Followed followed = follow("ipc://" + directory.path() + "/nobody.sock --timeout 0.3");
  EXPECT_EQ(followed.exit_code, 1);
  EXPECT_THAT(followed.lines, ElementsAre(HasSubstr("no answer")));
}

}  // namespace
}  // namespace moddev::daemon
