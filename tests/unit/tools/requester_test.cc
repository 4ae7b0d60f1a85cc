#include "client/src/requester.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <iterator>
#include <string_view>
#include <thread>
#include <vector>
#include <zmq.hpp>
#include <zmq_addon.hpp>

#include "tests/support/session/zmq_daemon.h"

namespace moddev::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class RequesterTest : public ::testing::Test {
 protected:
  /// The test's daemon binds on its own thread.
  std::unique_ptr<Requester> open() {
    std::unique_ptr<Requester> opened;
    test::await([&] {
      auto tried = Requester::open(endpoint_, "test", seconds(20));
      if (tried) opened = std::move(*tried);
      return opened != nullptr;
    });
    return opened;
  }

  test::PrivateDirectory directory_;
  std::string endpoint_ = "ipc://" + directory_.path() + "/d.sock";
};

TEST_F(RequesterTest, AsksAndGetsTheAnswer) {
  test::ZmqDaemon daemon(endpoint_);
  const auto requester = open();
  ASSERT_NE(requester, nullptr);
  daemon.with([&](test::ScriptDaemon& script) {
    EXPECT_EQ(requester->hello().daemon, script.id);
    script.commit_silently(script.make_manifest(3, {{"scorer", "bytes"}}));
  });
  const auto snapshot = requester->ask_for<SnapshotReply>(SnapshotRequest{}, seconds(20));
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().message;
  EXPECT_EQ(snapshot->committed.epoch, 3U);
}

TEST_F(RequesterTest, NobodyThereIsToldAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  const auto requester = Requester::open(endpoint_, "test", seconds(20));
  ASSERT_FALSE(requester.ok());
  EXPECT_EQ(requester.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(requester.error().message, "Nothing answers at " + endpoint_ + ".");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(10));
}

TEST_F(RequesterTest, APortOfThisMachineThatIsClosedIsNobody) {
  const auto begin = std::chrono::steady_clock::now();
  const auto requester = Requester::open("tcp://127.0.0.1:1", "test", seconds(30));
  ASSERT_FALSE(requester.ok());
  EXPECT_EQ(requester.error().code, ErrorCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(25)) << "as long as it was told to wait";
}

/// Answers the first request at `endpoint` with this header.
class Stranger {
 public:
  Stranger(const std::string& endpoint, std::string header) : socket_(context_, zmq::socket_type::router) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, 20'000);
    socket_.bind(endpoint);
    thread_ = std::thread([this, answer = std::move(header)] {
      std::vector<zmq::message_t> parts;
      if (!zmq::recv_multipart(socket_, std::back_inserter(parts))) return;
      parts.back() = zmq::message_t(answer);
      (void)zmq::send_multipart(socket_, parts);
    });
  }
  ~Stranger() { thread_.join(); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

 private:
  zmq::context_t context_;
  zmq::socket_t socket_;
  std::thread thread_;
};

/// What a Requester makes of this header, and that it does so at once.
Error told_about(const std::string& endpoint, const std::string& header) {
  const Stranger stranger(endpoint, header);
  const auto begin = std::chrono::steady_clock::now();
  const auto requester = Requester::open(endpoint, "test", seconds(60));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(30)) << "as long as it was told to wait";
  return requester.ok() ? Error{ErrorCode::kInternal, "it was understood", 0} : requester.error();
}

/// Not the same as silence: waiting longer or restarting the daemon would not help.
TEST_F(RequesterTest, AnAnswerThatIsNotUnderstoodIsToldAtOnce) {
  const Error error = told_about(endpoint_, "\xc1\xc1");
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("is not understood"));
}

TEST_F(RequesterTest, AnAnswerOfAnotherVersionIsToldWithTheVersion) {
  const Error error = told_about(endpoint_, "\x84\xa1v\x02\xa2id\x01\xa4type\xa5hello\xa3new\xd4\x01x");
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.message, HasSubstr("the daemon speaks version 2"));
}

TEST_F(RequesterTest, AnErrorOfAnotherVersionIsTheAnswer) {
  const Error error = told_about(endpoint_,
                                 "\x86\xa1v\x02\xa2id\x01\xa4type\xa5"
                                 "error\xa4"
                                 "code\xabunsupported\xa7message\xaaupdate me!\xa3new\xd4\x01x");
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_EQ(error.message, "update me!");
}

TEST_F(RequesterTest, ASocketThatNobodyServesAnyMoreIsNobody) {
  { const test::ZmqDaemon daemon(endpoint_); }
  // A daemon that was killed leaves its file.
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory_.path() + "/d.sock";
  ::unlink(path.c_str());
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(descriptor);
  const auto requester = Requester::open(endpoint_, "test", seconds(20));
  ASSERT_FALSE(requester.ok());
  EXPECT_EQ(requester.error().code, ErrorCode::kUnavailable);
}

TEST_F(RequesterTest, SilenceEndsAtTheDeadline) {
  // Listens and never speaks.
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory_.path() + "/d.sock";
  std::memcpy(address.sun_path, path.c_str(), path.size());
  ASSERT_EQ(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(descriptor, 5), 0);
  const auto requester = Requester::open(endpoint_, "test", milliseconds(200));
  ASSERT_FALSE(requester.ok());
  EXPECT_EQ(requester.error().code, ErrorCode::kTimeout);
  EXPECT_THAT(requester.error().message, HasSubstr("within 1 second"));
  ::close(descriptor);
}

TEST_F(RequesterTest, ARefusalOfTheDaemonIsTheAnswer) {
  test::ZmqDaemon daemon(endpoint_);
  const auto requester = open();
  ASSERT_NE(requester, nullptr);
  const auto reply = requester->ask_for<ManifestReply>(ManifestRequest{99}, seconds(20));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kNotFound);
}

TEST_F(RequesterTest, ADaemonThatGoesAwayIsNoticedBeforeTheDeadline) {
  test::ZmqDaemon daemon(endpoint_);
  const auto requester = open();
  ASSERT_NE(requester, nullptr);
  daemon.stop();
  ::unlink((directory_.path() + "/d.sock").c_str());
  const auto reply = requester->ask(SnapshotRequest{}, seconds(60));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kUnavailable);
}

TEST_F(RequesterTest, AnotherAnswerThanAskedForIsAnError) {
  test::ZmqDaemon daemon(endpoint_);
  const auto requester = open();
  ASSERT_NE(requester, nullptr);
  const auto reply = requester->ask_for<StatusReply>(SnapshotRequest{}, seconds(20));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kCorrupt);
}

TEST_F(RequesterTest, ADirectoryOfOthersIsNotConnectedTo) {
  test::ZmqDaemon daemon(endpoint_);
  ASSERT_NE(open(), nullptr);
  ASSERT_EQ(::chmod(directory_.path().c_str(), 0777), 0);
  const auto requester = Requester::open(endpoint_, "test", seconds(20));
  ASSERT_FALSE(requester.ok());
  EXPECT_EQ(requester.error().code, ErrorCode::kPermission);
}

}  // namespace
}  // namespace moddev::client
